// What is known of the conversations: every message once, in order, whatever way and however often it came.

import { seconds } from "./format.js"

/** How far clocks of instances may disagree: a gap is looked for from so much earlier, seconds. */
const SPARE_S = 10

export class Conversation {
  constructor(id, more = {}) {
    this.id = id
    this.with = more.with ?? null
    this.open = more.open ?? false
    this.unread = 0
    this.readUpTo = 0
    this.othersReadUpTo = 0
    this.messages = []
    this.byId = new Map()
    this.pending = []
    this.typing = new Map()
    /** Cursor of the page before; undefined: nothing was loaded; null: there is no more. */
    this.before = undefined
    this.last = null
    /** Everything until then is there, UNIX seconds. */
    this.solidUpTo = 0
  }

  get title() {
    if (this.with) return this.with
    if (this.id.startsWith("support-")) return "Support"
    return `#${this.id}`
  }

  get lastAt() {
    return this.last?.at ?? 0
  }
}

/** Which conversation a frame belongs to: direct ones name their room without the prefix. */
export function conversationIdOf(frame) {
  if (frame.chat_id) return frame.chat_id
  return "senderEmail" in frame || "readerEmail" in frame ? `direct:${frame.roomId}` : frame.roomId
}

const before = (a, b) => a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

export class Store {
  constructor(me) {
    this.me = me
    this.conversations = new Map()
  }

  /** The conversation of that id; made if it is not known. */
  conversation(id, more = {}) {
    let found = this.conversations.get(id)
    if (!found) {
      found = new Conversation(id, more)
      this.conversations.set(id, found)
    }
    if (more.with) found.with = more.with
    return found
  }

  /** A message out of any frame or row. */
  message(frame) {
    const sender = frame.senderEmail ?? frame.userName ?? ""
    return {
      id: frame.messageId,
      sender,
      mine: sender === this.me,
      text: String(frame.message ?? ""),
      at: seconds(frame.timestamp),
      attachment: frame.attachment ?? null,
      read: frame.read === true,
    }
  }

  /** Take a message. Returns where it now stands, or -1: it was there. */
  add(conversation, message) {
    const known = conversation.byId.get(message.id)
    if (known) {
      known.read ||= message.read
      return -1
    }
    const all = conversation.messages
    let at = all.length
    while (at > 0 && before(all[at - 1], message) > 0) at -= 1
    all.splice(at, 0, message)
    conversation.byId.set(message.id, message)
    if (!conversation.last || before(conversation.last, message) < 0) conversation.last = message
    return at
  }

  /** Everything until the newest message is there now. */
  settle(conversation) {
    const newest = conversation.messages.at(-1)
    if (newest) conversation.solidUpTo = Math.max(conversation.solidUpTo, newest.at - SPARE_S)
  }

  isRead(conversation, message) {
    return message.read || message.at <= conversation.othersReadUpTo
  }

  sorted() {
    return [...this.conversations.values()].sort((a, b) => b.lastAt - a.lastAt || (a.title < b.title ? -1 : 1))
  }

  get unread() {
    let sum = 0
    for (const one of this.conversations.values()) sum += one.unread
    return sum
  }
}
