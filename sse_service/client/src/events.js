/** Event classes and handler attributes, where the platform has none. */

/** Node.js has CloseEvent from version 23 on. HTML-like interface: WebSockets Standard, 6 "Feedback from the protocol". */
class CloseEventPolyfill extends Event {
  #init
  constructor(/** @type {string} */ type, /** @type {CloseEventInit} */ init = {}) {
    super(type, init)
    this.#init = init
  }
  get wasClean() {
    return this.#init.wasClean ?? false
  }
  get code() {
    return this.#init.code ?? 0
  }
  get reason() {
    return this.#init.reason ?? ""
  }
}

/** @type {typeof CloseEvent} */
export const CloseEventClass = globalThis.CloseEvent ?? /** @type {any} */ (CloseEventPolyfill)

/** A plain `error` event as the standard has it, plus `message`, which says what happened. */
export function errorEvent(/** @type {string} */ message) {
  return Object.defineProperty(new Event("error"), "message", { value: message, enumerable: true })
}

/**
 * `onopen` and its like: one callback, called among the listeners at the place where the first was set.
 * Source: HTML standard, 8.1.8.1 "Event handlers".
 */
export class Handlers {
  /** @type {Map<string, {callback: unknown, listener: (event: Event) => void}>} */
  #set = new Map()

  get(/** @type {string} */ type) {
    return this.#set.get(type)?.callback ?? null
  }

  set(/** @type {EventTarget} */ target, /** @type {string} */ type, /** @type {unknown} */ value) {
    const current = this.#set.get(type)
    // [LegacyTreatNonObjectAsNull]
    if (value === null || (typeof value !== "function" && typeof value !== "object")) {
      if (current) target.removeEventListener(type, current.listener)
      this.#set.delete(type)
    } else if (current) current.callback = value
    else {
      const entry = {
        callback: value,
        listener: (/** @type {Event} */ event) => {
          if (typeof entry.callback === "function") entry.callback.call(target, event)
        },
      }
      this.#set.set(type, entry)
      target.addEventListener(type, entry.listener)
    }
  }
}
