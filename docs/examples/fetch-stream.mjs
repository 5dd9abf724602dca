/**
 * A stream read with fetch: an Authorization header, and resuming by Last-Event-ID. For browsers and Node.js 20.
 *
 *     import { createParser } from "eventsource-parser"
 *     for await (const { type, data } of follow(url, { token, createParser, signal })) show(type, data)
 *
 * eventsource-parser (npm) does the parsing. The loop ends when the signal is aborted; it throws on what no new attempt
 * can mend (any answer from 400 on, but 401 once, 408, 429 and 5xx).
 */
export async function* follow(url, { token, createParser, signal, fetch = globalThis.fetch, silenceMs = 45_000 }) {
  let lastId = ""
  let failures = 0
  let refused = false
  while (!signal?.aborted) {
    let wait = 0
    const cut = new AbortController()
    const stop = () => cut.abort()
    signal?.addEventListener("abort", stop)
    // Heartbeats are comments; a stream that is silent for longer is dead, whatever TCP believes.
    let timer = setTimeout(stop, silenceMs)
    try {
      const headers = { accept: "text/event-stream", authorization: `Bearer ${await token()}` }
      if (lastId) headers["last-event-id"] = lastId
      const response = await fetch(url, { headers, signal: cut.signal, cache: "no-store" })
      if (response.status === 401 && !refused) {
        refused = true // perhaps the token had just expired: token() may know a new one
        continue
      }
      if (response.status >= 400 && response.status < 500 && ![408, 429].includes(response.status)) {
        throw Object.assign(new Error(`the stream was refused with ${response.status}`), { isFinal: true })
      }
      wait = 1000 * Number(response.headers.get("retry-after") ?? 0)
      if (!response.ok) throw new Error(`${response.status}`)
      refused = false
      let arrived = []
      const parser = createParser({ onEvent: event => arrived.push(event) })
      const decoder = new TextDecoder()
      const reader = response.body.getReader()
      cut.signal.addEventListener("abort", () => reader.cancel().catch(() => {}))
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        clearTimeout(timer)
        timer = setTimeout(stop, silenceMs)
        parser.feed(decoder.decode(value, { stream: true }))
        const events = arrived
        arrived = []
        for (const { event = "message", id, data } of events) {
          if (event === "ready") failures = 0
          if (!["ready", "rotate", "farewell", "transport"].includes(event)) yield { type: event, id, data: JSON.parse(data) }
          // After the yield: whoever stops between two events gets the second one when it comes back.
          if (id) lastId = id
        }
      }
    } catch (error) {
      if (error.isFinal) throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener("abort", stop)
      stop()
    }
    if (signal?.aborted) return
    const pause = Math.max(wait, Math.random() * Math.min(30_000, 500 * 2 ** failures++))
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}
