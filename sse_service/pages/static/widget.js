// <ws2sse-chat>: one conversation in the corner of any page.
//
//   conversation="support" (default) | a conversation's id      with="user": a direct one
//   heading="Support"   transport="sse" | "drop-in"   open
//
// Who it is, before or after it is in the document; the function is asked again when a token has ended:
//   document.querySelector("ws2sse-chat").token = async () => (await fetch("/my/token")).text()
// Events: ws2sse-message (detail: sender, text, mine), ws2sse-state (detail: name), ws2sse-unauthorized.

import { Api } from "./api.js"
import { Chat } from "./client.js"
import { Composer } from "./composer.js"
import { element, icon } from "./format.js"
import { LogView } from "./log-view.js"

const HERE = new URL(".", import.meta.url)
const BASE = HERE.href.replace(/\/chat\/assets\/$/, "")

class Ws2SseChat extends HTMLElement {
  #token = null
  #chat = null
  #conversation = null

  constructor() {
    super()
    const root = this.attachShadow({ mode: "open" })
    for (const name of ["messages.css", "widget.css"]) root.append(element("link", "", undefined, { rel: "stylesheet", href: new URL(name, HERE).href }))
    this.toggle = element("button", "toggle solid", undefined, { type: "button", "aria-expanded": "false", "aria-controls": "panel" })
    this.badge = element("span", "unread", "", { hidden: "" })
    this.toggle.append(icon("chat"), element("span", "hidden", "Open chat"), this.badge)
    this.panel = element("section", "panel", undefined, { id: "panel", role: "dialog", "aria-labelledby": "heading", hidden: "" })
    const top = element("header", "top")
    this.dot = element("span", "dot", undefined, { role: "img", "aria-label": "connecting" })
    this.heading = element("h2", "", "Chat", { id: "heading" })
    const shut = element("button", "round", undefined, { type: "button", "aria-label": "Close chat" })
    shut.append(icon("close"))
    top.append(this.heading, this.dot, shut)
    this.note = element("p", "problem note", "", { role: "alert" })
    this.scroller = element("div", "log", undefined, { role: "region", "aria-label": "Messages", tabindex: "0" })
    this.typing = element("p", "typing quiet")
    const form = element("form", "composer", undefined, { autocomplete: "off" })
    const line = element("div", "line")
    const attach = element("button", "round", undefined, { id: "attach", type: "button", "aria-label": "Attach a file" })
    attach.append(icon("clip"))
    const text = element("textarea", "", undefined, { id: "text", rows: "1", maxlength: "20000", "aria-label": "Message", placeholder: "Write a message", dir: "auto" })
    const send = element("button", "round solid", undefined, { type: "submit", "aria-label": "Send" })
    send.append(icon("send"))
    line.append(element("input", "hidden", undefined, { type: "file", tabindex: "-1", "aria-hidden": "true" }), attach, text, send)
    form.append(
      element("div", "attached", undefined, { hidden: "" }),
      element("p", "problem", "", { role: "alert" }),
      line,
      element("p", "hidden", "Files cannot be attached here.", { id: "no-uploads" }),
    )
    this.said = element("p", "hidden", "", { role: "status", "aria-live": "polite" })
    this.panel.append(top, this.note, this.scroller, this.typing, form)
    root.append(this.panel, this.toggle, this.said)
    this.form = form
    this.toggle.addEventListener("click", () => (this.open = !this.open))
    shut.addEventListener("click", () => (this.open = false))
    this.panel.addEventListener("keydown", event => event.key === "Escape" && (this.open = false))
  }

  static get observedAttributes() {
    return ["heading", "open"]
  }

  attributeChangedCallback(name, _, value) {
    if (name === "heading") this.heading.textContent = value ?? "Chat"
    else this.#shown(value !== null)
  }

  get open() {
    return this.hasAttribute("open")
  }

  set open(value) {
    this.toggleAttribute("open", value)
    if (value) this.form.querySelector("textarea").focus()
    else this.toggle.focus()
  }

  /** A token, or an async function that gives one. Never a part of an address. */
  set token(value) {
    this.#token = value
    if (this.isConnected) void this.#begin()
  }

  connectedCallback() {
    // What a page has set before this class was there.
    if (Object.hasOwn(this, "token")) {
      const { token } = this
      delete this.token
      this.#token = token
    }
    if (this.#token) void this.#begin()
    this.seen = () => this.#look()
    document.addEventListener("visibilitychange", this.seen)
    addEventListener("focus", this.seen)
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.seen)
    removeEventListener("focus", this.seen)
    this.#chat?.stop()
    this.#chat = null
  }

