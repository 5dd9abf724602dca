/**
 * One virtual connection: opened by POST, followed as a stream, sent to by POST, closed by DELETE.
 *
 * Two loops run beside each other. `#follow` reads streams, one after the other, and resumes each by the number of
 * the last event. `#pump` sends what is in the outbox, one POST at a time, until it is acknowledged by an answer or by
 * the stream. Either loop ends the connection when there is nothing to come back to; then everything is aborted.
 */

import { fromBase64 } from "./bytes.js"
import { Outbox } from "./outbox.js"
import { onPage } from "./page.js"
import { Pauses, jittered } from "./pauses.js"
import { BEACON_BYTES, Requests, isGone, isPassing } from "./requests.js"
import { readStream } from "./stream.js"

const ABNORMAL = 1006
const TOO_BIG = 1009
const GOING_AWAY = 1001
/** How long the answer to a POST is waited for once the stream has acknowledged all of it. */
const ANSWER_GRACE_MS = 1000
/** A stream that lived shorter and asks for the next one is a failure: no tight loops. */
const SHORT_MS = 1000

/**
 * told: on which transport the user is now, as JSON. closed: exactly once. error: what failed, or null for a clean end.
 * @typedef {{open(protocol: string): void, message(data: string | Uint8Array<ArrayBuffer>): void, acknowledged(bytes: number): void,
 *   told(facts: string): void, closing(): void, closed(code: number, reason: string, error: string | null): void}} Listener
 */
/**
 * @typedef {{url: URL, query: string, protocols: string[], listener: Listener, fetch: typeof globalThis.fetch,
 *   token?: () => string | Promise<string>, headers: HeadersInit, credentials: RequestCredentials,
 *   backoff: {baseMs: number, capMs: number}, openMs: number, requestMs: number}} Setup
 */

export class Session {
  outbox = new Outbox()
  #setup
  #requests
  #pauses = new Pauses()
  #abort = new AbortController()
  #over = false
  #open = false
  #pumping = false
  #left = false
  /** @type {{code: number | null, reason: string} | null} */
  #closing = null
  #closeTried = false
  /** Number of the last event that was taken. */
  #lastId = 0
  #limits = { windowMs: 60_000, messageBytes: 131_072, batchBytes: 1_000_000, silenceMs: 45_000 }
  /** @type {() => void} */
  #forget = () => {}
  /** @type {{last: number, answered: AbortController} | null} */
  #inFlight = null

  constructor(/** @type {Setup} */ setup) {
    this.#setup = setup
    this.#requests = new Requests(setup.url, setup.fetch, setup.credentials, setup.requestMs)
    void this.#run()
  }

