/** The interface itself: WebSockets Standard, 3.1; Web IDL. */
import assert from "node:assert/strict"
import { test } from "node:test"

import { QUICK, SseWebSocket, closed, connect, kinds, opened, serve, until } from "./support.mjs"

const named = name => error => error instanceof DOMException && error.name === name
const never = { fetch: () => new Promise(() => {}), requestTimeoutMs: 1 }
/** Never gets an answer; its timers do not keep the tests waiting. */
const idle = (url, protocols, options) => new SseWebSocket(url, protocols, { ...never, ...options })

test("constants are on the class and on its objects", () => {
  const socket = idle("wss://example.com/a")
  for (const [name, value] of [["CONNECTING", 0], ["OPEN", 1], ["CLOSING", 2], ["CLOSED", 3]]) {
    assert.equal(SseWebSocket[name], value)
    assert.equal(socket[name], value)
    assert.throws(() => {
      "use strict"
      socket[name] = 9
    }, TypeError)
  }
  assert.equal(socket.readyState, 0)
  assert.equal(socket.extensions, "")
  assert.equal(socket.protocol, "")
  assert.equal(socket.bufferedAmount, 0)
  assert.equal(socket.binaryType, "blob")
  assert.equal(Object.prototype.toString.call(socket), "[object WebSocket]")
})

test("schemes: ws, wss, http, https; nothing else, and no fragment", () => {
  assert.equal(idle("http://example.com/a?b=c").url, "ws://example.com/a?b=c")
  assert.equal(idle("https://example.com").url, "wss://example.com/")
  assert.equal(idle(new URL("WSS://EXAMPLE.com:443/x")).url, "wss://example.com/x")
  for (const wrong of ["ftp://example.com", "example", "", "ws://", "ws://example.com/#", "ws://example.com/#a", "data:,x"]) {
    assert.throws(() => idle(wrong), named("SyntaxError"), wrong)
  }
  assert.throws(() => new SseWebSocket(), TypeError)
  assert.throws(() => SseWebSocket("ws://example.com"), TypeError)
})

test("what is wrong with a URL is said without its query", () => {
  assert.throws(() => idle("nothing?token=secret"), error => !error.message.includes("secret"))
})

test("protocols are tokens and given once", () => {
  for (const wrong of ["", "a b", "a,b", ["a", "a"], "é", ["a", ""], [null, "null"], {}]) {
    assert.throws(() => idle("ws://example.com", wrong), named("SyntaxError"), String(wrong))
  }
  for (const fine of ["a", ["a", "b"], ["a", "A"], [], new Set(["x"]), undefined, "graphql-transport-ws", "v1.2~3"]) {
    idle("ws://example.com", fine)
  }
})

test("send before it is open", () => {
  assert.throws(() => idle("ws://example.com").send("x"), named("InvalidStateError"))
  assert.throws(() => idle("ws://example.com").send(), TypeError)
})

test("close codes and reasons", () => {
  for (const wrong of [0, 999, 1001, 1005, 1006, 2999, 5000, 65535, 70000, -1, NaN, null, "x", 4999.5]) {
    assert.throws(() => idle("ws://example.com").close(wrong), named("InvalidAccessError"), String(wrong))
  }
  for (const fine of [undefined, 1000, 3000, 4999, "3000", 2999.6, 3000.4]) idle("ws://example.com").close(fine)
  idle("ws://example.com").close(1000, "x".repeat(123))
  assert.throws(() => idle("ws://example.com").close(1000, "x".repeat(124)), named("SyntaxError"))
  assert.throws(() => idle("ws://example.com").close(1000, "é".repeat(62)), named("SyntaxError"))
  // A lone surrogate counts as U+FFFD, three bytes.
  idle("ws://example.com").close(1000, "\ud800".repeat(41))
  assert.throws(() => idle("ws://example.com").close(1000, "\ud800".repeat(42)), named("SyntaxError"))
})

test("binaryType ignores what it does not know", () => {
  const socket = idle("ws://example.com")
  socket.binaryType = "arraybuffer"
  socket.binaryType = "nodebuffer"
  assert.equal(socket.binaryType, "arraybuffer")
})

test("close before it is open: error, then close 1006, and not at once", async () => {
  const socket = connect("ws://example.com/", [], never)
  socket.close(1000, "never mind")
  assert.equal(socket.readyState, SseWebSocket.CLOSING)
  assert.deepEqual(kinds(socket), [])
  const event = await closed(socket)
  assert.deepEqual(kinds(socket), ["error", "close"])
  assert.deepEqual([event.code, event.reason, event.wasClean], [1006, "", false])
  assert.equal(socket.readyState, SseWebSocket.CLOSED)
})

test("handlers are called among the listeners, can be replaced and taken away", async () => {
  const server = await serve()
  const socket = new SseWebSocket(server.ws("echo"), [], QUICK)
  const calls = []
  socket.addEventListener("open", () => calls.push("first"))
  socket.onopen = () => calls.push("replaced")
  socket.addEventListener("open", { handleEvent: () => calls.push("last") })
  socket.onopen = function (event) {
    calls.push(this === socket && event.target === socket && "handler")
  }
  assert.equal(typeof socket.onopen, "function")
  socket.onmessage = () => calls.push("never")
  socket.onmessage = null
  assert.equal(socket.onmessage, null)
  socket.onclose = 5
  assert.equal(socket.onclose, null)
  await until(() => calls.length === 3)
  assert.deepEqual(calls, ["first", "handler", "last"])
  socket.close()
})

test("messages are MessageEvents with the server's origin; ends are CloseEvents", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("echo")))
  socket.send("x")
  const message = await until(() => socket.log.find(event => event.type === "message"))
  assert.ok(message instanceof MessageEvent)
  assert.equal(message.origin, server.url.replace("http", "ws"))
  socket.close(3001, "enough ✓")
  const close = await closed(socket)
  assert.deepEqual([close.code, close.reason, close.wasClean], [3001, "enough ✓", true])
  assert.ok(close instanceof Event)
})

test("where the service is: by string, by prefix, by function; the query is never in an address", async () => {
  const asked = []
  const fetch = async input => {
    asked.push(String(input))
    return new Response("", { status: 403 })
  }
  const go = baseUrl => closed(connect("wss://abc.example.com/prod/x?token=secret", [], { baseUrl, fetch }))
  await go(undefined)
  await go("https://sse.example.com/ws/")
  await go({ "wss://abc.example.com": "https://one.example.com", "wss://abc.example.com/prod/": "https://two.example.com/ws" })
  await go({ "wss://abc.example.com/pro": "https://no.example.com" })
  await go(url => `http://three.example.com/?was=${url.search}`)
  assert.deepEqual(asked, [
    "https://abc.example.com/prod/x",
    "https://sse.example.com/ws/prod/x",
    "https://two.example.com/ws/x",
    "https://abc.example.com/prod/x",
    "http://three.example.com/",
  ])
  assert.throws(() => idle("ws://a/", [], { baseUrl: "ftp://b" }), named("SyntaxError"))
})
