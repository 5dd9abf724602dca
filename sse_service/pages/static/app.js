// The chat page: sign-in, the list of conversations, one of them, and the badge of the transport.

import { Api } from "./api.js"
import { Chat } from "./client.js"
import { Composer } from "./composer.js"
import { brief, element, hue, icon, initial } from "./format.js"
import { LogView } from "./log-view.js"
import { headersOf, remember, remembered } from "./session.js"
import { Badge } from "./badge.js"

const $ = id => document.getElementById(id)

for (const [id, name] of [["new", "plus"], ["leave", "leave"], ["back", "back"], ["attach", "clip"], ["send", "send"], ["down", "down"]]) {
  $(id).prepend(icon(name))
}

let session = remembered()
let chat = null
let shown = null
let away = 0
const config = await fetch("/chat/config.json", { cache: "no-store" }).then(answer => answer.json())

// Signing in ---------------------------------------------------------------------------------------------

function askWho(why = "") {
  $("chat").hidden = true
  $("signin").hidden = false
  $("with-name").hidden = !config.developmentSignIn
  $("signin-why").textContent = why
  ;(config.developmentSignIn ? $("name") : $("token")).focus()
}

$("signin-form").addEventListener("submit", async event => {
  event.preventDefault()
  const [token, user] = [$("token").value.trim(), $("name").value.trim()]
  if (!token && !user) return askWho("Paste a token first.")
  session = token ? { token } : { user }
  await enter()
})

async function enter() {
  let who
  try {
    who = await new Api("", async () => headersOf(session)).get("/chat/me")
  } catch (error) {
    if (error.status !== 401) return askWho(`${error.message}. Try again.`)
    remember(null)
    return askWho("This token is not accepted: it is wrong, or has expired.")
  }
  remember(session)
  $("token").value = ""
  $("signin").hidden = true
  $("chat").hidden = false
  // The same user with a fresh token goes on where they were, with what they have not sent yet.
  if (chat && chat.me === who.user) return
  leaveChat()
  begin(who)
}

function leaveChat() {
  chat?.stop()
  chat = null
  entries.clear()
  shown = null
}

$("leave").addEventListener("click", () => {
  remember(null)
  session = null
  // Everything of this user goes, from the screen and from memory.
  location.reload()
})

// Conversations ------------------------------------------------------------------------------------------

const log = new LogView($("log"), {
  isRead: message => chat.store.isRead(shown, message),
  address: message => chat.address(shown, message),
  again: pending => chat.outbox.again(shown, pending),
  discard: pending => chat.outbox.discard(shown, pending),
  wantsOlder: () => void older(),
  scrolled: () => look(),
})

const composer = new Composer({
  form: $("composer"),
  uploads: config.uploads,
  upload: file => chat.upload(file),
  say: (text, attachment) => {
    chat.say(shown, text, attachment)
    log.toBottom()
  },
  typing: isTyping => chat.sayTyping(shown, isTyping),
})

const badge = new Badge({ config, choose: name => chat.switchTo(name) })

function begin(who) {
  $("my-name").textContent = who.user
  $("my-tenant").textContent = who.tenant
  $("my-face").textContent = initial(who.user)
  $("my-face").className = `face ${hue(who.user)}`
  chat = new Chat({ credentials: async () => headersOf(session), config, me: who.user, transport: badge.remembered })
  const on = (name, take) => chat.addEventListener(name, event => take(event.detail))
  on("unauthorized", () => askWho("Your token has expired. Sign in again; nothing is lost."))
  on("state", state => badge.show(state))
  on("list", list)
  on("messages", ({ conversation, message, isPage }) => conversation === shown && !isPage && log.insert(message))
  on("pending", ({ conversation }) => conversation === shown && showPending())
  on("ticks", ({ conversation }) => conversation === shown && log.ticks())
  on("typing", ({ conversation }) => conversation === shown && showTyping())
  on("said", said)
  chat.start()
  void chat
    .loadList()
    .catch(() => {})
    .then(() => {
      if (shown) return
      const wanted = decodeURIComponent(location.hash.slice(1))
      const found = chat.store.conversations.get(wanted)
      if (found) void open(found)
      else if (matchMedia("(min-width: 720px)").matches && chat.store.sorted()[0]) void open(chat.store.sorted()[0], false)
    })
  // For tests and for the curious in the console.
  window.chat = chat
}

