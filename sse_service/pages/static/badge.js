// The badge of the transport: which one it is, how it is, and the choice of another while it runs.

import { element } from "./format.js"
import { NAMES } from "./transports.js"

const KEY = "ws2sse.transport"
const ABOUT = {
  sse: "Server-Sent Events and POST: what stays",
  "drop-in": "WebSocket's interface over SSE and POST",
  websocket: "API Gateway WebSocket: what is being left",
}
const WORDS = { live: "connected", connecting: "connecting", waiting: "reconnecting", switching: "switching", refused: "refused" }

export class Badge {
  /** choose(name): a promise of the change. */
  constructor({ config, choose }) {
    this.config = config
    this.choose = choose
    this.button = document.getElementById("transport")
    this.strip = document.getElementById("connection")
    this.pop = document.getElementById("transports")
    this.current = this.remembered
    const choices = document.getElementById("choices")
    for (const name of Object.keys(ABOUT)) {
      const label = element("label", "choice")
      const input = element("input", "", undefined, { type: "radio", name: "transport", value: name })
      input.disabled = !config.transports.includes(name)
      input.checked = name === this.current
      const about = input.disabled ? "Not set up here" : ABOUT[name]
      const words = element("span")
      words.append(element("b", "", NAMES[name]), element("span", "quiet", about))
      label.append(input, words)
      choices.append(label)
      input.addEventListener("change", () => void this.change(name))
    }
    this.pop.addEventListener("toggle", event => {
      if (event.newState === "open") this.pop.querySelector("input:checked")?.focus()
    })
  }

  get remembered() {
    const name = sessionStorage.getItem(KEY)
    return this.config.transports.includes(name) ? name : "sse"
  }

  async change(name) {
    try {
      await this.choose(name)
      sessionStorage.setItem(KEY, name)
      if (this.pop.matches(":popover-open")) this.pop.hidePopover()
    } catch (error) {
      this.show({ transport: this.current, name: this.state })
      this.tell(`${NAMES[name]} does not open (${error.message}); still on ${NAMES[this.current]}.`)
    }
  }

  show({ transport, name }) {
    if (name !== "switching") {
      this.current = transport
      this.state = name
      for (const input of this.pop.querySelectorAll("input")) input.checked = input.value === transport
    }
    this.button.dataset.state = name
    this.button.dataset.transport = transport
    document.getElementById("transport-name").textContent = NAMES[transport]
    document.getElementById("transport-state").textContent = WORDS[name]
    this.button.title = `${NAMES[transport]}: ${WORDS[name]}`
    clearTimeout(this.timer)
    if (name === "live") this.tell("")
    // A moment without a connection is nobody's business.
    else if (name === "waiting") {
      this.timer = setTimeout(() => this.tell(navigator.onLine === false ? "You are offline. Messages are sent when you are back." : "Reconnecting …"), 1000)
    }
  }

  tell(text) {
    this.strip.textContent = text
    this.strip.hidden = !text
  }
}
