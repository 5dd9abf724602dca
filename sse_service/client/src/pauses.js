/** Pauses between attempts: exponential with full jitter, and ended early when there is news. */

/**
 * Full jitter: anything from 0 to the exponential bound, so that clients cut together do not come back together.
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
 * @param {number} failures so far @param {{baseMs: number, capMs: number}} backoff
 */
export const jittered = (failures, { baseMs, capMs }) => Math.random() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30))

export class Pauses {
  /** @type {Set<() => void>} */
  #waiting = new Set()
  #over = false

  /** @param {number} ms @returns {Promise<void>} earlier on wake() */
  sleep(ms) {
    if (this.#over) return Promise.resolve()
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#waiting.add(done)
    })
  }

  wake() {
    for (const done of [...this.#waiting]) done()
  }

  /** No pauses any more. */
  end() {
    this.#over = true
    this.wake()
  }
}