const entries = new Map()
let isListDue = false
function list() {
  if (isListDue) return
  isListDue = true
  requestAnimationFrame(() => {
    isListDue = false
    drawList()
  })
}

function drawList() {
  const all = chat.store.sorted()
  const place = shown && !shown.isDraft ? `#${encodeURIComponent(shown.id)}` : ""
  if (place && location.hash !== place) history.replaceState(null, "", place)
  $("nobody").hidden = all.length > 0
  const items = all.map(entryOf)
  for (const [conversation, item] of entries) {
    if (!items.includes(item)) entries.delete(conversation)
  }
  // Elements that stay where they are keep the focus, and a press that is under way.
  const now = [...$("list").children]
  if (items.length !== now.length || items.some((item, at) => item !== now[at])) {
    const focused = document.activeElement
    $("list").replaceChildren(...items)
    if ($("list").contains(focused)) focused.focus({ preventScroll: true })
  }
  const { unread } = chat.store
  document.title = unread ? `(${unread > 99 ? "99+" : unread}) Chat` : "Chat"
}

/** The line of a conversation in the list, as it is now. */
function entryOf(conversation) {
  let item = entries.get(conversation)
  if (!item) {
    item = element("li")
    const made = element("button", "entry", undefined, { type: "button" })
    made.addEventListener("click", () => void open(conversation))
    item.append(made)
    entries.set(conversation, item)
  }
  const { last, unread } = conversation
  const button = item.firstChild
  button.toggleAttribute("aria-current", conversation === shown)
  if (conversation === shown) button.setAttribute("aria-current", "true")
  const said = last?.attachment && !last.text ? "Picture or file" : (last?.text ?? "No messages yet")
  const state = JSON.stringify([conversation.title, said.slice(0, 200), last?.mine, last && brief(last.at), unread])
  if (button.dataset.state === state) return item
  button.dataset.state = state
  const text = element("span", "who")
  const title = element("bdi", "title", conversation.title)
  text.append(title, element("span", "last quiet", `${last?.mine ? "You: " : ""}${said.slice(0, 200)}`))
  const side = element("span", "aside")
  if (last) side.append(element("time", "quiet", brief(last.at)))
  if (unread) {
    side.append(element("span", "unread", unread > 99 ? "99+" : String(unread), { "aria-hidden": "true" }))
    side.append(element("span", "hidden", `, ${unread} unread`))
  }
  button.replaceChildren(
    element("span", `face ${hue(conversation.title)}`, initial(conversation.title), { "aria-hidden": "true" }),
    text,
    side,
  )
  return item
}

let isLoading = false

async function open(conversation, isChosen = true) {
  shown = conversation
  away = 0
  $("title").textContent = conversation.title
  $("face").textContent = initial(conversation.title)
  $("face").className = `face ${hue(conversation.title)}`
  $("nothing").hidden = true
  $("log").hidden = $("composer").hidden = false
  if (isChosen) document.body.dataset.pane = "talk"
  list()
  showTyping()
  log.show(conversation.messages)
  showPending()
  if (isChosen && matchMedia("(hover: hover)").matches) $("text").focus()
  if (conversation.before === undefined) await older()
  look()
}

