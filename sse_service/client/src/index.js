/**
 * SseWebSocket: the WebSocket interface over Server-Sent Events and POST.
 *
 * Source: WebSockets Standard (websockets.spec.whatwg.org), 3 "The WebSocket interface" and 6 "Feedback from the
 * protocol"; Web IDL for what arguments become. Wire protocol: docs/guides/drop-in-client.md.
 */

import { utf8Length, wellFormed } from "./bytes.js"
import { CloseEventClass, Handlers, errorEvent } from "./events.js"
import { Session } from "./session.js"
import { closeArguments, serviceUrl, subProtocols, webSocketUrl } from "./values.js"

const CONNECTING = 0
const OPEN = 1
const CLOSING = 2
const CLOSED = 3

const DEFAULTS = {
  credentials: /** @type {RequestCredentials} */ ("same-origin"),
  backoff: { baseMs: 250, capMs: 8000 },
  openTimeoutMs: 30_000,
  requestTimeoutMs: 30_000,
  maxBufferedBytes: 64 * 1024 * 1024,
}

export class SseWebSocket extends EventTarget {
  #url
  #session
  #state = CONNECTING
  #buffered = 0
  #protocol = ""
  /** @type {BinaryType} */
  #binaryType = "blob"
  #handlers = new Handlers()
  #maxBuffered

  /**
   * @param {string | URL} url
   * @param {string | string[]} [protocols]
   * @param {import("../types/index.d.ts").SseWebSocketOptions} [options]
   */
  constructor(url, protocols, options = {}) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.")
    super()
    this.#url = webSocketUrl(url)
    const offered = subProtocols(protocols)
    this.#maxBuffered = options.maxBufferedBytes ?? DEFAULTS.maxBufferedBytes
    const own = options.fetch
    this.#session = new Session({
      url: serviceUrl(this.#url, options.baseUrl),
      query: this.#url.search.slice(1),
      protocols: offered,
      token: options.token,
      headers: options.headers ?? {},
      credentials: options.credentials ?? DEFAULTS.credentials,
      backoff: { ...DEFAULTS.backoff, ...options.backoff },
      openMs: options.openTimeoutMs ?? DEFAULTS.openTimeoutMs,
      requestMs: options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs,
      // Looked up at each call, so that a page that wraps fetch later is heard; fetch wants no other `this`.
      fetch: (input, init) => (own ?? globalThis.fetch)(input, init),
      listener: {
        open: protocol => this.#opened(protocol),
        message: data => this.#received(data),
        acknowledged: bytes => void (this.#buffered -= bytes),
        // No event of WebSocket: for SwitchingWebSocket, and whoever else wants to know.
        told: facts => void this.dispatchEvent(new MessageEvent("transport", { data: facts })),
        closing: () => void (this.#state = CLOSING),
        closed: (code, reason, error) => this.#closed(code, reason, error),
      },
    })
  }

  get url() {
    return this.#url.href
  }
  get readyState() {
    return this.#state
  }
  get bufferedAmount() {
    return this.#buffered
  }
  get extensions() {
    return ""
  }
  get protocol() {
    return this.#protocol
  }
  get binaryType() {
    return this.#binaryType
  }
  set binaryType(value) {
    // An attribute of an enumeration ignores what is not of it (Web IDL, 3.7.6).
    if (String(value) === "blob" || String(value) === "arraybuffer") this.#binaryType = /** @type {BinaryType} */ (String(value))
  }

  /** @param {string | ArrayBuffer | ArrayBufferView | Blob} data */
  send(data) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.")
    const payload = converted(data)
    if (this.#state === CONNECTING) throw new DOMException("Still in CONNECTING state.", "InvalidStateError")
    const bytes = typeof payload === "string" ? utf8Length(payload) : payload instanceof Uint8Array ? payload.byteLength : payload.size
    this.#buffered += bytes
    if (this.#state !== OPEN) return
    // "flagged as full": what cannot be buffered ends the connection (WebSockets Standard, 3.1, send()).
    if (this.#session.outbox.bytes + bytes > this.#maxBuffered) {
      this.#state = CLOSING
      void Promise.resolve().then(() => this.#session.fail("more is buffered than maxBufferedBytes"))
      return
    }
    if (typeof payload === "string") this.#session.outbox.text(payload, bytes)
    else if (payload instanceof Uint8Array) this.#session.outbox.binary(payload)
    else this.#session.outbox.blob(payload)
    this.#session.kick()
  }

  /** @param {number} [code] @param {string} [reason] */
  close(code, reason) {
    const close = closeArguments(code, reason)
    if (this.#state >= CLOSING) return
    this.#state = CLOSING
    this.#session.close(close.code, close.reason)
  }

  #opened(/** @type {string} */ protocol) {
    if (this.#state !== CONNECTING) return
    this.#state = OPEN
    this.#protocol = protocol
    this.dispatchEvent(new Event("open"))
  }

  #received(/** @type {string | Uint8Array<ArrayBuffer>} */ message) {
    if (this.#state !== OPEN) return
    const data = typeof message === "string" ? message : this.#binaryType === "blob" ? new Blob([message]) : message.buffer
    this.dispatchEvent(new MessageEvent("message", { data, origin: `${this.#url.protocol}//${this.#url.host}` }))
  }

  #closed(/** @type {number} */ code, /** @type {string} */ reason, /** @type {string | null} */ error) {
    this.#state = CLOSED
    if (error !== null) this.dispatchEvent(errorEvent(error))
    this.dispatchEvent(new CloseEventClass("close", { wasClean: error === null, code, reason }))
  }

  /** onopen, onmessage, onerror, onclose: see below. */
  static {
    for (const type of ["open", "message", "error", "close"]) {
      Object.defineProperty(this.prototype, `on${type}`, {
        get() {
          return this.#handlers.get(type)
        },
        set(value) {
          this.#handlers.set(this, type, value)
        },
        enumerable: true,
        configurable: true,
      })
    }
    for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
      Object.defineProperty(this, name, { value, enumerable: true })
      Object.defineProperty(this.prototype, name, { value, enumerable: true })
    }
    // Members of a Web IDL interface are enumerable.
    for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(this.prototype))) {
      if (name !== "constructor") Object.defineProperty(this.prototype, name, { ...member, enumerable: true })
    }
    // Code that asks an object what it is should hear what it hears of a WebSocket.
    Object.defineProperty(this.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true })
  }
}

export default SseWebSocket

/** Web IDL: (BufferSource or Blob or USVString). What may change later is copied. @returns {string | Uint8Array | Blob} */
function converted(/** @type {any} */ data) {
  if (data instanceof Blob) return data
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0))
  if (ArrayBuffer.isView(data)) {
    if (!(data.buffer instanceof ArrayBuffer)) throw new TypeError("A view of shared memory cannot be sent.")
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
  }
  return wellFormed(String(data))
}
