// What one has written: sent in order, again until it is certain, and never twice.

import { pauseMs } from "./transports.js"

const LOOKS = 3
const LOOK_MS = 1500

export class Outbox {
  /** send(message): over the transport of this moment. changed(conversation), confirmed(conversation, pending, answer). */
  constructor({ send, changed, confirmed, catchUp }) {
    this.send = send
    this.changed = changed
    this.confirmed = confirmed
    this.catchUp = catchUp
    this.busy = new Set()
    this.wakers = new Set()
    addEventListener("online", () => this.wake())
  }

  add(conversation, message) {
    conversation.pending.push({ ...message, key: message.key ?? crypto.randomUUID(), at: Date.now() / 1000, state: "waiting" })
    this.changed(conversation)
    void this.work(conversation)
  }

  again(conversation, pending) {
    pending.state = "waiting"
    this.changed(conversation)
    void this.work(conversation)
  }

  discard(conversation, pending) {
    conversation.pending = conversation.pending.filter(one => one !== pending)
    this.changed(conversation)
  }

  wake() {
    for (const waker of this.wakers) waker()
  }

  pause(ms) {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.wakers.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.wakers.add(done)
    })
  }

  /** Nothing is under way (or the time is up): a connection may be left. */
  async idle(ms) {
    const until = Date.now() + ms
    const isSending = () => [...this.busy].some(one => one.pending[0]?.state === "sending")
    while (isSending() && Date.now() < until) await new Promise(resolve => setTimeout(resolve, 20))
  }

  async work(conversation) {
    if (this.busy.has(conversation)) return
    this.busy.add(conversation)
    try {
      for (;;) {
        const next = conversation.pending.find(one => one.state !== "failed")
        if (!next) return
        await this.deliver(conversation, next)
      }
    } finally {
      this.busy.delete(conversation)
    }
  }

  async deliver(conversation, pending) {
    for (let failures = 0; ; failures += 1) {
      pending.state = "sending"
      try {
        this.settle(conversation, pending, await this.send(pending))
        return
      } catch (error) {
        if (error.isUncertain && (await this.wasStored(conversation, pending))) return
        if (!error.isPassing || error.isUncertain) {
          pending.state = "failed"
          pending.shadow = null
          pending.why = error.message
          this.changed(conversation)
          return
        }
        pending.state = "waiting"
        this.changed(conversation)
        await this.pause(Math.max((error.retryAfterS ?? 0) * 1000, pauseMs(failures)))
      }
    }
  }

  settle(conversation, pending, answer) {
    conversation.pending = conversation.pending.filter(one => one !== pending)
    this.confirmed(conversation, pending, answer)
  }

  /** Sent without a key, and never answered: the history knows. Sending it once more could double it. */
  async wasStored(conversation, pending) {
    for (let look = 0; look < LOOKS; look += 1) {
      await this.catchUp(conversation).catch(() => (look -= 1))
      if (pending.shadow) {
        this.settle(conversation, pending, { messageId: pending.shadow, timestamp: pending.at })
        return true
      }
      await this.pause(LOOK_MS)
    }
    return false
  }

  /** One's own message has come by itself: the one that is under way, most likely. True: it is to be shown once. */
  echo(conversation, message) {
    const pending = conversation.pending.find(one => one.state !== "failed" && !one.shadow && one.text === message.text)
    if (pending && message.at > pending.at - 60) {
      pending.shadow = message.id
      this.changed(conversation)
    }
  }
}
