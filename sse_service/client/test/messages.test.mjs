/** What is sent arrives: whole, once, in order, under every fault. */
import assert from "node:assert/strict"
import { test } from "node:test"

import { SseWebSocket, closed, connect, kinds, opened, serve, until } from "./support.mjs"

const numbers = count => Array.from({ length: count }, (_, n) => `message ${n}`)

/** Sends in bursts, and waits for all of it to be echoed. */
async function echoes(server, count, { burst = 7, disturb = () => {} } = {}) {
  const socket = await opened(connect(server.ws("echo")))
  const sent = numbers(count)
  for (let at = 0; at < count; at += burst) {
    for (const text of sent.slice(at, at + burst)) socket.send(text)
    await disturb(at)
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  await until(() => socket.texts.length >= count || socket.readyState === SseWebSocket.CLOSED, `${count} echoes`)
  assert.deepEqual(socket.texts, sent)
  await until(() => socket.bufferedAmount === 0, "acknowledgement")
  const { connections, counts } = await server.picture()
  assert.deepEqual(connections[0].received, sent)
  assert.equal(counts.at_once, 1)
  assert.deepEqual(kinds(socket).filter(kind => kind !== "message"), ["open"])
  socket.close(1000, "done")
  assert.equal((await closed(socket)).code, 1000)
  return server.picture()
}

test("sends of one task go up in one request", async () => {
  const server = await serve()
  const { counts } = await echoes(server, 200, { burst: 200 })
  assert.equal(counts.posts, 1)
})

test("every fifth POST's answer is dropped", async () => {
  const { counts } = await echoes(await serve({ drop_every: 5 }), 300)
  assert.ok(counts.dropped > 2)
})

test("the stream is cut after every third event", async () => {
  const { counts } = await echoes(await serve({ cut_every: 3 }), 60)
  assert.ok(counts.streams >= 20)
})

test("streams rotate, answers are slow, bytes dribble", async () => {
  await echoes(await serve({ rotate_every: 5, answer_delay_s: 0.01, dribble: true }), 60)
})

test("every connection is broken again and again", async () => {
  const server = await serve()
  await echoes(server, 200, { disturb: at => at % 3 === 0 && server.cut() })
})

test("the server is restarted and has lost nothing", async () => {
  const server = await serve({ drop_every: 5 })
  await echoes(server, 120, { disturb: at => at === 56 && server.restart({ down_s: 0.2 }) })
})

test("sends refused with 503 are sent again", async () => {
  await echoes(await serve({ refuse_sends: 3 }), 20)
})

test("POSTs that are never answered: the stream's acknowledgement is enough", async () => {
  const server = await serve({ hang_answers: true })
  await echoes(server, 14)
})

test("bodies stay below the server's limit", async () => {
  const server = await serve({ max_batch_bytes: 300 })
  const { counts } = await echoes(server, 40, { burst: 40 })
  assert.ok(counts.posts >= 4)
})

test("text survives byte for byte; lone surrogates become U+FFFD, as over WebSocket", async () => {
  const server = await serve({ dribble: true })
  const socket = await opened(connect(server.ws("echo")))
  const texts = ["", "\r", "\n", "\r\n", "a\rb\nc\r\n\r\nd", "\0", "\u2028\u2029", "data: x\n\nevent: close", "日本語 한국어 😀", "\ufeffbom", "\x7f\x80\x9f", '"\\']
  for (const text of [...texts, "a\ud800b", "\udc00", "\ud83d\ude00\ud83d"]) socket.send(text)
  socket.send(12)
  socket.send({ toString: () => "object" })
  socket.send(undefined)
  const expected = [...texts, "a\ufffdb", "\ufffd", "😀\ufffd", "12", "object", "undefined"]
  await until(() => socket.texts.length >= expected.length)
  assert.deepEqual(socket.texts, expected)
  const { connections } = await server.picture()
  assert.deepEqual(connections[0].received, expected)
})

test("binary arrives as sent, in its place among the texts, and copied when it was sent", async () => {
  const server = await serve({ max_batch_bytes: 100_000 })
  const socket = await opened(connect(server.ws("echo")))
  const all = Uint8Array.from({ length: 70_000 }, (_, n) => n % 256)
  const changed = new Uint8Array([1, 2, 3])
  socket.send(changed)
  changed.fill(9)
  socket.send("between")
  socket.send(new Blob([all]))
  socket.send("after the Blob")
  socket.send(all.buffer)
  socket.send(new DataView(all.buffer, 250, 10))
  socket.send(new Uint16Array([1, 256]))
  socket.send(new ArrayBuffer(0))
  assert.equal(socket.bufferedAmount, 3 + 7 + 70_000 + 14 + 70_000 + 10 + 4)
  await until(() => socket.texts.length >= 8)
  const seen = socket.texts.map(data => (typeof data === "string" ? data : [...new Uint8Array(data)]))
  const bytes = [...all]
  assert.deepEqual(seen, [[1, 2, 3], "between", bytes, "after the Blob", bytes, bytes.slice(250, 260), [1, 0, 0, 1], []])
  await until(() => socket.bufferedAmount === 0)
  assert.throws(() => socket.send(new Uint8Array(new SharedArrayBuffer(4))), TypeError)
})

test("binaryType decides what a message is when it arrives", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("quiet")))
  socket.binaryType = "blob"
  await server.pushBinary("AAEC/w==")
  const blob = await until(() => socket.texts[0])
  assert.ok(blob instanceof Blob)
  assert.deepEqual([...new Uint8Array(await blob.arrayBuffer())], [0, 1, 2, 255])
})

test("bufferedAmount counts bytes of UTF-8, falls on acknowledgement, and grows after close", async () => {
  const server = await serve({ answer_delay_s: 0.05 })
  const socket = await opened(connect(server.ws("quiet")))
  socket.send("é😀")
  assert.equal(socket.bufferedAmount, 6)
  await until(() => socket.bufferedAmount === 0)
  socket.close()
  socket.send("abc")
  assert.equal(socket.bufferedAmount, 3)
  await closed(socket)
  socket.send(new Uint8Array(4))
  assert.equal(socket.bufferedAmount, 7)
  const { connections } = await server.picture()
  assert.deepEqual(connections[0].received, ["é😀"])
})

test("two connections in a room hear the same, in the same order", async () => {
  const server = await serve({ cut_every: 4, drop_every: 5 })
  const [a, b] = await Promise.all([opened(connect(server.ws("room"))), opened(connect(server.ws("room")))])
  for (let n = 0; n < 30; n++) (n % 2 ? a : b).send(String(n))
  await until(() => a.texts.length >= 30 && b.texts.length >= 30)
  assert.equal(new Set(a.texts).size, 30)
  assert.deepEqual(a.texts, b.texts)
})

test("10,000 messages up and down", async () => {
  const server = await serve()
  const socket = await opened(connect(server.ws("echo")))
  const sent = numbers(10_000)
  for (const text of sent) socket.send(text)
  await until(() => socket.texts.length >= 10_000)
  assert.deepEqual(socket.texts, sent)
})
