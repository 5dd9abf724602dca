/** The requests of one connection (wire protocol: docs/guides/drop-in-client.md). They never reject. */

const SDK = "ws2sse/1"
/** What browsers let a page send while it goes away (Fetch standard, 4.6: 64 KiB for all keepalive requests together). */
export const BEACON_BYTES = 60_000

/**
 * status: 0 for no answer at all. body: of a JSON answer, else null. retryAfterMs: what the server asks for.
 * @typedef {{status: number, body: any, retryAfterMs: number}} Answer
 */

/** @type {Answer} */
const NO_ANSWER = { status: 0, body: null, retryAfterMs: 0 }

/** The connection is gone, or this client is not its owner: nothing to come back to. */
export const isGone = (/** @type {number} */ status) => [401, 403, 404, 410].includes(status)
/** Worth another try: no answer, too many, or trouble of the server. */
export const isPassing = (/** @type {number} */ status) => status === 0 || status === 408 || status === 425 || status === 429 || status >= 500

export class Requests {
  /**
   * @param {URL} url of the API @param {typeof globalThis.fetch} fetch @param {RequestCredentials} credentials
   * @param {number} timeoutMs of one request
   */
  constructor(url, fetch, credentials, timeoutMs) {
    this.url = url
    this.fetch = fetch
    this.timeoutMs = timeoutMs
    /** @type {RequestInit} redirects would carry the connection's secret elsewhere; WebSocket follows none either. */
    this.common = { credentials, cache: "no-store", redirect: "error" }
    this.secret = ""
    this.sendUrl = this.streamUrl = this.connectionUrl = url.href
  }

  /** @param {{protocols: string[], query: string, headers: HeadersInit}} handshake @returns {Promise<Answer>} */
  open({ protocols, query, headers }) {
    const all = new Headers(headers)
    all.set("content-type", "application/json")
    return this.#call(this.url.href, { method: "POST", headers: all, body: JSON.stringify({ protocols, query, sdk: SDK }) })
  }

  /** Take the addresses from the answer to open(). @throws TypeError where they leave the origin */
  use(/** @type {any} */ { secret, streamPath, sendPath }) {
    this.secret = secret
    this.streamUrl = this.#own(streamPath)
    this.sendUrl = this.#own(sendPath)
    this.connectionUrl = this.sendUrl.replace(/\/[^/]*$/, "")
  }

  #own(/** @type {string} */ path) {
    const url = new URL(path, this.url)
    if (url.origin !== this.url.origin) throw new TypeError("the service named an address of another origin")
    return url.href
  }

  /**
   * @param {string} messages JSON list @param {number} received number of the last event; the server need not keep it
   * @param {AbortSignal} signal @returns {Promise<Answer>}
   */
  send(messages, received, signal) {
    return this.#call(this.sendUrl, this.#owned("POST", `{"received":${received},"messages":${messages}}`), signal)
  }

  /** @param {{code: number | null, reason: string}} close @param {number} seq @param {AbortSignal} [signal] */
  close({ code, reason }, seq, signal) {
    return this.#call(this.connectionUrl, this.#owned("DELETE", JSON.stringify({ code, reason, seq })), signal)
  }

  /** Without waiting, as the page goes away. text/plain needs no preflight, for which there would be no time. */
  beacon(/** @type {{code: number, reason: string}} */ { code, reason }, /** @type {string} */ messages) {
    const url = `${this.connectionUrl}/close`
    const close = `"secret":${JSON.stringify(this.secret)},"code":${code},"reason":${JSON.stringify(reason)}`
    // Where the messages are more than the browser lets through, the close at least arrives.
    for (const body of [`{${close},"messages":${messages}}`, `{${close}}`]) {
      try {
        if (globalThis.navigator?.sendBeacon?.(url, body)) return
      } catch {
        // Not allowed here; the other way.
      }
    }
    void this.#call(url, { method: "POST", body: `{${close}}`, keepalive: true })
  }

  /** @param {number} lastId @param {AbortSignal} signal @returns {Promise<Response>} rejects as fetch does */
  stream(lastId, signal) {
    const headers = { accept: "text/event-stream", authorization: `Connection ${this.secret}`, "last-event-id": String(lastId) }
    return this.fetch(this.streamUrl, { ...this.common, headers, signal })
  }

  /** @returns {RequestInit} */
  #owned(/** @type {string} */ method, /** @type {string} */ body) {
    return { method, body, headers: { authorization: `Connection ${this.secret}`, "content-type": "application/json" } }
  }

  async #exchange(/** @type {string} */ url, /** @type {RequestInit} */ init) {
    const response = await this.fetch(url, init)
    const text = await response.text()
    return { status: response.status, body: parsed(text), retryAfterMs: retryAfter(response) }
  }

  /** @param {string} url @param {RequestInit} init @param {AbortSignal} [signal] @returns {Promise<Answer>} */
  async #call(url, init, signal) {
    const abort = new AbortController()
    /** @type {() => void} */
    let stop = () => {}
    /** @type {Promise<Answer>} Beside the request, which may not hear of the abort any more (see stream.js). */
    const stopped = new Promise(resolve => {
      stop = () => {
        abort.abort()
        resolve(NO_ANSWER)
      }
    })
    const timer = setTimeout(stop, this.timeoutMs)
    if (signal?.aborted) stop()
    signal?.addEventListener("abort", stop)
    try {
      return await Promise.race([this.#exchange(url, { ...this.common, ...init, signal: abort.signal }), stopped])
    } catch {
      return NO_ANSWER
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener("abort", stop)
    }
  }
}

function parsed(/** @type {string} */ text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Retry-After in seconds (RFC 9110, 10.2.3); the form with a date is not used by the service. */
export function retryAfter(/** @type {Response} */ response) {
  const seconds = Number(response.headers.get("retry-after") ?? 0)
  return seconds > 0 ? seconds * 1000 : 0
}
