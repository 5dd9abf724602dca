/** How connections begin, resume and end. */
import assert from "node:assert/strict"
import { test } from "node:test"

import { SseWebSocket, closed, connect, kinds, opened, serve, until } from "./support.mjs"

const facts = event => [event.code, event.reason, event.wasClean]

/** An end that the application has to know of: error first, then 1006. */
async function fails(socket, why) {
  assert.deepEqual(facts(await closed(socket)), [1006, "", false])
  assert.deepEqual(kinds(socket).slice(-2), ["error", "close"])
  assert.match(socket.log.at(-2).message, why)
  assert.equal(socket.readyState, SseWebSocket.CLOSED)
}

test("a refused handshake", async () => {
  for (const status of [401, 403, 404, 429, 500, 503]) {
    const socket = connect((await serve({ refuse: status })).ws("echo"))
    await fails(socket, new RegExp(`answered with ${status}`))
    assert.deepEqual(kinds(socket), ["error", "close"])
  }
})

test("nobody listens there", async () => {
  const server = await serve()
  await server.stop()
  await fails(connect(server.ws("echo")), /no answer/)
})

test("the query goes up in the body, and in no address", async () => {
  const server = await serve({ cut_every: 1 })
  const socket = await opened(connect(`${server.ws("echo")}?token=very%20secret&x=1`))
  socket.send("1")
  await until(() => socket.texts.length)
  socket.close()
  await closed(socket)
  const { connections, urls } = await server.picture()
  assert.equal(connections[0].query, "token=very%20secret&x=1")
  assert.ok(urls.length >= 3 && !urls.some(url => url.includes("secret") || url.includes("?")))
})

test("subprotocols: the one chosen, or none at all", async () => {
  const socket = await opened(connect((await serve({ protocol: "b" })).ws("echo"), ["a", "b"]))
  assert.equal(socket.protocol, "b")
  await fails(connect((await serve()).ws("echo"), ["a"]), /subprotocol/)
})

test("a token comes from the callback, and once more when it is refused", async () => {
  const server = await serve({ token: "fresh" })
  const given = ["stale", "fresh"]
  const socket = await opened(connect(server.ws("echo"), [], { token: async () => given.shift(), headers: { "x-app": "1" } }))
  assert.equal((await server.picture()).connections[0].authorization, "Bearer fresh")
  socket.close()
  await fails(connect(server.ws("echo"), [], { token: () => "stale" }), /401/)
  await fails(connect(server.ws("echo"), [], { token: () => Promise.reject(new Error("signed out")) }), /token callback/)
})

test("addresses of another origin are refused: they would get the secret", async () => {
  await fails(connect((await serve({ foreign_paths: true })).ws("echo")), /another origin/)
})

test("the server closes with a code and a reason", async () => {
  const server = await serve()
  for (const [code, reason, expected] of [[4001, "kicked ✓", 4001], [1001, "Going away", 1001], [null, "", 1005]]) {
    const socket = await opened(connect(server.ws("quiet")))
    await server.push("last words")
    await server.close(code, reason)
    assert.deepEqual(facts(await closed(socket)), [expected, reason, true])
    assert.deepEqual(kinds(socket), ["open", "message", "close"])
  }
})

test("a close event that was cut off is fetched", async () => {
  const server = await serve({ cut_every: 1 })
  const socket = await opened(connect(server.ws("quiet")))
  await server.push("a", "b")
  await server.close(4002, "x")
  assert.deepEqual(facts(await closed(socket)), [4002, "x", true])
  assert.deepEqual(socket.texts, ["a", "b"])
})

test("close flushes what was sent before, and only once however its answer fares", async () => {
  const server = await serve({ drop_every: 2, drop_deletes: 1, answer_delay_s: 0.02, max_batch_bytes: 200 })
  const socket = await opened(connect(server.ws("quiet")))
  const sent = Array.from({ length: 50 }, (_, n) => `m${n}`)
  for (const text of sent) socket.send(text)
  socket.send(new Blob(["blob"]))
  socket.close(4000, "bye")
  assert.equal(socket.readyState, SseWebSocket.CLOSING)
  socket.close(4001, "again")
  assert.deepEqual(facts(await closed(socket)), [4000, "bye", true])
  const { connections, closes } = await server.picture()
  assert.deepEqual(connections[0].received, [...sent, { binary: "YmxvYg==" }])
  assert.deepEqual(closes.map(({ code, reason, by }) => [code, reason, by]), [[4000, "bye", "client"]])
  assert.deepEqual(kinds(socket), ["open", "close"])
})

test("close without a code is 1005; messages after it are not heard", async () => {
  const server = await serve({ answer_delay_s: 0.05 })
  const socket = await opened(connect(server.ws("echo")))
  socket.send("unheard echo")
  socket.close()
  assert.deepEqual(facts(await closed(socket)), [1005, "", true])
  assert.deepEqual(kinds(socket), ["open", "close"])
  assert.equal((await server.picture()).closes[0].code, null)
})

test("close inside a message handler", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("echo")))
  socket.onmessage = () => socket.close(1000)
  for (let n = 0; n < 5; n++) socket.send(String(n))
  assert.equal((await closed(socket)).code, 1000)
  assert.deepEqual(socket.texts, ["0"])
})

test("a restart that lost the connections ends with 1006, so that the application reconnects", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("echo")))
  await server.restart({ lose: true })
  await fails(socket, /does not know/)
  const again = await opened(connect(server.ws("echo")))
  again.send("hello again")
  await until(() => again.texts.length)
})

