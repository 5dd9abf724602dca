/** SwitchingWebSocket against tests/sse_service/client/switching_world.py: people chat while the flag moves them. */
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { after, afterEach, test } from "node:test"

import { SwitchingWebSocket } from "../dist/sse-websocket.js"
import { Overlap, byContent } from "../src/overlap.js"

const WAIT_MS = 30_000
const QUICK = { settleMs: 150, patienceMs: 400, spreadMs: 50, backoff: { baseMs: 5, capMs: 50 } }
const script = new URL("../../../tests/sse_service/client/switching_world.py", import.meta.url).pathname

const child = spawn(process.env.PYTHON ?? "python3", [script], { stdio: ["pipe", "pipe", "inherit"] })
const urls = JSON.parse(String((await once(child.stdout, "data"))[0]))
after(() => child.stdin.end())

const call = async (verb, body) => {
  const answer = await fetch(`${urls.control}/${verb}`, body && { method: "POST", body: JSON.stringify(body) })
  assert.ok(answer.ok, `${verb}: ${answer.status}`)
  return answer.json()
}
const flag = percent => call("flag", { percent })

const open = new Set()
afterEach(async () => {
  for (const socket of open) socket.close()
  await until(() => [...open].every(socket => socket.readyState === 3), "all closed")
  open.clear()
  await call("refuse", { ws: false, sse: false })
  await flag(0)
  await until(async () => !(await call("picture")).users.length, "an empty room")
})

async function until(condition, what) {
  const deadline = Date.now() + WAIT_MS
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what ?? condition}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

let names = 0

/** Somebody in the room. said: how much; heard: frames in order; moves: transports. */
async function person(options = {}, name = `p${++names}`) {
  const { token } = await call("token", { user: name })
  const socket = new SwitchingWebSocket({ websocket: `${urls.ws}?token=${token}`, sse: `${urls.sse}?token=${token}` }, [], {
    feature: "chat",
    ...QUICK,
    ...options,
  })
  open.add(socket)
  Object.assign(socket, { name, said: 0, heard: [], events: [], moves: [] })
  socket.onmessage = ({ data }) => socket.heard.push(JSON.parse(data))
  for (const type of ["open", "error", "close"]) socket.addEventListener(type, event => socket.events.push([type, event.code ?? event.message]))
  socket.addEventListener("transport", ({ detail }) => socket.moves.push(detail.transport))
  await until(() => socket.events.length, "open")
  assert.equal(socket.events[0][0], "open", JSON.stringify(socket.events))
  return socket
}

const say = socket => socket.send(JSON.stringify({ action: "say", n: ++socket.said }))
const on = (people, kind) => until(() => people.every(one => one.transport === kind && !one.bufferedAmount), `all on ${kind}`)

/** What each has heard of each: 1, 2, 3 … without a hole and none twice; and what went up, likewise. */
async function complete(people) {
  const names = new Set(people.map(one => one.name))
  const missing = () =>
    people.flatMap(one => people.map(other => [one, other, other.said - one.heard.filter(frame => frame.from === other.name).length])).filter(([, , n]) => n > 0)
  await until(() => !missing().length, "all heard").catch(error => {
    const told = missing().map(([one, other, n]) => {
      const got = new Set(one.heard.filter(frame => frame.from === other.name).map(frame => frame.n))
      const which = Array.from({ length: other.said }, (_, i) => i + 1).filter(i => !got.has(i))
      return `${one.name} (${one.moves}) misses ${n} of ${other.name}: ${which.slice(0, 5)}; ${one.events}`
    })
    throw new Error(`${error.message}: ${told.slice(0, 12).join("\n")}`)
  })
  const { heard } = await call("picture")
  for (const speaker of people) {
    const numbers = Array.from({ length: speaker.said }, (_, n) => n + 1)
    assert.deepEqual(heard.filter(([name]) => name === speaker.name).map(([, n]) => n), numbers, `up, of ${speaker.name}`)
    for (const one of people) {
      const got = one.heard.filter(frame => frame.from === speaker.name).map(frame => frame.n)
      assert.deepEqual(got, numbers, `${one.name} of ${speaker.name}`)
    }
  }
  for (const one of people) {
    const ids = one.heard.filter(frame => names.has(frame.from)).map(frame => frame.id)
    assert.deepEqual(ids, [...ids].sort((a, b) => a - b), `${one.name} in order`)
    assert.deepEqual(one.events, [["open", undefined]], one.name)
  }
}

test("people chat while they are moved over step by step, and back", { timeout: 110_000 }, async () => {
  const people = await Promise.all(Array.from({ length: 12 }, () => person()))
  assert.ok(people.every(one => one.transport === "websocket"))
  let talking = true
  const talk = Promise.all(
    people.map(async (one, i) => {
      while (talking) {
        say(one)
        // Some never pause, some do now and then: both ways of a move.
        await new Promise(resolve => setTimeout(resolve, i % 2 ? 60 : 500 + 100 * Math.random()))
      }
    }),
  )
  const shares = []
  for (const percent of [1, 10, 50, 100]) {
    await flag(percent)
    if (percent === 100) await on(people, "sse")
    else await new Promise(resolve => setTimeout(resolve, 1500))
    shares.push(people.filter(one => one.transport === "sse").length)
  }
  assert.ok(shares[0] <= shares[1] && shares[1] <= shares[2] && shares[2] > 2 && shares[2] < 11, String(shares))
  await flag(0)
  await on(people, "websocket")
  talking = false
  await talk
  await complete(people)
  assert.ok(people.every(one => one.moves.join() === "sse,websocket"), "each moved once over and once back")
  const kinds = new Set((await call("picture")).heard.filter(([name]) => name === people[0].name).map(([, , kind]) => kind))
  assert.deepEqual([...kinds].sort(), ["sse", "websocket"])
})

