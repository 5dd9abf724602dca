/**
 * What may be given to the constructor and to close(), and what is thrown otherwise.
 *
 * Source: WebSockets Standard (websockets.spec.whatwg.org), 3.1 "The WebSocket interface": constructor steps,
 * close(code, reason); RFC 6455, 4.1 (elements of Sec-WebSocket-Protocol are tokens and unique), 5.5.1 (123 bytes).
 */

import { utf8Length, wellFormed } from "./bytes.js"

const MAX_REASON_BYTES = 123
// RFC 9110, 5.6.2: token.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const fail = (/** @type {string} */ message, /** @type {string} */ name) => {
  throw new DOMException(message, name)
}

/** "Obtain a WebSocket URL": http(s) becomes ws(s); a relative one is taken from the page's. @returns {URL} */
export function webSocketUrl(/** @type {unknown} */ url) {
  const scope = /** @type {any} */ (globalThis)
  const base = scope.document?.baseURI ?? scope.location?.href
  let parsed
  try {
    parsed = new URL(wellFormed(String(url)), base)
  } catch {
    return fail(`The URL '${shown(url)}' is invalid.`, "SyntaxError")
  }
  const scheme = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[parsed.protocol]
  if (!scheme) return fail(`The URL's scheme must be 'http', 'https', 'ws' or 'wss', not '${parsed.protocol}'.`, "SyntaxError")
  // An empty fragment counts as well, and URL.hash does not show it.
  if (parsed.href.includes("#")) return fail("A WebSocket URL has no fragment ('#…').", "SyntaxError")
  return new URL(scheme + parsed.href.slice(parsed.protocol.length))
}

/** An address for a message: without query and fragment, where tokens are. */
const shown = (/** @type {unknown} */ url) => String(url).split(/[?#]/, 1)[0]

/** @returns {string[]} */
export function subProtocols(/** @type {unknown} */ protocols) {
  if (protocols === undefined) return []
  const iterable = typeof protocols === "object" && protocols !== null && Symbol.iterator in protocols
  const list = iterable ? Array.from(/** @type {Iterable<unknown>} */ (protocols), String) : [String(protocols)]
  for (const protocol of list) {
    if (!TOKEN.test(protocol)) fail(`The subprotocol '${protocol}' is invalid.`, "SyntaxError")
  }
  if (new Set(list).size !== list.length) fail("A subprotocol is given twice.", "SyntaxError")
  return list
}

/**
 * The arguments of close(). A reason without a code is sent with 1000, as a close frame has no place for it alone.
 * @returns {{code: number | null, reason: string}} code: null for a close without a status
 */
export function closeArguments(/** @type {unknown} */ code, /** @type {unknown} */ reason) {
  const text = reason === undefined ? "" : wellFormed(String(reason))
  const number = code === undefined ? null : clamped(code)
  if (number !== null && number !== 1000 && !(number >= 3000 && number <= 4999)) {
    fail(`The close code must be 1000 or between 3000 and 4999, not ${number}.`, "InvalidAccessError")
  }
  if (utf8Length(text) > MAX_REASON_BYTES) fail(`The close reason is longer than ${MAX_REASON_BYTES} bytes.`, "SyntaxError")
  return { code: number ?? (text ? 1000 : null), reason: text }
}

/** Web IDL 3.2.4.9, [Clamp] unsigned short: to the nearest integer, halves to the even one. */
function clamped(/** @type {unknown} */ value) {
  const number = Math.min(Math.max(Number(value), 0), 0xffff)
  if (Number.isNaN(number)) return 0
  const floor = Math.floor(number)
  const rest = number - floor
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1
  return rest < 0.5 ? floor : floor + 1
}

/**
 * Where the service answers for a WebSocket URL: the same address over http(s), or what `baseUrl` says.
 * The query is cut off: it often carries a token, and addresses are logged.
 * @param {URL} url of webSocketUrl
 * @param {import("../types/index.d.ts").BaseUrl | undefined} baseUrl
 * @returns {URL}
 */
export function serviceUrl(url, baseUrl) {
  const plain = new URL(url.href)
  plain.search = ""
  const address = plain.href
  let mapped = address.replace(/^ws/, "http")
  if (typeof baseUrl === "function") mapped = String(baseUrl(new URL(url.href)))
  else if (typeof baseUrl === "string") mapped = joined(baseUrl, plain.pathname)
  else if (baseUrl) {
    const prefixes = Object.keys(baseUrl).filter(prefix => startsWith(address, prefix))
    const longest = prefixes.sort((a, b) => b.length - a.length)[0]
    if (longest !== undefined) mapped = joined(baseUrl[longest], address.slice(trimmed(longest).length))
  }
  let target
  try {
    target = new URL(mapped, /** @type {any} */ (globalThis).location?.href)
  } catch {
    return fail(`baseUrl gives '${shown(mapped)}', which is no URL.`, "SyntaxError")
  }
  if (!/^https?:$/.test(target.protocol)) fail("baseUrl must give an http: or https: URL.", "SyntaxError")
  target.search = ""
  target.hash = ""
  return target
}

const trimmed = (/** @type {string} */ text) => text.replace(/\/+$/, "")
const joined = (/** @type {string} */ base, /** @type {string} */ rest) => trimmed(base) + (rest && !rest.startsWith("/") ? `/${rest}` : rest)

/** Whole segments only: `wss://a/prod` is no prefix of `wss://a/production`. */
function startsWith(/** @type {string} */ address, /** @type {string} */ prefix) {
  const start = trimmed(prefix)
  return address === start || address.startsWith(`${start}/`)
}
