/**
 * People in a room, each with the drop-in client: argv[2] is {ws, sse, people: [{name, token}], everyMs}. Prints their transports
 * as lines of JSON; a line of input ends the talking, and what everybody has said and heard is the last line. until phase 3
 */
import { once } from "node:events"

import { SwitchingWebSocket } from "../../sse_service/client/dist/sse-websocket.js"

const { ws, sse, people, everyMs } = JSON.parse(process.argv[2])
const wait = ms => new Promise(resolve => setTimeout(resolve, ms))
const print = value => process.stdout.write(`${JSON.stringify(value)}\n`)
const all = people.map(({ name, token }) => {
  const socket = new SwitchingWebSocket({ websocket: `${ws}?token=${token}`, sse: `${sse}?token=${token}` }, [], {
    feature: "chat",
    settleMs: 700,
    patienceMs: 2000,
    spreadMs: 300,
  })
  const one = { name, socket, said: 0, heard: [], events: [], moves: [] }
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame.type === "message") one.heard.push([frame.messageId, frame.message])
    else one.events.push(["frame", data])
  }
  for (const type of ["error", "close"]) socket.addEventListener(type, event => one.events.push([type, event.code ?? event.message]))
  socket.addEventListener("transport", ({ detail }) => one.moves.push(detail.transport))
  return one
})
await Promise.all(all.map(one => once(one.socket, "open")))
let talking = true
const talk = Promise.all(
  all.map(async one => {
    while (talking) {
      one.socket.send(JSON.stringify({ action: "sendMessage", roomId: "main", userName: one.name, message: `${one.name} ${++one.said}` }))
      await wait(everyMs * (0.5 + Math.random()))
    }
  }),
)
const looking = setInterval(() => print({ transports: all.map(one => one.socket.transport) }), 100)
await once(process.stdin, "data")
talking = false
await talk
const total = all.reduce((sum, one) => sum + one.said, 0)
for (let i = 0; i < 150 && all.some(one => one.heard.length < total); i++) await wait(100)
await wait(1000) // whatever comes twice
clearInterval(looking)
for (const one of all) one.socket.close()
const records = all.map(({ name, said, heard, events, moves }) => ({ name, said, heard, events, moves }))
// A pipe takes 64 KiB at once; an exit would throw the rest away.
process.stdout.write(`${JSON.stringify({ records })}\n`, () => process.exit(0))
