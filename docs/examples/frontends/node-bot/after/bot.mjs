/**
 * A bot in Node.js: to a message that begins with "!" it says the rest of it.
 *
 *   CHAT_SOCKET=wss://chat.example.com/prod CHAT_TOKEN=… node bot.mjs
 */
import { SseWebSocket as WebSocket } from "@ws2sse/client"
import { Messages } from "../../messages.js"

const ROOM = "main"
const { CHAT_SOCKET, CHAT_TOKEN, CHAT_NAME = "bot" } = process.env
const messages = new Messages(CHAT_NAME)
/** By their id, so that a question is answered once, also when it comes again with a history. */
const asked = new Set()
let socket
let failures = 0
let upToDate = false

function connect() {
  upToDate = false
  socket = new WebSocket(`${CHAT_SOCKET}?${new URLSearchParams({ token: CHAT_TOKEN, userName: CHAT_NAME })}`)
  socket.onopen = () => {
    failures = 0
    socket.send(JSON.stringify({ action: "getHistory", roomId: ROOM, limit: 500 }))
  }
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame.type === "message") messages.add(frame).forEach(answer)
    if (frame.type === "history") {
      const missed = messages.addHistory(frame)
      upToDate = true
      messages.waiting.forEach(send)
      missed.forEach(answer)
    }
  }
  socket.onclose = ({ code }) => {
    if (code === 1000) return
    setTimeout(connect, Math.random() * Math.min(8000, 250 * 2 ** failures++))
  }
}

function answer({ messageId, userName, message }) {
  if (userName === CHAT_NAME || !message.startsWith("!") || asked.has(messageId)) return
  asked.add(messageId)
  const text = `${userName} says ${message.slice(1)}`
  messages.say(text)
  if (upToDate) send(text)
}

function send(message) {
  // Otherwise it waits for the next connection.
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ action: "sendMessage", roomId: ROOM, message }))
}

process.on("SIGTERM", () => socket.close(1000))
connect()
