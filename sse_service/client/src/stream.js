/** One stream of events, read until it ends, is cut, or falls silent. */

import { createParser } from "eventsource-parser"

import { isGone, retryAfter } from "./requests.js"

/** Characters of an event that is not complete: a frame of 128 KiB, each byte of it as a JSON escape, ten times. */
const MAX_EVENT_CHARS = 8 * 1024 * 1024

/** @typedef {{event?: string, id?: string, data: string}} Frame */
/**
 * gone: the connection cannot be resumed. turned: the server asked to come back at once.
 * @typedef {{gone: boolean, turned: boolean, retryAfterMs: number}} Ending
 */

/**
 * @param {(signal: AbortSignal) => Promise<Response>} open
 * @param {{firstMs: number, silenceMs: number, signal: AbortSignal, onFrame: (frame: Frame) => "turn" | void}} options
 *   firstMs: until the first byte; silenceMs: between bytes, heartbeats included
 * @returns {Promise<Ending>} never rejects
 */
export async function readStream(open, { firstMs, silenceMs, signal, onFrame }) {
  const abort = new AbortController()
  /** @type {ReadableStreamDefaultReader<Uint8Array> | undefined} */
  let reader
  const stop = () => {
    abort.abort()
    // Node.js 20 forgets, once garbage was collected, that a body belongs to the signal of its request.
    reader?.cancel().catch(() => {})
  }
  if (signal.aborted) stop()
  signal.addEventListener("abort", stop)
  const watch = new Watch(firstMs, stop)
  const ending = { gone: false, turned: false, retryAfterMs: 0 }
  try {
    const response = await open(abort.signal)
    if (response.status !== 200 || !response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body) {
      // A page that says 200 without events (a captive portal) is no answer of the service.
      ending.gone = isGone(response.status)
      ending.retryAfterMs = retryAfter(response)
      stop()
      return ending
    }
    const parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: frame => {
        if (!ending.turned && !signal.aborted && onFrame(frame) === "turn") ending.turned = true
      },
    })
    const decoder = new TextDecoder()
    reader = response.body.getReader()
    while (!ending.turned && !signal.aborted) {
      const { done, value } = await reader.read()
      if (done) break
      watch.touch(silenceMs)
      parser.feed(decoder.decode(value, { stream: true }))
    }
    stop()
  } catch {
    // Cut, aborted, or more than the parser buffers: what matters is that it ended.
    stop()
  } finally {
    watch.end()
    signal.removeEventListener("abort", stop)
  }
  return ending
}

/** Calls back after a silence. One timer for many touches: a stream may bring thousands of chunks a second. */
class Watch {
  #deadline
  /** @type {ReturnType<typeof setTimeout>} */
  #timer

  constructor(/** @type {number} */ ms, /** @type {() => void} */ silent) {
    this.#deadline = Date.now() + ms
    const look = () => {
      const left = this.#deadline - Date.now()
      if (left > 0) this.#timer = setTimeout(look, left)
      else silent()
    }
    this.#timer = setTimeout(look, ms)
  }

  touch(/** @type {number} */ ms) {
    this.#deadline = Date.now() + ms
  }

  end() {
    clearTimeout(this.#timer)
  }
}
