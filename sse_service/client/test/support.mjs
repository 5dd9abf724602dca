/** Servers with faults for the tests: tests/sse_service/client/fake_server.py, started here unless FAKE_CONTROL names one. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { after } from "node:test"

import { SseWebSocket } from "../dist/sse-websocket.js"

export { SseWebSocket }

const WAIT_MS = 15_000
const script = new URL("../../../tests/sse_service/client/fake_server.py", import.meta.url).pathname

let stop = () => {}

async function control() {
  if (process.env.FAKE_CONTROL) return process.env.FAKE_CONTROL
  const child = spawn(process.env.PYTHON ?? "python3", [script], { stdio: ["pipe", "pipe", "inherit"] })
  stop = () => child.stdin.end()
  const [line] = await once(child.stdout, "data")
  return String(line).trim()
}

const address = await control()

const call = async (method, path, body) => {
  const answer = await fetch(address + path, { method, body: body && JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer.json()
}

/** A server of its own; every verb of the control API is a method of it. */
export async function serve(faults = {}) {
  const { id, url } = await call("POST", "/servers", faults)
  const verb = name => body => call("POST", `/servers/${id}/${name}`, body ?? {})
  return {
    url,
    ws: api => url.replace("http", "ws") + `/ws/${api}`,
    picture: () => call("GET", `/servers/${id}`),
    cut: verb("cut"),
    stop: verb("stop"),
    restart: verb("restart"),
    push: (...texts) => verb("push")({ texts }),
    pushBinary: data => verb("push-binary")({ data }),
    close: (code, reason = "") => verb("close")({ code, reason }),
    rotate: verb("rotate"),
    trim: verb("trim"),
    faults: verb("faults"),
  }
}

/** Short pauses, so that the tests are quick. */
export const QUICK = { backoff: { baseMs: 5, capMs: 20 } }

const open = new Set()
after(async () => {
  // In this order: a close towards a server that is gone is tried for the whole resume window.
  for (const socket of open) {
    socket.close()
    await closed(socket)
  }
  stop()
})

/** A socket whose events are kept in `log`, in order. */
export function connect(url, protocols = [], options = {}) {
  const socket = new SseWebSocket(url, protocols, { ...QUICK, ...options })
  open.add(socket)
  socket.binaryType = "arraybuffer"
  socket.log = []
  socket.texts = []
  for (const type of ["open", "message", "error", "close"]) socket.addEventListener(type, event => socket.log.push(event))
  socket.addEventListener("message", event => socket.texts.push(event.data))
  return socket
}

export const kinds = socket => socket.log.map(event => event.type)

/** The condition's first true value, looked for until the deadline. */
export async function until(condition, what) {
  const deadline = Date.now() + WAIT_MS
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what ?? condition}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

export const opened = async socket => {
  await until(() => socket.readyState !== SseWebSocket.CONNECTING, "open")
  if (socket.readyState !== SseWebSocket.OPEN) throw new Error(`not opened: ${socket.log.map(event => event.message ?? event.type)}`)
  return socket
}

export const closed = socket => until(() => socket.log.find(event => event.type === "close"), "close")

// An unhandled rejection ends a test's process; an application would see it in its console, or stop.
process.on("unhandledRejection", reason => {
  throw reason
})
