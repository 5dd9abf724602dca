/** A chat page without a framework. */
import { Messages } from "../../messages.js"
import { SseWebSocket as WebSocket } from "@ws2sse/client"

const ROOM = "main"
const address = document.querySelector("meta[name=chat-socket]").content
const status = document.querySelector("#status")
const list = document.querySelector("#messages")
const signIn = document.querySelector("#sign-in")
const form = document.querySelector("#say")

let socket
let messages
let failures = 0
let upToDate = false

function connect({ name, token }) {
  upToDate = false
  socket = new WebSocket(`${address}?${new URLSearchParams({ token, userName: name })}`)
  socket.onopen = () => {
    failures = 0
    status.textContent = "online"
    socket.send(JSON.stringify({ action: "getHistory", roomId: ROOM, limit: 500 }))
  }
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame.type === "message") messages.add(frame)
    if (frame.type === "history") {
      messages.addHistory(frame)
      // What was said and never came back was lost with the connection before.
      upToDate = true
      messages.waiting.forEach(send)
    }
    draw()
  }
  socket.onclose = ({ code }) => {
    status.textContent = "offline"
    if (code === 1000) return
    setTimeout(() => connect({ name, token }), Math.random() * Math.min(8000, 250 * 2 ** failures++))
  }
}

function send(message) {
  socket.send(JSON.stringify({ action: "sendMessage", roomId: ROOM, message }))
}

function draw() {
  list.replaceChildren(
    ...messages.all.map(({ userName, message }) => {
      const item = document.createElement("li")
      item.textContent = `${userName}: ${message}`
      return item
    }),
  )
}

signIn.onsubmit = event => {
  event.preventDefault()
  const { name, token } = Object.fromEntries(new FormData(signIn))
  messages = new Messages(name)
  signIn.hidden = true
  form.hidden = false
  connect({ name, token })
}

form.onsubmit = event => {
  event.preventDefault()
  const { text } = Object.fromEntries(new FormData(form))
  messages.say(text)
  if (upToDate && socket.readyState === WebSocket.OPEN) send(text)
  form.reset()
}
