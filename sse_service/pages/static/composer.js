// Writing: a box that grows, one file beside it, and what is wrong with either.

import { element, icon, size } from "./format.js"

const MOST_PX = 160

export class Composer {
  /** form: with textarea, file input and buttons. uploads: {types, maxBytes} or null: none here. */
  constructor({ form, uploads, upload, say, typing }) {
    const find = selector => form.querySelector(selector)
    this.form = form
    this.text = find("textarea")
    this.file = find("input[type=file]")
    this.attach = find("#attach")
    this.attachedBox = find(".attached")
    this.problemBox = find(".problem")
    this.uploads = uploads
    this.upload = upload
    this.say = say
    this.typing = typing
    this.attached = null
    if (uploads) this.file.accept = uploads.types.join(",")
    else {
      this.attach.setAttribute("aria-disabled", "true")
      this.attach.setAttribute("aria-describedby", "no-uploads")
      this.attach.title = find("#no-uploads").textContent
    }
    form.addEventListener("submit", event => {
      event.preventDefault()
      this.submit()
    })
    this.text.addEventListener("input", () => {
      this.fit()
      this.typing(this.text.value !== "")
    })
    this.text.addEventListener("keydown", event => {
      // Not while an input method is composing: there Enter chooses a word.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault()
        this.submit()
      }
    })
    this.text.addEventListener("paste", event => this.take(event.clipboardData?.files?.[0], event))
    this.attach.addEventListener("click", () => {
      if (this.uploads) this.file.click()
      else this.problem(find("#no-uploads").textContent)
    })
    this.file.addEventListener("change", () => this.take(this.file.files[0]))
    form.addEventListener("dragover", event => event.preventDefault())
    form.addEventListener("drop", event => {
      event.preventDefault()
      this.take(event.dataTransfer?.files?.[0])
    })
  }

  problem(text) {
    this.problemBox.textContent = text
  }

  fit() {
    this.text.style.height = "auto"
    this.text.style.height = `${Math.min(MOST_PX, this.text.scrollHeight)}px`
  }

  async take(file, event = undefined) {
    if (!file || !this.uploads) return
    event?.preventDefault()
    this.file.value = ""
    this.problem("")
    if (!this.uploads.types.includes(file.type)) return this.problem(`Files of this kind cannot be sent (${file.type || "unknown"}).`)
    if (file.size > this.uploads.maxBytes) return this.problem(`The file is larger than ${size(this.uploads.maxBytes)}.`)
    const attached = { name: file.name, ready: null }
    this.attached = attached
    this.show(file, "Uploading …")
    attached.ready = this.upload(file).then(
      found => {
        if (this.attached === attached) this.show(file, size(file.size))
        return found
      },
      error => {
        if (this.attached === attached) this.remove()
        this.problem(`${file.name} was not uploaded: ${error.message}`)
        return null
      },
    )
  }

  show(file, note) {
    const remove = element("button", "round", undefined, { type: "button", "aria-label": `Remove ${file.name}` })
    remove.append(icon("close"))
    remove.addEventListener("click", () => {
      this.remove()
      this.text.focus()
    })
    const parts = [element("bdi", "", file.name), element("span", "quiet", note), remove]
    if (file.type.startsWith("image/")) {
      const image = element("img", "", undefined, { alt: "" })
      this.preview ??= URL.createObjectURL(file)
      image.src = this.preview
      parts.unshift(image)
    }
    this.attachedBox.replaceChildren(...parts)
    this.attachedBox.hidden = false
  }

  remove() {
    if (this.preview) URL.revokeObjectURL(this.preview)
    this.preview = null
    this.attached = null
    this.attachedBox.hidden = true
    this.attachedBox.replaceChildren()
  }

  async submit() {
    const text = this.text.value
    const { attached } = this
    if ((!text.trim() && !attached) || this.isSending) return
    this.problem("")
    this.isSending = true
    try {
      const found = attached ? await attached.ready : null
      // The text stays where the file has failed.
      if (attached && !found) return
      this.text.value = ""
      this.remove()
      this.fit()
      this.say(text, found)
    } finally {
      this.isSending = false
    }
  }
}