test("events that left the window cannot be resumed", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("quiet")))
  await server.faults({ silent: true })
  await server.push("lost")
  await server.trim()
  await server.faults({ silent: false })
  await server.cut()
  await fails(socket, /does not know/)
})

test("a number that is missing is a message that is missing", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("quiet")))
  await server.push("one")
  await until(() => socket.texts.length)
  await server.faults({ skip_event: true })
  await server.push("two", "three")
  await fails(socket, /missing/)
  assert.deepEqual(socket.texts, ["one"])
})

test("resuming names the last event; the first stream begins at the beginning", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("quiet")))
  await server.push("a", "b")
  await until(() => socket.texts.length === 2)
  await server.cut()
  await server.push("c")
  await until(() => socket.texts.length === 3)
  const { lastEventIds } = await server.picture()
  assert.deepEqual([lastEventIds[0], lastEventIds.at(-1)], ["0", "2"])
  assert.deepEqual(kinds(socket), ["open", "message", "message", "message"])
})

test("a stream that is silent for three heartbeats is taken for cut", async () => {
  const server = await serve({ heartbeat_ms: 60 })
  const socket = await opened(connect(server.ws("quiet")))
  await server.faults({ silent: true })
  await server.push("behind a dead connection")
  const before = (await server.picture()).counts.streams
  await until(async () => (await server.picture()).counts.streams > before)
  await server.faults({ silent: false })
  await until(() => socket.texts.length === 1)
  assert.deepEqual(kinds(socket), ["open", "message"])
})

test("away for longer than the window: 1006 without anybody's word", async () => {
  const server = await serve({ resume_window_ms: 150 })
  const socket = await opened(connect(server.ws("quiet")))
  await server.stop()
  await fails(socket, /longer than the server keeps/)
})

test("no loop without pauses against a stream that always asks to come back", async () => {
  const server = await serve({ rotate_every: 1 })
  const socket = await opened(connect(server.ws("quiet"), [], { backoff: { baseMs: 60_000, capMs: 60_000 } }))
  await server.push("a")
  await until(() => socket.texts.length === 1)
  const { counts } = await server.picture()
  assert.equal(counts.streams, 1)
})

test("a message above the limit ends with 1009 and is not uploaded; what was before it arrives", async () => {
  const server = await serve({ max_message_bytes: 1000 })
  const socket = await opened(connect(server.ws("quiet")))
  socket.send("before")
  socket.send("x".repeat(1001))
  socket.send("after")
  assert.deepEqual(facts(await closed(socket)), [1009, "Message too big", true])
  const { connections, closes } = await until(async () => {
    const picture = await server.picture()
    return picture.closes.length && picture
  })
  assert.deepEqual(connections[0].received, ["before"])
  assert.equal(closes[0].code, 1009)
})

test("413 of something in between is 1009 too", async () => {
  const server = await serve({ max_message_bytes: 1000 })
  const socket = connect(server.ws("quiet"), [], {
    fetch: async (input, init) => (String(input).endsWith("/messages") ? new Response("", { status: 413 }) : fetch(input, init)),
  })
  await opened(socket)
  socket.send("x")
  assert.equal((await closed(socket)).code, 1009)
})

test("what cannot be buffered ends the connection", async () => {
  const server = await serve({ answer_delay_s: 1 })
  const socket = await opened(connect(server.ws("quiet"), [], { maxBufferedBytes: 1000 }))
  socket.send("x".repeat(600))
  socket.send("x".repeat(600))
  assert.equal(socket.bufferedAmount, 1200)
  await fails(socket, /maxBufferedBytes/)
})

test("answers that are no answers: a page in place of JSON, and of a stream", async () => {
  const page = () => new Response("<html>sign in to the network</html>", { headers: { "content-type": "text/html" } })
  await fails(connect("ws://127.0.0.1:9/ws", [], { fetch: async () => page() }), /without JSON/)
  const server = await serve()
  let pages = 3
  const socket = await opened(
    connect(server.ws("echo"), [], {
      fetch: async (input, init) => (/stream|messages/.test(String(input)) && pages-- > 0 ? page() : fetch(input, init)),
    }),
  )
  socket.send("x")
  await until(() => socket.texts.length)
})

test("a stream that never opens", async () => {
  const server = await serve()
  const socket = connect(server.ws("echo"), [], {
    openTimeoutMs: 100,
    fetch: (input, init) =>
      String(input).endsWith("/stream")
        ? new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)))
        : fetch(input, init),
  })
  await fails(socket, /time to open/)
  await until(async () => (await server.picture()).closes.length)
})

test("closed during the handshake: the server is told", async () => {
  const server = await serve({ open_delay_s: 0.1 })
  const socket = connect(server.ws("echo"))
  await until(async () => (await server.picture()).counts.opens)
  socket.close()
  await fails(socket, /before it was open/)
  await until(async () => (await server.picture()).closes.length === 1)
})

test("a handler that throws breaks nothing", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("echo")))
  const thrown = []
  const keep = process.listeners("uncaughtException")
  process.removeAllListeners("uncaughtException")
  process.on("uncaughtException", error => thrown.push(error.message))
  socket.onmessage = () => {
    throw new Error("the application's")
  }
  socket.send("a")
  socket.send("b")
  await until(() => socket.texts.length === 2 && thrown.length === 2)
  process.removeAllListeners("uncaughtException")
  keep.forEach(listener => process.on("uncaughtException", listener))
  assert.deepEqual(thrown, ["the application's", "the application's"])
  assert.equal(socket.readyState, SseWebSocket.OPEN)
})
