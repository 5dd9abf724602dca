/**
 * What a chat client knows: the messages of a room, each once and in order, and what it has said that is not among them yet.
 * Used by all three front ends, over WebSocket and over the drop-in alike.
 */
export class Messages {
  #name
  #seen = new Map()
  #waiting = []
  #hasHistory = false

  constructor(name) {
    this.#name = name
  }

  /** All of them, oldest first. */
  get all() {
    return [...this.#seen.values()].sort((a, b) => a.timestamp - b.timestamp)
  }

  /** Texts that were said and have not come back, in the order they were said. */
  get waiting() {
    return [...this.#waiting]
  }

  say(text) {
    this.#waiting.push(text)
  }

  /** Takes frames of type `message`; gives those that are new. */
  add(...frames) {
    const fresh = frames.filter(({ messageId }) => !this.#seen.has(messageId))
    for (const frame of fresh) {
      this.#seen.set(frame.messageId, frame)
      const at = frame.userName === this.#name ? this.#waiting.indexOf(frame.message) : -1
      if (at >= 0) this.#waiting.splice(at, 1)
    }
    return fresh
  }

  /** Takes a frame of type `history`; the first one is of before, and answers nothing that was said here. */
  addHistory({ messages }) {
    const waiting = this.#waiting
    if (!this.#hasHistory) this.#waiting = []
    const fresh = this.add(...messages)
    if (!this.#hasHistory) this.#waiting = waiting
    this.#hasHistory = true
    return fresh
  }
}
