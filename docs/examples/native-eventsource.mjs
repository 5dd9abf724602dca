/**
 * The browser's own EventSource: no header can be set, so a single-use ticket opens the stream, and the cookie that
 * comes with it lets EventSource reconnect by itself.
 *
 *     const stop = follow("/api/chat/stream", { token: () => session.token, onEvent: (type, data) => show(type, data) })
 *
 * Needs nothing but the browser. For headers, POST or other methods take fetch-stream.mjs.
 */
export function follow(stream, { token, onEvent, onProblem = () => {}, tickets = "/api/streams/tickets", types = ["message"] }) {
  let source = null
  let stopped = false
  let failures = 0
  let lastId = ""
  let timer

  async function open() {
    try {
      const answer = await fetch(tickets, { method: "POST", headers: { authorization: `Bearer ${await token()}` } })
      if (!answer.ok) throw new Error(`the ticket was refused with ${answer.status}`)
      const { ticket } = await answer.json()
      if (stopped) return
      const url = new URL(stream, location.href)
      url.searchParams.set("ticket", ticket)
      // A new EventSource knows nothing of the old one's position, and cannot send it in a header.
      if (lastId) url.searchParams.set("lastEventId", lastId)
      source = new EventSource(url, { withCredentials: true })
    } catch (error) {
      onProblem(error)
      return again()
    }
    for (const type of types) source.addEventListener(type, take)
    source.addEventListener("ready", event => {
      failures = 0
      lastId = event.lastEventId || lastId
    })
    // What was missed is not in the log any more: load the history again.
    source.addEventListener("reset", event => onEvent("reset", JSON.parse(event.data)))
    source.addEventListener("farewell", event => JSON.parse(event.data).reason === "token_expired" && again())
    // EventSource reconnects by itself unless the answer was no 200: then it is CLOSED for good.
    source.addEventListener("error", () => source.readyState === EventSource.CLOSED && again())
  }

  function take(event) {
    if (event.lastEventId && event.lastEventId === lastId) return
    lastId = event.lastEventId || lastId
    onEvent(event.type, JSON.parse(event.data))
  }

  function again() {
    source?.close()
    clearTimeout(timer)
    // Full jitter: clients that were cut together do not come back together.
    if (!stopped) timer = setTimeout(open, Math.random() * Math.min(30_000, 500 * 2 ** failures++))
  }

  void open()
  return () => {
    stopped = true
    clearTimeout(timer)
    source?.close()
  }
}
