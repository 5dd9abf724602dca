/** The hook that holds the connection. */
import { useCallback, useEffect, useRef, useState } from "react"
import { Messages } from "../../messages.js"

/**
 * address: of the API; token, name: who is chatting; room: which history.
 * Gives the messages, oldest first, the state of the connection, and `say`.
 */
export function useChat({ address, token, name, room = "main" }) {
  const [shown, setShown] = useState([])
  const [status, setStatus] = useState("connecting")
  const known = useRef(null)
  const sender = useRef(null)

  useEffect(() => {
    const messages = (known.current = new Messages(name))
    let socket, timer
    let failures = 0
    let left = false
    const send = message => socket.send(JSON.stringify({ action: "sendMessage", roomId: room, message }))
    const connect = () => {
      socket = new WebSocket(`${address}?${new URLSearchParams({ token, userName: name })}`)
      socket.addEventListener("open", () => {
        failures = 0
        setStatus("online")
        socket.send(JSON.stringify({ action: "getHistory", roomId: room, limit: 500 }))
      })
      socket.addEventListener("message", event => {
        const frame = JSON.parse(event.data)
        if (frame.type === "message") messages.add(frame)
        if (frame.type === "history") {
          messages.addHistory(frame)
          messages.waiting.forEach(send)
          sender.current = send
        }
        setShown(messages.all)
      })
      socket.addEventListener("close", () => {
        sender.current = null
        if (left) return
        setStatus("offline")
        timer = setTimeout(connect, Math.random() * Math.min(8000, 250 * 2 ** failures++))
      })
    }
    connect()
    return () => {
      left = true
      clearTimeout(timer)
      socket.close(1000)
    }
  }, [address, token, name, room])

  const say = useCallback(text => {
    known.current.say(text)
    // While there is no connection, it waits for the next one.
    sender.current?.(text)
  }, [])
  return { messages: shown, status, say }
}