async function older() {
  const conversation = shown
  if (!conversation || isLoading || conversation.before === null) return
  isLoading = true
  const isFirst = conversation.before === undefined
  const first = conversation.messages[0]
  try {
    await chat.older(conversation)
    if (conversation !== shown) {
      // Another one was chosen meanwhile, and waits for its turn.
    } else if (isFirst) {
      log.show(conversation.messages)
      showPending()
    } else log.older(conversation.messages.slice(0, conversation.messages.indexOf(first)))
  } catch (error) {
    // A draft has no history; what is out of reach is asked for with the next scroll.
    if (!conversation.isDraft && error.status !== 401) composer.problem(`Earlier messages: ${error.message}`)
  } finally {
    isLoading = false
  }
  if (conversation !== shown) return older()
  log.scrolled()
}

function showPending() {
  log.pending(shown.pending.filter(one => !one.shadow))
}

function showTyping() {
  const users = [...shown.typing.keys()]
  const [first, second] = users
  const who = users.length > 2 ? "Several people are" : users.length === 2 ? `${first} and ${second} are` : `${first} is`
  $("typing").textContent = users.length ? `${who} typing …` : shown.with ? "" : shown.open ? "Open to everybody" : ""
  $("typing").classList.toggle("busy", users.length > 0)
}

function said({ conversation, message }) {
  if (conversation === shown && !message.mine && !log.isAtBottom) away += 1
  if (!message.mine) announce(`${message.sender}${conversation === shown ? "" : ` in ${conversation.title}`}: ${message.text || "sent a file"}`)
  look()
}

/** What is on the screen, at the end of the conversation and before somebody's eyes, is read. */
function look() {
  if (!shown) return
  if (log.isAtBottom) away = 0
  $("down").hidden = log.isAtBottom
  $("down-text").textContent = away ? `${away} new` : "Latest"
  $("down").setAttribute("aria-label", away ? `${away} new messages, go to the latest` : "Go to the latest message")
  const isSeen = document.visibilityState === "visible" && document.hasFocus() && log.isAtBottom && !$("chat").hidden
  const isThere = document.body.dataset.pane === "talk" || matchMedia("(min-width: 720px)").matches
  if (isSeen && isThere) chat.markRead(shown)
}

// Spoken sparingly: of many messages at once, the last.
let spokenAt = 0
let timer = 0
function announce(text) {
  clearTimeout(timer)
  const wait = Math.max(0, spokenAt + 1000 - Date.now())
  timer = setTimeout(() => {
    spokenAt = Date.now()
    $("announce").textContent = text
  }, wait)
}

$("down").addEventListener("click", () => {
  log.toBottom()
  $("text").focus()
})
$("back").addEventListener("click", () => {
  document.body.dataset.pane = "list"
  $("list").querySelector("[aria-current]")?.focus()
})
for (const name of ["focus", "blur"]) addEventListener(name, () => chat && look())
document.addEventListener("visibilitychange", () => chat && look())
matchMedia("(min-width: 720px)").addEventListener("change", () => chat && look())

$("list").addEventListener("keydown", event => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key]
  if (!step) return
  const entries = [...$("list").querySelectorAll(".entry")]
  const next = entries[entries.indexOf(document.activeElement) + step]
  if (next) {
    event.preventDefault()
    next.focus()
  }
})

// A new conversation -------------------------------------------------------------------------------------

$("new").addEventListener("click", () => {
  $("begin-problem").textContent = ""
  $("whom").value = ""
  $("begin").showModal()
})
$("begin-cancel").addEventListener("click", () => $("begin").close())
$("begin-form").addEventListener("submit", async event => {
  event.preventDefault()
  const whom = $("whom").value.trim()
  if (!whom) return
  try {
    let conversation
    if (whom.startsWith("#")) {
      const id = whom.slice(1).trim()
      const known = chat.store.conversations.get(id)
      const found = known ?? (await chat.api.post("/api/conversations", { conversationId: id, open: true }))
      conversation = known ?? chat.store.conversation(id, { open: found.open })
      conversation.open = found.open
    } else conversation = chat.draft(whom)
    $("begin").close()
    await open(conversation)
    $("text").focus()
  } catch (error) {
    $("begin-problem").textContent = error.message
  }
})

if (session) await enter()
else askWho()
