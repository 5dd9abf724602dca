// Three ways for the same frames: a stream of Server-Sent Events, the drop-in client, the WebSocket of the legacy stack.
//
// Each has start(), stop(), send(message), `live` (a promise of the first connection), and tells its owner:
// frame(type, data), state(name, detail), gap() (something may have been missed: ask the history), unauthorized().

import { createParser } from "./eventsource-parser.js"

const BASE_MS = 400
const CAP_MS = 15_000

/** Exponential back-off with full jitter: clients that were cut together do not come back together. */
export const pauseMs = failures => Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** failures)

class Transport {
  constructor(api, owner) {
    this.api = api
    this.owner = owner
    this.failures = 0
    this.isStopped = false
    this.isLive = false
    this.live = new Promise((resolve, reject) => {
      this.nowLive = resolve
      this.never = reject
    })
    this.live.catch(() => {})
    this.wake = () => {}
    this.online = () => {
      this.failures = 0
      this.wake()
    }
    this.offline = () => this.resumes || this.cut()
  }

  start() {
    addEventListener("online", this.online)
    addEventListener("offline", this.offline)
    void this.run()
  }

  stop() {
    this.isStopped = true
    this.isLive = false
    removeEventListener("online", this.online)
    removeEventListener("offline", this.offline)
    this.never(new Error("stopped"))
    this.cut()
    this.wake()
  }

  async run() {
    while (!this.isStopped) {
      this.owner.state(this.failures ? "waiting" : "connecting", "")
      let leastMs = 0
      try {
        leastMs = (await this.connect()) ?? 0
      } catch (error) {
        if (error.isFinal) {
          this.owner.state("refused", error.message)
          this.never(error)
          return
        }
      }
      this.isLive = false
      if (this.isStopped) return
      this.owner.state("waiting", "")
      await this.pause(Math.max(leastMs, pauseMs(this.failures++)))
    }
  }

  pause(ms) {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  opened() {
    this.failures = 0
    this.isLive = true
    this.owner.state("live", "")
    this.nowLive()
  }
}

/** The key of a message makes repeats harmless, over REST and over the drop-in alike. */
const body = message => ({
  ...(message.with ? { with: message.with } : { conversationId: message.conversationId }),
  message: message.text,
  idempotencyKey: message.key,
  ...(message.attachment ? { attachment: message.attachment } : {}),
})

export class SseTransport extends Transport {
  constructor(api, owner, { heartbeatMs }) {
    super(api, owner)
    this.silenceMs = 3 * heartbeatMs
    this.lastId = ""
    this.abort = null
  }

  send(message) {
    return this.api.post("/api/chat/send", body(message))
  }

  cut() {
    this.abort?.abort()
  }

  /** One stream until its end. Returns the shortest pause before the next one, milliseconds. */
  async connect() {
    const abort = new AbortController()
    this.abort = abort
    let timer = setTimeout(() => abort.abort(), this.silenceMs)
    try {
      const headers = { ...(await this.api.credentials()), accept: "text/event-stream" }
      if (this.lastId) headers["last-event-id"] = this.lastId
      const answer = await fetch(`${this.api.base}/api/chat/stream`, { headers, signal: abort.signal, cache: "no-store" })
      if (answer.status === 401) this.owner.unauthorized()
      if (!answer.ok) {
        const isFinal = answer.status < 500 && ![401, 408, 429].includes(answer.status)
        if (isFinal) throw Object.assign(new Error(`the stream was refused with ${answer.status}`), { isFinal })
        return 1000 * Number(answer.headers.get("retry-after") ?? 0)
      }
      let retryMs = 0
      const parser = createParser({
        onRetry: ms => (retryMs = ms),
        onEvent: event => {
          this.take(event)
          if (event.id) this.lastId = event.id
        },
      })
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        clearTimeout(timer)
        timer = setTimeout(() => abort.abort(), this.silenceMs)
        if (!this.isStopped) parser.feed(value)
      }
      // The service has said goodbye and how soon to come back: that is no failure.
      return Math.random() * retryMs
    } finally {
      clearTimeout(timer)
      abort.abort()
    }
  }

  take({ event = "message", data }) {
    const value = JSON.parse(data)
    if (event === "ready") {
      this.opened()
      if (!value.recovered) this.owner.gap()
    } else if (event === "reset") this.owner.gap()
    else if (event === "farewell" && value.reason === "token_expired") this.owner.unauthorized()
    else if (!["rotate", "farewell", "keepalive"].includes(event)) this.owner.frame(event, value)
  }
}

/** What both sockets have in common; `make` opens one. */
class SocketTransport extends Transport {
  constructor(api, owner, make) {
    super(api, owner)
    this.make = make
    this.socket = null
    this.waiting = new Map()
  }

  cut() {
    this.socket?.close(1000)
    this.hangUp?.()
  }

