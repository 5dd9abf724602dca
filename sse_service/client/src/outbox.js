/** Messages on their way up: numbered, in order, kept until the server has acknowledged them. No input or output. */

import { toBase64, utf8Length } from "./bytes.js"

/**
 * json: the message as it is sent; null while a Blob is not read yet.
 * @typedef {{seq: number, bytes: number, json: string | null, size: number, blob: Blob | null}} Entry
 */

export class Outbox {
  /** @type {Entry[]} */
  #entries = []
  /** Number of the last message given to it. */
  last = 0
  /** Number up to which the server has everything. */
  acked = 0
  /** Bytes of payload not acknowledged. */
  bytes = 0

  /** The message that waits longest, or undefined. */
  get head() {
    return this.#entries[0]
  }

  /** @param {string} text well-formed @param {number} bytes */
  text(text, bytes) {
    const seq = ++this.last
    this.#add({ seq, bytes, blob: null, ...encoded(`{"seq":${seq},"text":${JSON.stringify(text)}}`) })
  }

  /** @param {Uint8Array} data */
  binary(data) {
    const seq = ++this.last
    this.#add({ seq, bytes: data.byteLength, blob: null, ...binaryJson(seq, data) })
  }

  /** Read when its turn comes, so that its place in the order is kept. @param {Blob} blob */
  blob(blob) {
    this.#add({ seq: ++this.last, bytes: blob.size, json: null, size: 0, blob })
  }

  /** @param {Entry} entry */
  #add(entry) {
    this.#entries.push(entry)
    this.bytes += entry.bytes
  }

  /** Read the Blob at the head, if it is one. Rejects where it cannot be read. */
  async load() {
    const entry = this.head
    if (!entry?.blob) return
    const data = new Uint8Array(await entry.blob.arrayBuffer())
    entry.blob = null
    Object.assign(entry, binaryJson(entry.seq, data))
  }

  /**
   * The first messages, as many as fit; one at least.
   * @param {number} maxBytes of the whole body @param {number} maxMessageBytes of one payload; a longer one ends the batch
   */
  batch(maxBytes, maxMessageBytes) {
    const parts = []
    let size = 0
    let last = this.acked
    for (const entry of this.#entries) {
      if (entry.json === null || entry.bytes > maxMessageBytes) break
      if (parts.length && size + entry.size + ENVELOPE > maxBytes) break
      parts.push(entry.json)
      size += entry.size + 1
      last = entry.seq
    }
    return { json: `[${parts.join(",")}]`, last, count: parts.length }
  }

  /** @returns {number} bytes of payload that were acknowledged with it */
  ack(/** @type {number} */ upTo) {
    if (!(upTo > this.acked)) return 0
    this.acked = Math.min(upTo, this.last)
    let count = 0
    let bytes = 0
    while (count < this.#entries.length && this.#entries[count].seq <= upTo) bytes += this.#entries[count++].bytes
    this.#entries.splice(0, count)
    this.bytes -= bytes
    return bytes
  }

  clear() {
    this.#entries.length = 0
  }
}

/** What a body has around its messages, with room to spare. */
const ENVELOPE = 64

const encoded = (/** @type {string} */ json) => ({ json, size: utf8Length(json) })

const binaryJson = (/** @type {number} */ seq, /** @type {Uint8Array} */ data) => {
  const json = `{"seq":${seq},"binary":"${toBase64(data)}"}`
  return { json, size: json.length }
}
