// A conversation on the screen. Messages are drawn in blocks of fifty, and only those near what is seen are in the
// document: ten thousand scroll like fifty.

import { day, element, hue, icon, initial, isSameDay, size, time, withLinks } from "./format.js"

const BLOCK = 50
const GUESS_PX = 56
const NEAR_PX = 1500
const BOTTOM_PX = 80
const TOGETHER_S = 300

export class LogView {
  /**
   * scroller: the element that scrolls; its first child takes the blocks, its second what is not confirmed.
   * owner: isRead(message), address(message) -> promise, again(pending), discard(pending), wantsOlder(), scrolled(isAtBottom).
   */
  constructor(scroller, owner) {
    this.scroller = scroller
    this.owner = owner
    this.list = element("div", "blocks", undefined, { role: "feed", "aria-label": "Messages" })
    this.unsent = element("div", "unsent", undefined, { role: "list", "aria-label": "Not sent yet" })
    scroller.replaceChildren(this.list, this.unsent)
    this.blocks = []
    this.rows = new Map()
    this.ids = new Set()
    this.isAtBottom = true
    const root = scroller
    this.watcher = new IntersectionObserver(entries => this.near(entries), { root, rootMargin: `${NEAR_PX}px 0px` })
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true })
    this.sizes = new ResizeObserver(() => this.isAtBottom && this.toBottom())
    this.sizes.observe(scroller)
    this.sizes.observe(this.list)
    this.list.addEventListener("keydown", event => this.key(event))
  }

  /** Forget everything and show these. */
  show(messages) {
    this.watcher.disconnect()
    this.blocks = []
    this.rows.clear()
    this.ids.clear()
    this.list.replaceChildren()
    for (let at = 0; at < messages.length; at += BLOCK) this.addBlock(messages.slice(at, at + BLOCK))
    for (const block of this.blocks.slice(-2)) this.draw(block)
    this.toBottom()
  }

  addBlock(items, index = this.blocks.length) {
    const block = { items, el: element("div", "block"), isDrawn: false }
    for (const { id } of items) this.ids.add(id)
    block.el.style.height = `${items.length * GUESS_PX}px`
    block.el.block = block
    this.list.insertBefore(block.el, this.blocks[index]?.el ?? null)
    this.blocks.splice(index, 0, block)
    this.watcher.observe(block.el)
    return block
  }

  get count() {
    return this.blocks.reduce((sum, block) => sum + block.items.length, 0)
  }

  /** A message that was not there. Pages of the past come one by one, too: see `older`. */
  insert(message) {
    if (this.ids.has(message.id)) return
    this.ids.add(message.id)
    const last = this.blocks.at(-1)
    const tail = last?.items.at(-1)
    const stays = this.isAtBottom
    if (!tail || tail.at < message.at || (tail.at === message.at && tail.id < message.id)) {
      let block = last
      if (!block || block.items.length >= BLOCK) block = this.addBlock([])
      block.items.push(message)
      if (block.isDrawn) block.el.append(...this.row(block, block.items.length - 1))
      else if (stays || block.items.length === 1) this.draw(block)
      else block.el.style.height = `${parseFloat(block.el.style.height) + GUESS_PX}px`
    } else {
      const index = this.blocks.findIndex(block => block.items.at(-1).at >= message.at)
      const block = this.blocks[Math.max(0, index)]
      let at = block.items.findIndex(one => one.at > message.at || (one.at === message.at && one.id > message.id))
      if (at < 0) at = block.items.length
      block.items.splice(at, 0, message)
      if (block.isDrawn) this.keepPlace(() => this.draw(block))
    }
    if (stays) this.toBottom()
  }

  /** What was said before everything that is shown, oldest first. */
  older(all) {
    // Some may have come one by one while they were asked for.
    const messages = all.filter(one => !this.ids.has(one.id))
    const first = this.blocks[0]?.items[0]
    if (messages.length === 0) return
    if (first && messages.at(-1).at >= first.at) {
      for (const message of messages) this.insert(message)
      return
    }
    this.keepPlace(() => {
      let count = 0
      for (let end = messages.length; end > 0; end -= BLOCK, count += 1) {
        this.addBlock(messages.slice(Math.max(0, end - BLOCK), end), 0)
      }
      // And the one after them: its first message had the day's name above it, and perhaps its sender's.
      for (const block of this.blocks.slice(0, count + 1)) if (block.isDrawn || block !== this.blocks[count]) this.draw(block)
    })
  }

  /** Change something above or in what is seen, without moving what is seen. */
  keepPlace(change) {
    const { scroller } = this
    const below = scroller.scrollHeight - scroller.scrollTop
    change()
    if (!this.isAtBottom) scroller.scrollTop = scroller.scrollHeight - below
  }

  near(entries) {
    const top = this.scroller.getBoundingClientRect().top
    for (const { target, isIntersecting } of entries) {
      const { block } = target
      if (!block || isIntersecting === block.isDrawn) continue
      const was = target.getBoundingClientRect()
      if (isIntersecting) this.draw(block)
      else this.clear(block, was.height)
      // What is above grew or shrank: what is seen stays where it is.
      if (was.bottom <= top) this.scroller.scrollTop += target.getBoundingClientRect().height - was.height
    }
    if (this.isAtBottom) this.toBottom()
  }

  draw(block) {
    block.isDrawn = true
    block.el.style.height = ""
    block.el.replaceChildren(...block.items.flatMap((_, at) => this.row(block, at)))
  }

  clear(block, height) {
    if (block.el.contains(document.activeElement)) return
    block.isDrawn = false
    block.el.style.height = `${height}px`
    block.el.replaceChildren()
    for (const { id } of block.items) this.rows.delete(id)
  }

  /** The elements of one message: the day above it, where it is the first of one, and itself. */
  row(block, at) {
    const message = block.items[at]
    const previous = at > 0 ? block.items[at - 1] : this.blocks[this.blocks.indexOf(block) - 1]?.items.at(-1)
    const isNewDay = !previous || !isSameDay(previous.at, message.at)
    const isFirst = isNewDay || previous.sender !== message.sender || message.at - previous.at > TOGETHER_S
    const row = element("article", `row ${message.mine ? "mine" : "theirs"}${isFirst ? " first" : ""}`, undefined, { tabindex: "-1" })
    row.dataset.id = message.id
    if (!message.mine) {
      const face = element("span", `face ${hue(message.sender)}`, isFirst ? initial(message.sender) : "", { "aria-hidden": "true" })
      row.append(face)
    }
    const bubble = element("div", "bubble")
    const name = element("span", message.mine || !isFirst ? "name hidden" : "name", message.mine ? "You" : message.sender)
    name.dir = "auto"
    bubble.append(name)
    if (message.attachment) bubble.append(this.attachment(message))
    if (message.text) {
      const text = element("div", "text")
      text.dir = "auto"
      text.append(withLinks(message.text))
      bubble.append(text)
    }
    const meta = element("span", "meta")
    const when = element("time", "", time(message.at), { datetime: new Date(message.at * 1000).toISOString() })
    meta.append(when)
    if (message.mine) meta.append(this.tick(message))
    bubble.append(meta)
    row.append(bubble)
    this.rows.set(message.id, row)
    return isNewDay ? [element("div", "day", day(message.at), { role: "separator", "aria-label": day(message.at) }), row] : [row]
  }

  tick(message) {
    const isRead = this.owner.isRead(message)
    const tick = element("span", "tick")
    tick.dataset.read = String(isRead)
    tick.append(icon(isRead ? "read" : "sent", isRead ? "Read" : "Sent"))
    return tick
  }

  /** Who has read what has changed. */
  ticks() {
    for (const block of this.blocks) {
      if (!block.isDrawn) continue
      for (const message of block.items) {
        const tick = message.mine && this.rows.get(message.id)?.querySelector(".tick")
        if (tick && tick.dataset.read !== String(this.owner.isRead(message))) tick.replaceWith(this.tick(message))
      }
    }
  }

  attachment(message) {
    const { contentType, name, size: bytes } = message.attachment
    const title = name || "file"
    const link = element("a", "", undefined, { target: "_blank", rel: "noopener noreferrer" })
    const isImage = contentType.startsWith("image/")
    if (isImage) {
      link.className = "picture"
      const image = element("img", "", undefined, { alt: title })
      link.append(image)
      this.owner
        .address(message)
        .then(url => {
          image.src = url
          link.href = url
        })
        .catch(() => link.replaceChildren(element("span", "lost", `${title} cannot be loaded`)))
    } else {
      link.className = "file"
      link.append(icon("file"), element("span", "", title), element("span", "quiet", size(bytes)))
      link.href = "#"
      link.addEventListener("click", event => {
        event.preventDefault()
        // Asked for now: such an address does not last.
        this.owner.address(message).then(url => open(url, "_blank", "noopener"), () => {})
      })
    }
    return link
  }

  /** What is on its way, or could not be sent. */
  pending(all) {
    this.unsent.hidden = all.length === 0
    this.unsent.replaceChildren(
      ...all.map(pending => {
        const row = element("div", "row mine first", undefined, { role: "listitem" })
        row.dataset.state = pending.state
        const bubble = element("div", "bubble")
        if (pending.shown) bubble.append(element("span", "quiet", pending.shown.name))
        const text = element("div", "text", pending.text)
        text.dir = "auto"
        bubble.append(text)
        const meta = element("span", "meta")
        if (pending.state === "failed") {
          const again = element("button", "small", "Send again", { type: "button" })
          const discard = element("button", "small", "Discard", { type: "button" })
          again.addEventListener("click", () => this.owner.again(pending))
          discard.addEventListener("click", () => this.owner.discard(pending))
          meta.append(element("span", "why", `Not sent: ${pending.why}`), again, discard)
        } else meta.append(icon("wait", "Sending"))
        bubble.append(meta)
        row.append(bubble)
        return row
      }),
    )
    if (this.isAtBottom) this.toBottom()
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller
    const was = this.isAtBottom
    this.isAtBottom = scrollHeight - scrollTop - clientHeight < BOTTOM_PX
    if (scrollTop < NEAR_PX / 2) this.owner.wantsOlder()
    if (was !== this.isAtBottom) this.owner.scrolled(this.isAtBottom)
  }

  toBottom() {
    this.scroller.scrollTop = this.scroller.scrollHeight
    if (!this.isAtBottom) {
      this.isAtBottom = true
      this.owner.scrolled(true)
    }
  }

  /** Messages one by one, as a feed is used (ARIA Authoring Practices, "Feed"). */
  key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -1, PageDown: 1 }[event.key]
    const from = document.activeElement?.closest?.("article") ?? this.list.getRootNode().activeElement?.closest("article")
    if (!step || !from) return
    const rows = [...this.list.querySelectorAll("article")]
    const to = rows[rows.indexOf(from) + step]
    if (!to) return
    event.preventDefault()
    to.focus()
  }
}
