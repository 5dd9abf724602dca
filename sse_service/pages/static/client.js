// The chat behind page and widget: list, histories, receipts, and one transport at a time that can be changed while it runs.

import { Api } from "./api.js"
import { seconds } from "./format.js"
import { Outbox } from "./outbox.js"
import { Store, conversationIdOf } from "./store.js"
import { TRANSPORTS } from "./transports.js"

const PAGE = 100
const SAME_S = 0.001
const LIVE_MS = 15_000
const TYPING_MS = 6000
const SAY_TYPING_MS = 3000

export class Chat extends EventTarget {
  /**
   * base, credentials: see Api. config: /chat/config.json. me: user id.
   *
   * Events (detail): list, state {transport, name}, messages {conversation, message, at}, pending {conversation},
   * ticks {conversation}, typing {conversation}, said {conversation, message}, unauthorized.
   */
  constructor({ base = "", credentials, config, me, transport = "sse" }) {
    super()
    this.api = new Api(base, credentials, () => this.tell("unauthorized"))
    this.config = config
    this.me = me
    this.store = new Store(me)
    this.transportName = transport
    this.transport = null
    this.switching = Promise.resolve()
    this.state = "connecting"
    this.asked = new Map()
    this.saidTyping = new Map()
    this.outbox = new Outbox({
      send: message => this.send(message),
      changed: conversation => this.tell("pending", { conversation }),
      confirmed: (conversation, pending, answer) => this.confirmed(conversation, pending, answer),
      catchUp: conversation => this.catchUp(conversation),
    })
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }))
  }

  // Transports -----------------------------------------------------------------------------------------

  start() {
    this.transport = this.make(this.transportName)
    this.transport.start()
  }

  stop() {
    this.transport?.stop()
    this.isStopped = true
  }

  make(name) {
    let made = null
    const isCurrent = () => this.transport === made
    const owner = {
      frame: (type, data) => void this.take(type, data),
      gap: () => void this.catchUpAll(),
      unauthorized: () => this.tell("unauthorized"),
      state: (state, detail) => {
        if (!isCurrent()) return
        this.state = state
        this.tell("state", { transport: name, name: state, detail })
        if (state === "live") this.outbox.wake()
      },
    }
    made = new TRANSPORTS[name](this.api, owner, this.config)
    return made
  }

  /**
   * Go on over another transport. The new one is live, and what came in between was asked for, before the old one
   * ends; what both bring is one message, since each has its id. Rejects where the new one does not open: the old
   * one goes on.
   */
  switchTo(name) {
    const change = this.switching.then(() => this.change(name))
    this.switching = change.catch(() => {})
    return change
  }

  async change(name) {
    if (name === this.transportName) return
    const old = this.transport
    const next = this.make(name)
    this.tell("state", { transport: name, name: "switching" })
    next.start()
    let timer
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("no connection")), LIVE_MS)
    })
    try {
      await Promise.race([next.live, late])
    } catch (error) {
      next.stop()
      this.tell("state", { transport: this.transportName, name: this.state })
      throw error
    } finally {
      clearTimeout(timer)
    }
    // From here on messages leave over the new one; those under way are waited for on the old one.
    this.transport = next
    this.transportName = name
    this.state = "live"
    this.outbox.wake()
    await Promise.all([this.outbox.idle(5000), this.catchUpAll()])
    old.stop()
    this.tell("state", { transport: name, name: next.isLive ? "live" : "waiting" })
  }

  send(message) {
    return this.transport.send(message)
  }

  // What comes -----------------------------------------------------------------------------------------

  async take(type, data) {
    if (type === "message") {
      let frame = data
      if (data.href && !("message" in data)) {
        frame = await this.api.get(data.href).catch(() => null)
        if (!frame) return this.catchUpAll()
      }
      const id = conversationIdOf(frame)
      if (frame.senderEmail) this.undraft(frame.senderEmail === this.me ? frame.receiverEmail : frame.senderEmail, id)
      this.message(this.store.conversation(id), frame)
    } else if (type === "read") this.read(data)
    else if (type === "chat_typing") this.typing(this.store.conversation(data.chat_id), data.user_id, data.typing)
    else if (type.startsWith("chat_")) this.answer(type, data)
    else if (type === "conversation" || type === "left") await this.loadList().catch(() => {})
  }

  message(conversation, frame, { isOld = false, isPage = false } = {}) {
    const message = this.store.message(frame)
    if (frame.senderEmail && !conversation.with) {
      conversation.with = message.mine ? frame.receiverEmail : frame.senderEmail
    }
    const at = this.store.add(conversation, message)
    if (at < 0) return
    if (message.mine) this.outbox.echo(conversation, message)
    conversation.typing.delete(message.sender)
    this.tell("messages", { conversation, message, at, isPage })
    if (isOld) return
    if (!message.mine && message.sender !== "assistant" && message.at > conversation.readUpTo) conversation.unread += 1
    this.tell("said", { conversation, message })
    this.tell("list")
  }

  confirmed(conversation, pending, answer) {
    if (conversation.isDraft && answer.conversationId) this.undraft(conversation.with, answer.conversationId)
    this.message(
      conversation,
      {
        messageId: answer.messageId,
        userName: this.me,
        message: pending.text,
        timestamp: answer.timestamp,
        attachment: pending.shown ?? null,
      },
    )
    this.tell("pending", { conversation })
  }

  read(data) {
    const conversation = this.store.conversation(conversationIdOf(data))
    const reader = data.readerEmail ?? data.userId
    if (data.upTo === null) return
    const upTo = seconds(data.upTo)
    if (reader === this.me) {
      conversation.readUpTo = Math.max(conversation.readUpTo, upTo)
      this.countUnread(conversation)
    } else {
      conversation.othersReadUpTo = Math.max(conversation.othersReadUpTo, upTo)
      this.tell("ticks", { conversation })
    }
  }

  /** By what is loaded; where that does not reach back to the cursor, the service is asked. */
  countUnread(conversation) {
    const { messages, readUpTo } = conversation
    if (conversation.before === null || (messages.length && messages[0].at <= readUpTo) || conversation.lastAt <= readUpTo) {
      conversation.unread = messages.filter(one => !one.mine && one.sender !== "assistant" && one.at > readUpTo).length
      this.tell("list")
    } else void this.loadList().catch(() => {})
  }

  typing(conversation, user, isTyping) {
    if (user === this.me) return
    clearTimeout(conversation.typing.get(user))
    conversation.typing.delete(user)
    if (isTyping) {
      const timer = setTimeout(() => this.typing(conversation, user, false), TYPING_MS)
      conversation.typing.set(user, timer)
    }
    this.tell("typing", { conversation })
  }

  /** The responder speaks in pieces; what counts is the message that it leaves in the history. */
  answer(type, data) {
    const conversation = this.store.conversation(conversationIdOf(data))
    if (type === "chat_message" || type === "chat_stream_end") void this.catchUp(conversation).catch(() => {})
    this.typing(conversation, "assistant", type === "chat_stream_start" || type === "chat_stream_chunk")
  }

  // History --------------------------------------------------------------------------------------------

  async loadList() {
    const wanted = []
    let cursor = ""
    do {
      const { conversations, before } = await this.api.get(`/api/chat/conversations?limit=100${cursor}`)
      wanted.push(...conversations)
      cursor = before ? `&before=${before}` : ""
    } while (cursor && wanted.length < 1000)
    const listed = new Set()
    for (const entry of wanted) {
      if (entry.with) this.undraft(entry.with, entry.conversationId)
      const conversation = this.store.conversation(entry.conversationId, { with: entry.with, open: entry.open })
      listed.add(conversation.id)
      conversation.open = entry.open
      // A list that was asked for before what has just been read was told knows less than we do.
      const readUpTo = entry.readUpTo ?? 0
      if (readUpTo + SAME_S >= conversation.readUpTo) {
        conversation.unread = entry.unread
        conversation.readUpTo = readUpTo
      }
      if (entry.lastMessage && seconds(entry.lastMessage.timestamp) > conversation.lastAt) {
        conversation.last = this.store.message(entry.lastMessage)
      }
    }
    // Whoever was taken out of a conversation, or left it, has it no longer.
    for (const conversation of this.store.conversations.values()) {
      if (!listed.has(conversation.id) && !conversation.isDraft && wanted.length < 1000) this.store.conversations.delete(conversation.id)
    }
    this.tell("list")
  }

  page(conversation, cursor) {
    const query = cursor ? `&before=${encodeURIComponent(cursor)}` : ""
    const limit = `limit=${PAGE}`
    if (conversation.isDraft) {
      return this.api.get(`/chat/history?with=${encodeURIComponent(conversation.with)}&${limit}${query}`)
    }
    return this.api.get(`/api/chat/history?conversationId=${encodeURIComponent(conversation.id)}&${limit}${query}`)
  }

  /** The page before what is loaded; the latest one at first. Asked for once, however often it is wanted. */
  older(conversation) {
    if (conversation.before === null) return Promise.resolve()
    let asked = this.asked.get(conversation)
    if (!asked) {
      asked = this.loadOlder(conversation).finally(() => this.asked.delete(conversation))
      this.asked.set(conversation, asked)
    }
    return asked
  }

  async loadOlder(conversation) {
    const isFirst = conversation.before === undefined
    const answer = await this.page(conversation, conversation.before)
    conversation.before = answer.before ?? null
    const rows = [...answer.messages].sort((a, b) => seconds(b.timestamp) - seconds(a.timestamp))
    for (const row of rows) this.message(conversation, row, { isOld: true, isPage: true })
    if (isFirst) this.store.settle(conversation)
  }

  /** Everything since the last time that all was there: page by page until it meets what is known. */
  async catchUp(conversation) {
    if (conversation.before === undefined) return
    const since = conversation.solidUpTo
    // What is older than all that is loaded comes with the pages of the past.
    const oldest = conversation.messages[0]?.at ?? 0
    let cursor = ""
    do {
      const answer = await this.page(conversation, cursor)
      for (const row of answer.messages) {
        const at = seconds(row.timestamp)
        if (at >= oldest) this.message(conversation, row, { isOld: at <= since })
      }
      const times = answer.messages.map(row => seconds(row.timestamp))
      if (times.length === 0 || Math.min(...times) <= Math.max(since, oldest)) break
      cursor = answer.before
    } while (cursor)
    this.store.settle(conversation)
    this.tell("ticks", { conversation })
  }

  /** After a gap. A failure is tried again until it succeeds: what was missed is not told of a second time. */
  async catchUpAll() {
    const round = (this.round = (this.round ?? 0) + 1)
    for (let failures = 0; !this.isStopped && this.round === round; failures += 1) {
      try {
        const loaded = [...this.store.conversations.values()].filter(one => one.before !== undefined)
        await Promise.all(loaded.map(one => this.catchUp(one)))
        await this.loadList()
        return
      } catch (error) {
        if (error.status === 401) return
        await new Promise(resolve => setTimeout(resolve, Math.min(10_000, 500 * 2 ** failures) * Math.random()))
      }
    }
  }

  // What one does --------------------------------------------------------------------------------------

  /** A conversation with somebody, which their first message will make. */
  draft(user) {
    const known = [...this.store.conversations.values()].find(one => one.with === user)
    if (known) return known
    const made = this.store.conversation(`draft:${user}`, { with: user })
    made.isDraft = true
    return made
  }

  /** The draft with `user` is a conversation now; it stays the same object, so whoever shows it goes on. */
  undraft(user, id) {
    const draft = this.store.conversations.get(`draft:${user}`)
    if (!draft) return
    this.store.conversations.delete(draft.id)
    const other = this.store.conversations.get(id)
    draft.id = id
    draft.isDraft = false
    this.store.conversations.set(id, draft)
    for (const message of other?.messages ?? []) {
      const at = this.store.add(draft, message)
      if (at >= 0) this.tell("messages", { conversation: draft, message, at, isPage: false })
    }
    this.tell("list")
  }

  say(conversation, text, attachment = null) {
    const shown = attachment && { contentType: attachment.contentType, size: attachment.size, name: attachment.name }
    this.outbox.add(conversation, {
      conversationId: conversation.id,
      with: conversation.isDraft ? conversation.with : null,
      sender: this.me,
      text,
      attachment: attachment && { uploadId: attachment.uploadId, name: attachment.name },
      shown,
    })
    this.sayTyping(conversation, false)
  }

  /** To the others, at most every three seconds; that it has ended, at once. */
  sayTyping(conversation, isTyping) {
    const saidAt = this.saidTyping.get(conversation)
    if (isTyping ? saidAt && Date.now() - saidAt < SAY_TYPING_MS : !saidAt) return
    if (isTyping) this.saidTyping.set(conversation, Date.now())
    else this.saidTyping.delete(conversation)
    if (conversation.isDraft) return
    this.api.post("/api/chat/typing", { conversationId: conversation.id, typing: isTyping }).catch(() => {})
  }

  /** Everything that is loaded has been seen. */
  markRead(conversation) {
    const newest = conversation.messages.findLast(one => !one.mine)
    if (conversation.isDraft || !newest || newest.at <= conversation.readUpTo) return
    const was = conversation.readUpTo
    conversation.readUpTo = newest.at
    conversation.unread = 0
    this.tell("list")
    this.api.post("/api/chat/read", { conversationId: conversation.id, upTo: newest.at }).catch(() => {
      // The next message, or the next look, tries again.
      if (conversation.readUpTo === newest.at) conversation.readUpTo = was
    })
  }

  /** Put a file into S3 by a signed form; the service never holds it. Returns what a message names it by. */
  async upload(file) {
    const given = await this.api.post("/api/chat/uploads", { contentType: file.type, size: file.size })
    const form = new FormData()
    for (const [name, value] of Object.entries(given.fields)) form.append(name, value)
    form.append("file", file)
    let answer
    try {
      answer = await fetch(given.url, { method: "POST", body: form })
    } catch {
      throw new Error("the store of files cannot be reached from this page (is its CORS set up?)")
    }
    if (!answer.ok) throw new Error(`the store of files answered ${answer.status}`)
    return { uploadId: given.uploadId, name: file.name, contentType: file.type, size: file.size }
  }

  /** Where the file of a message is, for a short time. */
  async address(conversation, message) {
    const known = message.address
    if (known && known.until > Date.now()) return known.url
    const path = `/api/chat/messages/${encodeURIComponent(message.id)}/attachment`
    const { url, expiresIn } = await this.api.get(`${path}?conversationId=${encodeURIComponent(conversation.id)}`)
    message.address = { url, until: Date.now() + (expiresIn - 10) * 1000 }
    return url
  }
}