  async connect() {
    const socket = await this.make()
    if (this.isStopped) return socket.close(1000)
    this.socket = socket
    await new Promise(resolve => {
      this.hangUp = resolve
      socket.onopen = () => this.greeted(socket)
      socket.onclose = resolve
      socket.onmessage = event => this.socket === socket && this.heard(JSON.parse(event.data))
    })
    const was = this.isLive
    this.socket = null
    for (const one of this.waiting.values()) one.reject(this.broken())
    this.waiting.clear()
    // A handshake says little about why it was refused; a request does.
    if (!was && !this.isStopped) await this.api.get("/chat/me").catch(() => {})
    return 0
  }

  /** The answer to a message, or its end with the connection. */
  answer(key, frame) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== 1) return reject(Object.assign(new Error("not connected"), { isPassing: true }))
      this.waiting.set(key, { resolve, reject, frame })
      this.socket.send(JSON.stringify(frame))
    })
  }
}

/** WebSocket's interface over SSE and POST, to this service. */
export class DropInTransport extends SocketTransport {
  constructor(api, owner, { dropIn }) {
    super(api, owner, async () => {
      const { SseWebSocket } = await import("./sse-websocket.js")
      const url = new URL(api.base + dropIn.path, location.href)
      return new SseWebSocket(url, [], { headers: await api.credentials() })
    })
  }

  /** It resumes by itself what it has not lost for good. */
  get resumes() {
    return true
  }

  broken() {
    return Object.assign(new Error("the connection broke"), { isPassing: true })
  }

  greeted(socket) {
    socket.send(JSON.stringify({ action: "subscribe" }))
  }

  heard(frame) {
    const waiting = this.waiting.get(frame.key)
    if (frame.type === "subscribed") {
      this.opened()
      this.owner.gap()
    } else if (frame.type === "reset") this.owner.gap()
    else if (waiting && frame.type === "sent") {
      this.waiting.delete(frame.key)
      waiting.resolve(frame)
    } else if (waiting && frame.type === "refused") {
      this.waiting.delete(frame.key)
      const isPassing = frame.status === 429 || frame.status >= 500
      waiting.reject(Object.assign(new Error(frame.detail || `refused with ${frame.status}`), { isPassing }))
    } else this.owner.frame(frame.type, frame)
  }

  send(message) {
    const { conversationId, idempotencyKey, ...rest } = body(message)
    return this.answer(message.key, { action: "sendMessage", roomId: conversationId, key: idempotencyKey, ...rest })
  }
}

/** The legacy stack's WebSocket, for the rooms that are on it; it has neither keys nor receipts. */
class RoomsSocket extends SocketTransport {
  constructor(api, owner, { websocket }) {
    super(api, owner, async () => {
      const url = new URL(websocket.url)
      // Browsers set no headers on a WebSocket: this stack takes the token from its URL, and from nowhere else.
      const token = (await api.credentials()).authorization?.slice("Bearer ".length)
      if (token) url.searchParams.set("token", token)
      return new WebSocket(url)
    })
    this.rooms = websocket.rooms
  }

  broken() {
    // Whether it was stored is not known; the history tells.
    return Object.assign(new Error("the connection broke before the message was confirmed"), { isUncertain: true })
  }

  greeted() {
    this.opened()
    this.owner.gap()
  }

  heard(frame) {
    if (frame.type === "error" || (frame.type === undefined && frame.message)) {
      const [key, first] = this.waiting.entries().next().value ?? []
      if (first) {
        this.waiting.delete(key)
        first.reject(new Error(frame.message))
      }
    } else if (frame.type === "message" && this.rooms.includes(frame.roomId)) {
      for (const [key, { frame: sent, resolve }] of this.waiting) {
        if (sent.message === frame.message && sent.roomId === frame.roomId && sent.userName === frame.userName) {
          this.waiting.delete(key)
          // Before the frame is taken: it is the answer, not another message.
          resolve(frame)
          break
        }
      }
      this.owner.frame("message", frame)
    }
  }

  send(message) {
    const { key, conversationId: roomId, text } = message
    return this.answer(key, { action: "sendMessage", userName: message.sender, message: text, roomId })
  }
}

/** The WebSocket for its rooms; direct messages, typing and receipts, which it does not have, over SSE. */
export class WebSocketTransport {
  constructor(api, owner, config) {
    this.rooms = new Set(config.websocket.rooms)
    this.socket = new RoomsSocket(api, owner, config)
    const rest = { ...owner, state: () => {}, frame: (type, data) => this.isForStream(type, data) && owner.frame(type, data) }
    this.stream = new SseTransport(api, rest, config)
    this.live = Promise.all([this.socket.live, this.stream.live])
    this.live.catch(() => {})
  }

  get isLive() {
    return this.socket.isLive && this.stream.isLive
  }

  isForStream(type, data) {
    return type !== "message" || "senderEmail" in data || !this.rooms.has(data.roomId)
  }

  start() {
    this.socket.start()
    this.stream.start()
  }

  stop() {
    this.socket.stop()
    this.stream.stop()
  }

  send(message) {
    const isTheirs = this.rooms.has(message.conversationId) && !message.attachment
    return (isTheirs ? this.socket : this.stream).send(message)
  }
}

export const TRANSPORTS = { sse: SseTransport, "drop-in": DropInTransport, websocket: WebSocketTransport }
export const NAMES = { sse: "SSE", "drop-in": "Drop-in", websocket: "WebSocket" }
