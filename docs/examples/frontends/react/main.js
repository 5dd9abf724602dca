/** A chat page in React; written without JSX, so that it runs without a compiler. */
import { createElement as h, useState } from "react"
import { createRoot } from "react-dom/client"
import { useChat } from "hook"

const address = document.querySelector("meta[name=chat-socket]").content

function SignIn({ onDone }) {
  const submit = event => {
    event.preventDefault()
    onDone(Object.fromEntries(new FormData(event.target)))
  }
  return h("form", { id: "sign-in", onSubmit: submit },
    h("label", null, "Name ", h("input", { name: "name", required: true })),
    h("label", null, "Token ", h("input", { name: "token", type: "password", required: true })),
    h("button", null, "Sign in"),
  )
}

function Chat({ name, token }) {
  const { messages, status, say } = useChat({ address, token, name })
  const [text, setText] = useState("")
  const submit = event => {
    event.preventDefault()
    say(text)
    setText("")
  }
  return h("main", null,
    h("h1", null, "Chat ", h("small", { id: "status", role: "status" }, status)),
    h("ol", { id: "messages" }, messages.map(one => h("li", { key: one.messageId }, `${one.userName}: ${one.message}`))),
    h("form", { id: "say", onSubmit: submit },
      h("label", null, "Message ", h("input", { name: "text", required: true, value: text, onChange: event => setText(event.target.value) })),
      h("button", null, "Send"),
    ),
  )
}

function App() {
  const [who, setWho] = useState(null)
  return who ? h(Chat, who) : h(SignIn, { onDone: setWho })
}

createRoot(document.querySelector("#root")).render(h(App))
