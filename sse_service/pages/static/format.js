// Times, names and sizes for people; elements whose text is only ever text.

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" })
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" })

/** UNIX seconds of a number or of ISO 8601 with microseconds, which Date would cut to milliseconds. */
export function seconds(value) {
  if (typeof value === "number") return value
  const whole = Date.parse(String(value).replace(/\.\d+/, "")) / 1000
  const part = /\.(\d+)/.exec(String(value))
  return whole + (part ? Number(`0.${part[1]}`) : 0)
}

export function time(at) {
  return TIME.format(at * 1000)
}

const dayNumber = at => {
  const date = new Date(at * 1000)
  return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000
}

export const isSameDay = (a, b) => dayNumber(a) === dayNumber(b)

export function day(at) {
  const ago = dayNumber(Date.now() / 1000) - dayNumber(at)
  return ago === 0 ? "Today" : ago === 1 ? "Yesterday" : DAY.format(at * 1000)
}

/** For the list of conversations: the time of today, the day of what is older. */
export function brief(at) {
  return dayNumber(Date.now() / 1000) === dayNumber(at) ? time(at) : SHORT_DAY.format(at * 1000)
}

export function size(bytes) {
  return bytes < 1 << 10 ? `${bytes} B` : bytes < 1 << 20 ? `${Math.round(bytes / 1024)} kB` : `${(bytes / (1 << 20)).toFixed(1)} MB`
}

/** One of eight colours, the same for the same name. */
export function hue(name) {
  let sum = 0
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 997
  return `hue-${sum % 8}`
}

export const initial = name => ([...name.replace(/^[#@]/, "")][0] ?? "?").toUpperCase()

export function element(tag, className = "", text = undefined, attributes = {}) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

const LINK = /https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]]/g

/** Text with its web addresses as links; nothing else in it means anything. */
export function withLinks(text) {
  const parts = document.createDocumentFragment()
  let at = 0
  for (const found of text.matchAll(LINK)) {
    parts.append(text.slice(at, found.index))
    parts.append(element("a", "", found[0], { href: found[0], target: "_blank", rel: "noopener noreferrer" }))
    at = found.index + found[0].length
  }
  parts.append(text.slice(at))
  return parts
}

const SHAPES = {
  clip: "M17 7.5 9.6 14.9a2.3 2.3 0 0 0 3.2 3.2l7.1-7.1a4.4 4.4 0 0 0-6.2-6.2l-7.3 7.3a6.5 6.5 0 0 0 9.2 9.2l6-6",
  send: "M4 12 3 4l18 8-18 8 1-8Zm0 0h9",
  back: "m14 5-7 7 7 7",
  plus: "M12 5v14M5 12h14",
  down: "m5 9 7 7 7-7",
  close: "M6 6l12 12M18 6 6 18",
  chat: "M4 5h16v11H9l-5 4V5Z",
  sent: "m4 12.5 5 5L20 6.5",
  read: "m1.500 12.500 5 5L15 7.500m-3.500 9 1 1L22.500 6.500",
  wait: "M12 7v5l3 2M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18Z",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  file: "M6 3h8l4 4v14H6V3Zm8 0v4h4",
}

/** A drawn sign; decoration, unless `label` says what it means. */
export function icon(name, label = "") {
  const space = "http://www.w3.org/2000/svg"
  const svg = document.createElementNS(space, "svg")
  const path = document.createElementNS(space, "path")
  svg.setAttribute("viewBox", "0 0 24 24")
  svg.setAttribute("class", `icon icon-${name}`)
  path.setAttribute("d", SHAPES[name])
  svg.append(path)
  if (label) {
    svg.setAttribute("role", "img")
    svg.setAttribute("aria-label", label)
  } else svg.setAttribute("aria-hidden", "true")
  return svg
}
