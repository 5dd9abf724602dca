/**
 * SwitchingWebSocket: the WebSocket interface over a native WebSocket or over SseWebSocket, whichever the service's flags
 * give this user; it moves from one to the other and back while it runs.
 *
 * A move: the other connection is opened beside the present one; frames go on coming from the present one, the other one's
 * wait (overlap.js). Once what was sent has gone and nothing is under way that only the present one gets, it is closed;
 * then what waited is handed over, and what was sent meanwhile goes out. An application sees none of it.
 */

import { ask, told } from "./ask.js"
import { wellFormed, utf8Length } from "./bytes.js"
import { CloseEventClass, Handlers, errorEvent } from "./events.js"
import { SseWebSocket } from "./index.js"
import { Overlap, byContent } from "./overlap.js"
import { closeArguments, serviceUrl, subProtocols, webSocketUrl } from "./values.js"

const CONNECTING = 0
const OPEN = 1
const CLOSING = 2
const CLOSED = 3

/** Milliseconds. See docs/guides/drop-in-client.md. */
const DEFAULTS = { settleMs: 1000, patienceMs: 3000, limitMs: 7000, lateMs: 5000, spreadMs: 1000, closeMs: 5000, askTimeoutMs: 5000, openTimeoutMs: 30_000 }
/** How often a move is looked at. */
const LOOK_MS = 50
/** Copies of one frame come within so long; what has no copy by then is an answer to one connection. */
const COPY_MS = 250
const RETRY = { baseMs: 5000, capMs: 60_000 }
/** The network's and the gateway's own codes: they say nothing about the user. RFC 6455, 7.4.1, and the IANA registry. */
const PASSING = new Set([1001, 1005, 1006, 1011, 1012, 1013])

/** @typedef {"websocket" | "sse"} Kind */
/** @typedef {{kind: Kind, socket: WebSocket, openedAt: number, sentAt: number}} Leg */

const other = (/** @type {Kind} */ kind) => (kind === "sse" ? "websocket" : "sse")

