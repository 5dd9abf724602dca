/** Text and bytes: well-formed strings, lengths in UTF-8, base64. Nothing but ECMAScript and atob/btoa. */

/** A USVString: lone surrogates become U+FFFD (Web IDL 3.2.12). With the `u` flag a pair is one code point and no match. */
export const wellFormed = (/** @type {string} */ text) => text.replace(/\p{Surrogate}/gu, "\uFFFD")

/** Length in bytes of the UTF-8 of a well-formed string, without encoding it. */
export function utf8Length(/** @type {string} */ text) {
  let bytes = text.length
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) continue
    // A surrogate pair is two units and four bytes: two for each of its halves.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2
  }
  return bytes
}

// String.fromCharCode takes its bytes as arguments, and their number is limited.
const SLICE = 0x2000

export function toBase64(/** @type {Uint8Array} */ bytes) {
  let text = ""
  for (let at = 0; at < bytes.length; at += SLICE) {
    text += String.fromCharCode.apply(null, /** @type {any} */ (bytes.subarray(at, at + SLICE)))
  }
  return btoa(text)
}

/** @returns {Uint8Array<ArrayBuffer>} @throws DOMException where it is no base64 */
export function fromBase64(/** @type {string} */ base64) {
  const text = atob(base64)
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at)
  return bytes
}
