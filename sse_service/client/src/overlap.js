/**
 * What two connections of one user bring while both are open, each frame once. No input or output, no clock.
 *
 * The old connection is the one that delivers; what the new one brings meanwhile waits. Both get the same frames, each from
 * the moment it was known to the server, in about the same order. So, when the old one is closed, what is missing is the new
 * one's frames without those that the old one brought, in the new one's order. A frame is the same one by its identity and
 * its occurrence: of two equal frames of the old connection and three of the new one, one is new.
 */

/** @typedef {string | ArrayBuffer} Data */
/** @typedef {(data: Data) => unknown} Identity a value that is the same for the same frame; null: never a copy */

export class Overlap {
  #identity
  /** @type {Map<unknown, number[]>} times of the old connection's frames whose copy the new one has not brought */
  #alone = new Map()
  /** @type {{key: unknown, data: Data}[]} the new connection's frames that the old one has not brought */
  #held = []

  constructor(/** @type {Identity} */ identity) {
    this.#identity = identity
  }

  /** A frame of the old connection, which is to be delivered. */
  old(/** @type {Data} */ data, /** @type {number} */ now) {
    const key = this.#key(data)
    if (key === null) return
    const at = this.#held.findIndex(frame => frame.key === key)
    if (at >= 0) this.#held.splice(at, 1)
    else if (this.#alone.has(key)) /** @type {number[]} */ (this.#alone.get(key)).push(now)
    else this.#alone.set(key, [now])
  }

  /** A frame of the new connection while the old one still delivers. */
  held(/** @type {Data} */ data) {
    const key = this.#key(data)
    if (!this.#isCopy(key)) this.#held.push({ key, data })
  }

  /** What waited, when the old connection delivers no more. @returns {Data[]} */
  release() {
    return this.#held.splice(0).map(frame => frame.data)
  }

  /** A frame of the new connection after that. Whether it is to be delivered. */
  late(/** @type {Data} */ data) {
    return !this.#isCopy(this.#key(data))
  }

  /** Whether the old connection has brought everything that the new one has: what was sent before that is there, too. */
  get isLevel() {
    return this.#held.length === 0
  }

  /** Whether the old connection got, since `from` and at least `ripe` before `now`, what the new one did not: an answer. */
  isAlone(/** @type {number} */ from, /** @type {number} */ now, /** @type {number} */ ripe, /** @type {number} */ within) {
    for (const times of this.#alone.values()) {
      const last = times[times.length - 1]
      if (last >= from && now - last >= ripe && now - last < ripe + within) return true
    }
    return false
  }

  #isCopy(/** @type {unknown} */ key) {
    const times = key === null ? undefined : this.#alone.get(key)
    if (!times) return false
    times.shift()
    if (!times.length) this.#alone.delete(key)
    return true
  }

  #key(/** @type {Data} */ data) {
    return this.#identity(data)
  }
}

/** The frame itself: text, or the bytes of it. */
export const byContent = (/** @type {Data} */ data) =>
  typeof data === "string" ? `t${data}` : `b${Array.from(new Uint8Array(data), byte => String.fromCharCode(byte)).join("")}`