export class SwitchingWebSocket extends EventTarget {
  #urls
  #protocols
  #options
  #times
  #handlers = new Handlers()
  #state = CONNECTING
  /** @type {BinaryType} */
  #binaryType = "blob"
  #protocol = ""
  /** @type {Kind} */
  #wanted
  #epoch = 0
  /** @type {Leg | null} whose frames are handed over, and that is sent to */
  #current = null
  /** @type {Leg | null} */
  #next = null
  /** @type {Overlap | null} */
  #overlap = null
  /** @type {{overlap: Overlap, until: number} | null} after a move: copies that are still on their way */
  #late = null
  /** Sends are kept: the one connection takes none any more, the other one none yet. */
  #isHolding = false
  #isLeaving = false
  /** @type {(string | Uint8Array<ArrayBuffer> | Blob)[]} */
  #queue = []
  #queuedBytes = 0
  #failures = 0
  #notBefore = 0
  /** @type {{code: number | null, reason: string} | null} */
  #close = null
  /** @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set()
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #poll

  /**
   * @param {string | URL | {websocket: string | URL, sse: string | URL}} urls
   * @param {string | string[]} [protocols]
   * @param {import("../types/index.d.ts").SwitchingOptions} [options]
   */
  constructor(urls, protocols, options) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.")
    super()
    if (!options?.feature) throw new TypeError("options.feature is required: the name of the feature's flag")
    const pair = typeof urls === "object" && "websocket" in urls ? urls : { websocket: urls, sse: urls }
    this.#urls = { websocket: webSocketUrl(pair.websocket), sse: webSocketUrl(pair.sse) }
    this.#protocols = subProtocols(protocols)
    this.#times = { ...DEFAULTS, ...options }
    const token = options.token ?? fromQuery(this.#urls.sse, options.tokenParameter ?? "token")
    const own = options.fetch
    this.#options = {
      ...options,
      token,
      setup: {
        url: options.transportUrl ? String(options.transportUrl) : new URL("/api/transport", serviceUrl(this.#urls.sse, options.baseUrl)).href,
        feature: options.feature,
        token,
        credentials: options.credentials ?? /** @type {RequestCredentials} */ ("same-origin"),
        fetch: /** @type {typeof globalThis.fetch} */ ((input, init) => (own ?? globalThis.fetch)(input, init)),
        timeoutMs: this.#times.askTimeoutMs,
      },
    }
    this.#wanted = options.fallback ?? "websocket"
    void this.#start()
  }

  /** The present connection's. */
  get url() {
    return this.#urls[this.#current?.kind ?? this.#wanted].href
  }
  get readyState() {
    return this.#state
  }
  get bufferedAmount() {
    return this.#queuedBytes + (this.#current?.socket.bufferedAmount ?? 0)
  }
  get extensions() {
    return this.#current?.socket.extensions ?? ""
  }
  get protocol() {
    return this.#protocol
  }
  /** "websocket" or "sse": what it is on now; null before it is open. */
  get transport() {
    return this.#state === CONNECTING ? null : (this.#current?.kind ?? null)
  }
  get binaryType() {
    return this.#binaryType
  }
  set binaryType(value) {
    if (String(value) === "blob" || String(value) === "arraybuffer") this.#binaryType = /** @type {BinaryType} */ (String(value))
  }

  /** @param {string | ArrayBuffer | ArrayBufferView | Blob} data */
  send(data) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.")
    if (this.#state === CONNECTING) throw new DOMException("Still in CONNECTING state.", "InvalidStateError")
    const payload = copied(data)
    if (this.#state !== OPEN) return
    if (this.#isHolding || this.#queue.length) {
      this.#queue.push(payload)
      this.#queuedBytes += sizeOf(payload)
    } else this.#pass(payload)
  }

  /** @param {number} [code] @param {string} [reason] */
  close(code, reason) {
    const close = closeArguments(code, reason)
    if (this.#state >= CLOSING) return
    const wasOpen = this.#state === OPEN
    this.#state = CLOSING
    this.#close = close
    if (!wasOpen) return void Promise.resolve().then(() => this.#end(1006, "", "it was closed before it was open"))
    if (!this.#isLeaving) this.#closeNow()
  }

  // Beginning ------------------------------------------------------------------------------------------------

  async #start() {
    const answer = await ask(this.#options.setup)
    if (this.#state !== CONNECTING) return
    if (answer) this.#take(answer)
    this.#pollAfter(answer?.pollAfterMs ?? 30_000)
    this.#open(this.#wanted, this.#wanted)
  }

  /** The first connection; where it cannot be had, the other kind. @param {Kind} kind @param {Kind} first */
  #open(kind, first) {
    let problem = "the connection could not be opened"
    const leg = this.#leg(kind, {
      open: () => {
        if (this.#state !== CONNECTING) return leg.socket.close(1000)
        this.#current = leg
        this.#state = OPEN
        this.#protocol = leg.socket.protocol
        this.dispatchEvent(new Event("open"))
        this.#reconcile()
      },
      message: data => this.#current === leg && this.#deliver(data),
      error: message => void (problem = message || problem),
      close: event => {
        if (this.#current === leg) return this.#ended(leg, event)
        if (this.#state !== CONNECTING) return
        if (kind === first) {
          this.#failed()
          this.#open(other(kind), first)
        } else this.#end(event.code, event.reason, problem)
      },
    })
  }

  /**
   * @param {Kind} kind
   * @param {{open(): unknown, message(data: string | ArrayBuffer): unknown, error?(message: string): void, close(event: CloseEvent): void}} on
   * @returns {Leg}
   */
  #leg(kind, on) {
    /** @type {any} */
    let socket
    if (kind === "sse") {
      const { token, baseUrl, fetch, headers, credentials, backoff, requestTimeoutMs, maxBufferedBytes, openTimeoutMs } = this.#options
      const options = { token, baseUrl, fetch, headers, credentials, backoff, requestTimeoutMs, maxBufferedBytes, openTimeoutMs }
      socket = new SseWebSocket(this.#urls.sse, this.#protocols, options)
      socket.addEventListener("transport", (/** @type {MessageEvent} */ event) => {
        const answer = told(parsed(event.data), this.#options.feature)
        if (answer && this.#state < CLOSING) this.#take(answer, Math.random() * this.#times.spreadMs)
      })
    } else {
      const Native = this.#options.WebSocket ?? globalThis.WebSocket
      try {
        socket = new Native(this.#urls.websocket, this.#protocols)
      } catch {
        // There is none (Node.js before 22), or this page may not (ws: from https:). The other kind is all there is.
        socket = never()
      }
    }
    socket.binaryType = "arraybuffer"
    /** @type {Leg} */
    const leg = { kind, socket, openedAt: 0, sentAt: 0 }
    const timer = this.#after(this.#times.openTimeoutMs, () => socket.readyState === CONNECTING && socket.close())
    socket.addEventListener("open", () => {
      this.#forget(timer)
      leg.openedAt = Date.now()
      on.open()
    })
    socket.addEventListener("message", (/** @type {MessageEvent} */ event) => on.message(event.data))
    socket.addEventListener("error", (/** @type {any} */ event) => on.error?.(event.message))
    socket.addEventListener("close", (/** @type {CloseEvent} */ event) => {
      this.#forget(timer)
      on.close(event)
    })
    return leg
  }

  // What the flags say ---------------------------------------------------------------------------------------

  #pollAfter(/** @type {number} */ ms) {
    clearTimeout(this.#poll)
    // Clients that were told together do not ask together.
    this.#poll = setTimeout(async () => {
      const answer = await ask(this.#options.setup)
      if (this.#state >= CLOSING) return
      if (answer) this.#take(answer)
      this.#pollAfter(answer?.pollAfterMs ?? 30_000)
    }, ms * (0.8 + 0.4 * Math.random()))
  }

  #take(/** @type {import("./ask.js").Told} */ answer, delayMs = 0) {
    // An answer that was on its way while a newer one came.
    if (answer.epoch < this.#epoch) return
    if (answer.epoch > this.#epoch) this.#notBefore = 0
    this.#epoch = answer.epoch
    this.#wanted = answer.transport
    if (this.#state !== OPEN) return
    if (delayMs) this.#after(delayMs, () => this.#reconcile())
    else this.#reconcile()
  }

  #reconcile() {
    if (this.#state !== OPEN || !this.#current || this.#isLeaving) return
    if (this.#next) {
      if (this.#next.kind !== this.#wanted) this.#abandon()
      return
    }
    if (this.#current.kind === this.#wanted) return
    const wait = this.#notBefore - Date.now()
    if (wait > 0) this.#after(wait, () => this.#reconcile())
    else this.#move(this.#wanted)
  }

  // Moving ---------------------------------------------------------------------------------------------------

  #move(/** @type {Kind} */ kind) {
    const overlap = (this.#overlap = new Overlap(this.#options.identity ?? byContent))
    /** @type {Leg} */
    const leg = this.#leg(kind, {
      open: () => this.#next === leg && this.#look(leg, overlap),
      message: data => {
        if (this.#next === leg || this.#isLeaving) overlap.held(data)
        else if (this.#current === leg) this.#deliver(data)
      },
      close: event => {
        if (this.#current === leg) return this.#ended(leg, event)
        if (this.#next !== leg) return
        // The present one is being closed already: there is nothing to go on with.
        if (this.#isLeaving) return this.#end(event.code, event.reason, "the connection was lost")
        this.#failed()
        this.#abandon()
        this.#reconcile()
      },
    })
    this.#next = leg
  }

  #failed() {
    const bound = Math.min(RETRY.capMs, RETRY.baseMs * 2 ** this.#failures++)
    this.#notBefore = Date.now() + bound * (0.5 + 0.5 * Math.random())
  }

  /** Stay where it is. */
  #abandon() {
    const next = this.#next
    this.#next = this.#overlap = null
    this.#release()
    next?.socket.close(1000)
  }

  /** Whether the present connection can be closed now; else it is looked at again. */
  #look(/** @type {Leg} */ next, /** @type {Overlap} */ overlap) {
    const current = this.#current
    if (this.#next !== next || !current || this.#state !== OPEN) return
    const { settleMs, patienceMs, limitMs } = this.#times
    const now = Date.now()
    const since = now - next.openedAt
    const isSent = current.socket.bufferedAmount === 0 && now - current.sentAt >= settleMs
    const isDone = isSent && since >= settleMs + COPY_MS && overlap.isLevel && !overlap.isAlone(next.openedAt, now, COPY_MS, settleMs)
    // Who never stops talking is kept waiting for a moment, so that the order of what is sent stays.
    this.#isHolding = since >= patienceMs
    if (isDone || since >= limitMs) this.#leave(next, current, overlap)
    else this.#after(LOOK_MS, () => this.#look(next, overlap))
  }

  #leave(/** @type {Leg} */ next, /** @type {Leg} */ current, /** @type {Overlap} */ overlap) {
    this.#isHolding = this.#isLeaving = true
    const timer = this.#after(this.#times.closeMs, () => this.#arrive(next, overlap))
    current.socket.addEventListener("close", () => {
      this.#forget(timer)
      this.#arrive(next, overlap)
    })
    current.socket.close(1000)
  }

  #arrive(/** @type {Leg} */ next, /** @type {Overlap} */ overlap) {
    if (this.#next !== next) return
    this.#isLeaving = false
    this.#current = next
    this.#next = this.#overlap = null
    this.#failures = 0
    this.#late = { overlap, until: Date.now() + this.#times.lateMs }
    for (const data of overlap.release()) this.#dispatch(data)
    if (next.socket.readyState >= CLOSING) return // its close event ends it all
    this.dispatchEvent(new CustomEvent("transport", { detail: { transport: next.kind, epoch: this.#epoch } }))
    this.#release()
    if (this.#close) this.#closeNow()
    else this.#reconcile()
  }

  /** What was kept goes out. */
  #release() {
    this.#isHolding = false
    for (const payload of this.#queue.splice(0)) this.#pass(payload)
    this.#queuedBytes = 0
  }

  #pass(/** @type {string | Uint8Array<ArrayBuffer> | Blob} */ payload) {
    if (!this.#current) return
    this.#current.sentAt = Date.now()
    this.#current.socket.send(payload)
  }

  // Frames ---------------------------------------------------------------------------------------------------

  #deliver(/** @type {string | ArrayBuffer} */ data) {
    if (this.#overlap) this.#overlap.old(data, Date.now())
    else if (this.#late) {
      if (Date.now() > this.#late.until) this.#late = null
      else if (!this.#late.overlap.late(data)) return
    }
    this.#dispatch(data)
  }

  #dispatch(/** @type {string | ArrayBuffer} */ data) {
    if (this.#state !== OPEN) return
    const given = typeof data === "string" || this.#binaryType === "arraybuffer" ? data : new Blob([data])
    const { protocol, host } = this.#urls[this.#current?.kind ?? this.#wanted]
    this.dispatchEvent(new MessageEvent("message", { data: given, origin: `${protocol}//${host}` }))
  }

  // Ends -----------------------------------------------------------------------------------------------------

  /** The present connection was closed, by whomever. */
  #ended(/** @type {Leg} */ leg, /** @type {CloseEvent} */ event) {
    const next = this.#next
    if (this.#isLeaving) return // #leave waits for it
    const isOpen = next?.socket.readyState === OPEN
    if (this.#state === OPEN && next && isOpen && this.#overlap && PASSING.has(event.code)) {
      // The other one has everything, if it was there long enough and nothing sent is in doubt.
      const now = Date.now()
      const { settleMs } = this.#times
      const isSettled = leg.socket.bufferedAmount === 0 && now - leg.sentAt >= settleMs && now - next.openedAt >= settleMs
      if (isSettled) return this.#arrive(next, this.#overlap)
    }
    this.#end(event.code, event.reason, event.wasClean ? null : "the connection was lost")
  }

  #closeNow() {
    this.#release()
    const { code, reason } = this.#close ?? { code: null, reason: "" }
    const next = this.#next
    this.#next = this.#overlap = null
    next?.socket.close(1000)
    if (code === null) this.#current?.socket.close()
    else this.#current?.socket.close(code, reason)
  }

  #end(/** @type {number} */ code, /** @type {string} */ reason, /** @type {string | null} */ error) {
    if (this.#state === CLOSED) return
    this.#state = CLOSED
    clearTimeout(this.#poll)
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    const next = this.#next
    this.#next = this.#overlap = null
    next?.socket.close(1000)
    if (this.#current?.socket.readyState === OPEN) this.#current.socket.close(1000)
    if (error !== null) this.dispatchEvent(errorEvent(error))
    this.dispatchEvent(new CloseEventClass("close", { wasClean: error === null, code, reason }))
  }

  #after(/** @type {number} */ ms, /** @type {() => void} */ run) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (this.#state !== CLOSED) run()
    }, ms)
    this.#timers.add(timer)
    return timer
  }

  #forget(/** @type {ReturnType<typeof setTimeout>} */ timer) {
    clearTimeout(timer)
    this.#timers.delete(timer)
  }

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
    Object.defineProperty(this.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true })
  }
}

/** A socket that could not be made. @returns {any} */
function never() {
  const socket = Object.assign(new EventTarget(), { readyState: CONNECTING, bufferedAmount: 0, extensions: "", protocol: "", close() {} })
  void Promise.resolve().then(() => {
    socket.readyState = CLOSED
    socket.dispatchEvent(new CloseEventClass("close", { wasClean: false, code: 1006, reason: "" }))
  })
  return socket
}

/** The token that the application puts into the WebSocket's URL, for where there is none of its own. */
function fromQuery(/** @type {URL} */ url, /** @type {string} */ name) {
  const token = url.searchParams.get(name)
  return token ? () => token : undefined
}

function parsed(/** @type {string} */ text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Web IDL: (BufferSource or Blob or USVString), as it is now. @returns {string | Uint8Array<ArrayBuffer> | Blob} */
function copied(/** @type {any} */ data) {
  if (data instanceof Blob) return data
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0))
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
  return wellFormed(String(data))
}

const sizeOf = (/** @type {string | Uint8Array | Blob} */ payload) =>
  typeof payload === "string" ? utf8Length(payload) : payload instanceof Uint8Array ? payload.byteLength : payload.size