  async #credentials() {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token
    return { authorization: `Bearer ${token}` }
  }

  async #begin() {
    this.#chat?.stop()
    const mine = (this.begun = Symbol("begun"))
    const credentials = () => this.#credentials()
    this.note.textContent = ""
    try {
      const config = await fetch(`${BASE}/chat/config.json`).then(answer => answer.json())
      const api = new Api(BASE, credentials)
      const { user } = await api.get("/chat/me")
      let id = this.getAttribute("conversation") ?? "support"
      if (id === "support") id = (await api.post("/api/chat/support")).conversationId
      if (this.begun !== mine || !this.isConnected) return
      this.#run(new Chat({ base: BASE, credentials, config, me: user, transport: this.#transport(config) }), id, config)
    } catch (error) {
      if (this.begun !== mine) return
      if (error.status === 401) return this.#unauthorized()
      this.note.textContent = `The chat cannot be opened: ${error.message}.`
      setTimeout(() => this.begun === mine && this.isConnected && void this.#begin(), 5000 * (1 + Math.random()))
    }
  }

  #transport(config) {
    const wanted = this.getAttribute("transport") ?? "sse"
    return config.transports.includes(wanted) ? wanted : "sse"
  }

  #unauthorized() {
    this.note.textContent = "Please sign in again to go on."
    this.dispatchEvent(new CustomEvent("ws2sse-unauthorized", { bubbles: true, composed: true }))
  }

  #run(chat, id, config) {
    this.#chat = chat
    this.chat = chat
    const partner = this.getAttribute("with")
    const conversation = (this.#conversation = partner ? chat.draft(partner) : chat.store.conversation(id))
    const log = (this.log = new LogView(this.scroller, {
      isRead: message => chat.store.isRead(conversation, message),
      address: message => chat.address(conversation, message),
      again: pending => chat.outbox.again(conversation, pending),
      discard: pending => chat.outbox.discard(conversation, pending),
      wantsOlder: () => void older(),
      scrolled: () => this.#look(),
    }))
    this.composer ??= new Composer({
      form: this.form,
      uploads: config.uploads,
      upload: file => this.#chat.upload(file),
      say: (text, attachment) => {
        this.#chat.say(this.#conversation, text, attachment)
        this.log.toBottom()
      },
      typing: isTyping => this.#chat.sayTyping(this.#conversation, isTyping),
    })
    let isLoading = false
    const older = async () => {
      if (isLoading || conversation.before === null) return
      isLoading = true
      const isFirst = conversation.before === undefined
      const first = conversation.messages[0]
      try {
        await chat.older(conversation)
        if (isFirst) log.show(conversation.messages)
        else log.older(conversation.messages.slice(0, conversation.messages.indexOf(first)))
      } catch {
        // Asked for again with the next scroll, or when the connection is back.
      } finally {
        isLoading = false
      }
    }
    const on = (name, take) => chat.addEventListener(name, event => take(event.detail))
    on("unauthorized", () => {
      // A function gets the next one by itself; a fixed token has to be set anew.
      if (typeof this.#token !== "function") this.#unauthorized()
    })
    on("messages", detail => detail.conversation === conversation && !detail.isPage && log.insert(detail.message))
    on("pending", detail => detail.conversation === conversation && log.pending(conversation.pending.filter(one => !one.shadow)))
    on("ticks", detail => detail.conversation === conversation && log.ticks())
    on("typing", detail => {
      if (detail.conversation === conversation) this.typing.textContent = conversation.typing.size ? `${[...conversation.typing.keys()][0]} is typing …` : ""
    })
    on("list", () => this.#count())
    on("said", ({ conversation: where, message }) => {
      if (where !== conversation) return
      if (!message.mine) this.said.textContent = `${message.sender}: ${message.text}`
      const detail = { sender: message.sender, text: message.text, mine: message.mine }
      this.dispatchEvent(new CustomEvent("ws2sse-message", { detail, bubbles: true, composed: true }))
      this.#look()
    })
    on("state", ({ name }) => {
      this.dot.dataset.state = name
      this.dot.setAttribute("aria-label", name === "live" ? "connected" : "connecting")
      this.dispatchEvent(new CustomEvent("ws2sse-state", { detail: { name }, bubbles: true, composed: true }))
      if (name === "live" && conversation.before === undefined) void older()
    })
    log.show([])
    chat.start()
    void older().then(() => this.#look())
  }

  #shown(isOpen) {
    this.panel.hidden = !isOpen
    this.toggle.setAttribute("aria-expanded", String(isOpen))
    if (isOpen) this.log?.toBottom()
    this.#look()
  }

  #look() {
    if (this.#chat && this.open && document.visibilityState === "visible" && document.hasFocus() && this.log.isAtBottom) {
      this.#chat.markRead(this.#conversation)
    }
    this.#count()
  }

  #count() {
    const unread = this.#conversation?.unread ?? 0
    this.badge.hidden = unread === 0
    this.badge.textContent = unread > 99 ? "99+" : String(unread)
    this.badge.setAttribute("aria-label", `${unread} unread`)
  }
}

customElements.define("ws2sse-chat", Ws2SseChat)