  /** Something is in the outbox. */
  kick() {
    // Once the running task is through, so that what it sends one after the other goes up in one request.
    if (!this.#pumping) void Promise.resolve().then(() => this.#pump())
  }

  /** After everything was sent. code: null for none. While it is not open yet, it fails. */
  close(/** @type {number | null} */ code, /** @type {string} */ reason) {
    this.#closing = { code, reason }
    if (!this.#open) void Promise.resolve().then(() => this.fail("it was closed before it was open"))
    else this.kick()
  }

  fail(/** @type {string} */ why) {
    if (this.#over) return
    this.#end(ABNORMAL, "", why)
    // So that the server does not keep it for the whole window. What comes of it does not matter.
    if (this.#requests.secret) void this.#requests.close({ code: null, reason: "" }, this.outbox.acked)
  }

  #end(/** @type {number} */ code, /** @type {string} */ reason, /** @type {string | null} */ error) {
    if (this.#over) return
    this.#over = true
    this.#forget()
    this.#abort.abort()
    this.#pauses.end()
    this.outbox.clear()
    this.#setup.listener.closed(code, reason, error)
  }

  async #run() {
    const offer = await this.#handshake()
    if (typeof offer === "string") return this.fail(offer)
    const problem = this.#accept(offer)
    if (problem) return this.fail(problem)
    // Closed meanwhile: the server opened it in vain.
    if (this.#over) return void this.#requests.close({ code: null, reason: "" }, 0)
    this.#forget = onPage({ wake: () => this.#pauses.wake(), leave: () => this.#leave(), back: () => this.#back() })
    const timer = setTimeout(() => this.#open || this.fail("no stream within the time to open"), this.#setup.openMs)
    this.#abort.signal.addEventListener("abort", () => clearTimeout(timer))
    await this.#follow()
  }

  /** @returns {Promise<any>} the offer, or a string saying what went wrong */
  async #handshake() {
    const { protocols, query, token } = this.#setup
    for (let attempt = 0; ; attempt++) {
      const headers = new Headers(this.#setup.headers)
      try {
        if (token) headers.set("authorization", `Bearer ${await token()}`)
      } catch {
        return "the token callback failed"
      }
      if (this.#over) return "closed"
      const { status, body } = await this.#requests.open({ protocols, query, headers })
      if (status === 200 || status === 201) return body ?? "the handshake was answered without JSON"
      // A token may have ended between the callback and the server: once more with a fresh one.
      if (status !== 401 || !token || attempt) return status ? `the handshake was answered with ${status}` : "the handshake had no answer"
    }
  }

  /** @returns {string} what is wrong with the offer; "" when it is fine */
  #accept(/** @type {any} */ offer) {
    const { protocols } = this.#setup
    const { protocol = "" } = offer
    try {
      if (![offer.secret, offer.streamPath, offer.sendPath].every(text => typeof text === "string")) return "the offer is incomplete"
      this.#requests.use(offer)
    } catch (error) {
      return String(error)
    }
    // RFC 6455, 4.1 point 6 of the response; WebSockets Standard, 2.2: none chosen of those offered fails as well.
    if (protocols.length ? !protocols.includes(protocol) : protocol !== "") return "the server chose no subprotocol that was offered"
    const limits = this.#limits
    limits.windowMs = positive(offer.resumeWindowMs, limits.windowMs)
    limits.messageBytes = positive(offer.maxMessageBytes, limits.messageBytes)
    limits.batchBytes = positive(offer.maxBatchBytes, limits.batchBytes)
    limits.silenceMs = 3 * positive(offer.heartbeatMs, limits.silenceMs / 3)
    this.protocol = protocol
    return ""
  }

  async #follow() {
    let failures = 0
    let lostAt = Date.now()
    while (!this.#over) {
      const started = Date.now()
      let ready = false
      const ending = await readStream(signal => this.#requests.stream(this.#lastId, signal), {
        firstMs: Math.min(this.#setup.requestMs, this.#limits.silenceMs),
        silenceMs: this.#limits.silenceMs,
        signal: this.#abort.signal,
        onFrame: frame => {
          ready ||= frame.event === "ready"
          return this.#take(frame)
        },
      })
      if (this.#over || this.#left) return
      // Gone is what a close asks for, when the answer to it was lost.
      if (ending.gone && this.#closeTried) return this.#closedByUs()
      if (ending.gone) return this.fail("the server does not know the connection any more")
      const now = Date.now()
      if (ready) [failures, lostAt] = [0, now]
      else if (now - lostAt > this.#limits.windowMs) return this.fail("no stream for longer than the server keeps the connection")
      if (ending.turned && now - started > SHORT_MS) continue
      await this.#pauses.sleep(Math.max(ending.retryAfterMs, jittered(failures++, this.#setup.backoff)))
    }
  }

  /** @param {import("./stream.js").Frame} frame @returns {"turn" | void} */
  #take({ event, id, data }) {
    try {
      if (event === "rotate") return "turn"
      if (event === "ready") return this.#ready(JSON.parse(data))
      if (event === "transport") return this.#setup.listener.told(data)
      if (!event || !["text", "binary", "ack", "close"].includes(event)) return
      const number = Number(id ?? NaN)
      if (number <= this.#lastId) return
      if (number > this.#lastId + 1) return this.fail("events are missing")
      if (number) this.#lastId = number
      if (event === "ack") this.#acknowledged(JSON.parse(data).seq)
      else if (event === "close") this.#closed(JSON.parse(data))
      else if (!this.#closing) this.#setup.listener.message(event === "text" ? String(JSON.parse(data)) : fromBase64(data))
    } catch {
      this.fail("the server sent what cannot be read")
    }
  }

  #ready(/** @type {{resumed: boolean, acked: number}} */ { resumed, acked }) {
    if (resumed === false && this.#lastId > 0) return this.fail("events are missing")
    this.#acknowledged(acked)
    if (!this.#open) {
      this.#open = true
      this.#setup.listener.open(this.protocol ?? "")
    }
    // A stream that works is news for a POST that waits for its next attempt.
    this.#pauses.wake()
  }

  #closed(/** @type {{code: number | null, reason?: string}} */ { code, reason = "" }) {
    if (code === ABNORMAL) return this.#end(ABNORMAL, "", "the server ended the connection")
    this.#setup.listener.closing()
    this.#end(code ?? 1005, reason, null)
  }

  #acknowledged(/** @type {number} */ upTo) {
    const bytes = this.outbox.ack(upTo)
    if (bytes) this.#setup.listener.acknowledged(bytes)
    const flight = this.#inFlight
    if (flight && flight.last <= this.outbox.acked) setTimeout(() => flight.answered.abort(), ANSWER_GRACE_MS)
  }

  async #pump() {
    if (this.#pumping || !this.#open) return
    this.#pumping = true
    let failures = 0
    let since = Date.now()
    while (!this.#over && !this.#left && this.outbox.head) {
      const before = this.outbox.acked
      const retryAfterMs = await this.#sendSome()
      if (this.outbox.acked > before) [failures, since] = [0, Date.now()]
      else if (this.#over) break
      else if (Date.now() - since > this.#limits.windowMs) this.fail("nothing could be sent for longer than the server keeps the connection")
      else await this.#pauses.sleep(Math.max(retryAfterMs, jittered(failures++, this.#setup.backoff)))
    }
    this.#pumping = false
    if (this.#closing && !this.#over && !this.#left) await this.#sendClose(this.#closing)
  }

  /** @returns {Promise<number>} what to wait for at least when nothing was acknowledged, in ms */
  async #sendSome() {
    const { messageBytes, batchBytes } = this.#limits
    try {
      await this.outbox.load()
    } catch {
      this.fail("a Blob could not be read")
      return 0
    }
    if (this.#over || this.#left) return 0
    const batch = this.outbox.batch(batchBytes, messageBytes)
    if (!batch.count) {
      this.#tooBig()
      return 0
    }
    const answered = new AbortController()
    const stop = () => answered.abort()
    this.#abort.signal.addEventListener("abort", stop)
    this.#inFlight = { last: batch.last, answered }
    const { status, body, retryAfterMs } = await this.#requests.send(batch.json, this.#lastId, answered.signal)
    this.#inFlight = null
    this.#abort.signal.removeEventListener("abort", stop)
    if (this.#over || this.#left) return 0
    if ((status === 200 || status === 409) && Number.isInteger(body?.acked)) {
      if (body.acked < this.outbox.acked && status === 409) this.fail("the server lost messages it had acknowledged")
      else this.#acknowledged(body.acked)
    } else if (status === 413) this.#tooBig()
    else if (isGone(status)) this.fail("the server does not know the connection any more")
    else if (status !== 200 && !isPassing(status)) this.fail(`a message was answered with ${status}`)
    return retryAfterMs
  }

  /** RFC 6455, 7.4.1: 1009. A server that got it would close so; it is not made to take it all first. */
  #tooBig() {
    const reason = "Message too big"
    this.#setup.listener.closing()
    this.#end(TOO_BIG, reason, null)
    void this.#requests.close({ code: TOO_BIG, reason }, this.outbox.acked)
  }

  async #sendClose(/** @type {{code: number | null, reason: string}} */ close) {
    const since = Date.now()
    this.#closeTried = true
    for (let failures = 0; !this.#over && !this.#left; failures++) {
      const { status, retryAfterMs } = await this.#requests.close(close, this.outbox.last, this.#abort.signal)
      if (this.#over || this.#left) return
      if ((status >= 200 && status < 300) || status === 404 || status === 410) return this.#closedByUs()
      if (!isPassing(status) || Date.now() - since > this.#limits.windowMs) return this.#end(ABNORMAL, "", "the close could not be sent")
      await this.#pauses.sleep(Math.max(retryAfterMs, jittered(failures, this.#setup.backoff)))
    }
  }

  #closedByUs() {
    this.#end(this.#closing?.code ?? 1005, this.#closing?.reason ?? "", null)
  }

  /** The page goes away, perhaps to come back from the browser's cache of pages: the connection does not. */
  #leave() {
    if (this.#over || this.#left) return
    this.#left = true
    const { json } = this.outbox.batch(BEACON_BYTES, BEACON_BYTES)
    this.#requests.beacon({ code: this.#closing?.code ?? GOING_AWAY, reason: this.#closing?.reason ?? "" }, json)
    this.#abort.abort()
    this.#pauses.wake()
  }

  #back() {
    if (this.#left) this.#end(ABNORMAL, "", "the page had gone away")
  }
}

const positive = (/** @type {unknown} */ value, /** @type {number} */ otherwise) =>
  typeof value === "number" && value > 0 ? value : otherwise
