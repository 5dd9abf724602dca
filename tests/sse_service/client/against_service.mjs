/**
 * The drop-in against `sse-service serve`: argv[2] is the WebSocket URL, argv[3] what to do. Prints what happened as JSON.
 * Every fifth POST's answer is dropped and streams are cut here, on this side of the wire.
 */
import { SseWebSocket } from "../../../sse_service/client/dist/sse-websocket.js"

const [, , url, what] = process.argv
const counts = { posts: 0, dropped: 0, cut: 0 }

async function flaky(input, init) {
  const response = await fetch(input, init)
  if (init.method === "POST" && String(input).endsWith("/messages") && ++counts.posts % 5 === 0) {
    counts.dropped++
    throw new TypeError("dropped")
  }
  if (!String(input).endsWith("/stream") || !response.ok) return response
  let left = 3
  const cutting = new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk)
      if (--left <= 0) {
        counts.cut++
        controller.error(new TypeError("cut"))
      }
    },
  })
  return new Response(response.body.pipeThrough(cutting), { status: 200, headers: response.headers })
}

const report = { messages: [], events: [], counts }
const socket = new SseWebSocket(url, what === "protocol" ? ["chat"] : [], { fetch: flaky, backoff: { baseMs: 10, capMs: 100 } })
socket.binaryType = "arraybuffer"
for (const type of ["open", "error", "close"]) socket.addEventListener(type, event => report.events.push([type, event.code ?? event.message ?? ""]))
const texts = Array.from({ length: 60 }, (_, n) => `${n} \r\n\0 ${"x".repeat(n)} 日本`)
const got = count =>
  new Promise(resolve => {
    const look = () => (report.messages.length >= count ? resolve() : undefined)
    socket.addEventListener("message", look)
    socket.addEventListener("close", resolve)
    look()
  })
socket.onmessage = ({ data }) => report.messages.push(typeof data === "string" ? data : [...new Uint8Array(data)])
socket.onclose = event => {
  report.close = [event.code, event.reason, event.wasClean]
  report.right = JSON.stringify(report.messages) === JSON.stringify(texts)
  console.log(JSON.stringify({ ...report, messages: report.messages.length, first: report.messages[0] }))
}
socket.onopen = async () => {
  if (what === "kicked") return socket.send("kick me")
  if (what === "big") return socket.send("x".repeat(200_000))
  if (what === "wait") return console.log("open")
  if (what === "binary") socket.send(new Uint8Array([0, 255, 13, 10]))
  else {
    for (const text of texts) {
      socket.send(text)
      if (text.length % 3 === 0) await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  await got(what === "binary" ? 1 : texts.length)
  socket.close(4000, "done")
}