test("what is asked just before a move is answered in full", async () => {
  const one = await person()
  one.send(JSON.stringify({ action: "ask", n: 7 }))
  await flag(100)
  await on([one], "sse")
  await until(() => one.heard.length === 5, "five parts")
  assert.deepEqual(one.heard.map(frame => frame.part), [0, 1, 2, 3, 4])
})

test("on a stream the event tells it, without asking", async () => {
  await flag(100)
  let asked = 0
  const one = await person({
    fetch: (input, init) => (String(input).includes("/api/transport") && ++asked > 1 ? Promise.reject(new TypeError("away")) : fetch(input, init)),
  })
  assert.equal(one.transport, "sse")
  await flag(0)
  await on([one], "websocket")
  say(one)
  await complete([one])
})

test("the service away at the beginning: WebSocket, as before", async () => {
  await flag(100)
  const one = await person({ transportUrl: `${urls.control}/nothing-there` })
  assert.equal(one.transport, "websocket")
})

test("what cannot be opened is not moved to; at the beginning the other one is taken", async () => {
  await call("refuse", { sse: true })
  const one = await person()
  await flag(100)
  const two = await person()
  assert.equal(two.transport, "websocket")
  say(one)
  say(two)
  await until(() => one.heard.length === 2 && two.heard.length === 2, "both")
  assert.deepEqual([one.transport, one.moves, one.events], ["websocket", [], [["open", undefined]]])
  await call("refuse", { sse: false, ws: true })
  const three = await person()
  assert.equal(three.transport, "sse")
  await flag(0)
  say(three)
  await until(() => three.heard.length === 1, "its own")
  assert.equal(three.transport, "sse")
})

test("a server that closes a user's connection is heard, whatever goes on", async () => {
  const one = await person({ settleMs: 60_000, limitMs: 60_000 })
  await flag(100)
  await until(async () => (await call("picture")).users.length === 2, "both open")
  await call("kick", { code: 4001 })
  await until(() => one.events.length === 2, "its end")
  assert.deepEqual(one.events[1], ["close", 4001])
  await until(async () => !(await call("picture")).users.length, "both gone")
})

test("close() in the middle of a move takes along what was sent, and leaves nothing open", async () => {
  const one = await person({ settleMs: 60_000, patienceMs: 50, limitMs: 60_000 })
  await flag(100)
  await until(async () => (await call("picture")).users.length === 2, "both open")
  await new Promise(resolve => setTimeout(resolve, 200)) // sends are kept now
  say(one)
  assert.ok(one.bufferedAmount > 0)
  one.close(4002, "enough")
  await until(() => one.readyState === 3, "closed")
  const { heard } = await call("picture")
  assert.deepEqual(heard.filter(([name]) => name === one.name), [[one.name, 1, "websocket"]])
  await until(async () => !(await call("picture")).users.length, "both gone")
})

test("closed while it opens", async () => {
  const { token } = await call("token", { user: "late" })
  for (const wait of [0, 20]) {
    const socket = new SwitchingWebSocket(`${urls.ws}?token=${token}`, [], { feature: "chat", transportUrl: urls.sse.replace("ws:", "http:").replace("/ws", "/api/transport") })
    const ends = []
    socket.onclose = event => ends.push([event.code, event.wasClean])
    if (wait) await new Promise(resolve => setTimeout(resolve, wait))
    if (socket.readyState === 1) {
      socket.close()
      continue
    }
    assert.throws(() => socket.send("x"), { name: "InvalidStateError" })
    socket.close()
    await until(() => ends.length, "its end")
    assert.deepEqual(ends, [[1006, false]])
  }
  await until(async () => !(await call("picture")).users.length, "nobody stays")
})

test("what is wrong with the arguments is said as WebSocket says it", () => {
  assert.throws(() => new SwitchingWebSocket(), TypeError)
  assert.throws(() => new SwitchingWebSocket("ws://a", []), TypeError)
  assert.throws(() => new SwitchingWebSocket("ftp://a", [], { feature: "f" }), { name: "SyntaxError" })
  assert.throws(() => new SwitchingWebSocket("ws://a", ["x", "x"], { feature: "f" }), { name: "SyntaxError" })
})

test("overlap: equal frames count as often as they occur, in the new connection's order", () => {
  const overlap = new Overlap(byContent)
  overlap.old("a", 0)
  overlap.old("x", 0) // only the old one got it
  for (const data of ["a", "b", "pong", "b"]) overlap.held(data)
  overlap.old("b", 10)
  overlap.held("c")
  assert.equal(overlap.isAlone(0, 1000, 250, 1000), true)
  assert.equal(overlap.isAlone(0, 5000, 250, 1000), false)
  assert.deepEqual(overlap.release(), ["pong", "b", "c"])
  assert.equal(overlap.late("x"), false)
  assert.equal(overlap.late("x"), true)
  const bytes = (...list) => new Uint8Array(list).buffer
  overlap.old(bytes(1, 2), 0)
  overlap.held(bytes(1, 2))
  overlap.held(bytes(2, 1))
  assert.equal(overlap.release().length, 1)
  const never = new Overlap(() => null)
  never.old("pong", 0)
  never.held("pong")
  assert.deepEqual(never.release(), ["pong"])
})
