// Numbers and times for people. Pure, but for `ago`, which asks the clock. until phase 3

import { t } from "./strings.js";

const language = document.documentElement.lang;
const WHOLE = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });

/** Epoch seconds of a number or of ISO 8601; NaN for anything else. */
export function seconds(value) {
  if (Number.isFinite(value)) return value;
  return typeof value === "string" && value ? Date.parse(value) / 1000 : NaN;
}

export function number(value) {
  return Number.isFinite(value) ? WHOLE.format(value) : "–";
}

/** A rate: tenths below ten, where they say something. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  return (Math.abs(value) < 10 ? TENTHS : WHOLE).format(value);
}

/** Of 0 to 100. */
export function percent(value) {
  return Number.isFinite(value) ? `${TENTHS.format(value)} %` : "–";
}

/** Of a share of 0 to 1, to two significant digits: 0.00006 is not nothing. */
export function share(value) {
  if (!Number.isFinite(value)) return "–";
  if (value <= 0) return "0 %";
  return `${Number((value * 100).toPrecision(2))} %`;
}

export function milliseconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1000) return `${TENTHS.format(value / 1000)} s`;
  return `${(value < 10 ? TENTHS : WHOLE).format(value)} ms`;
}

/** The time of day; with the day, when it is another one. */
export function clock(value) {
  const at = seconds(value);
  if (!Number.isFinite(at)) return "–";
  const date = new Date(at * 1000);
  const time = CLOCK.format(date);
  return date.toDateString() === new Date().toDateString() ? time : `${DAY.format(date)} ${time}`;
}

export function ago(value, now = Date.now() / 1000) {
  const at = seconds(value);
  if (!Number.isFinite(at)) return "–";
  const passed = Math.max(0, now - at);
  if (passed < 5) return t("time.now");
  if (passed < 90) return t("time.seconds", { count: Math.round(passed / 5) * 5 });
  if (passed < 5400) return t("time.minutes", { count: Math.round(passed / 60) });
  if (passed < 129_600) return t("time.hours", { count: Math.round(passed / 3600) });
  return t("time.days", { count: Math.round(passed / 86_400) });
}

/** A span of seconds, coarsely: it is an estimate wherever it is shown. */
export function span(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 90) return `${Math.max(1, Math.round(value))} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return value < 172_800 ? `${TENTHS.format(value / 3600)} h` : `${Math.round(value / 86_400)} d`;
}

const TIMES = /(?:^|_)(?:at|since|until|from|to|window|time|when|deadline|expires|began|started|ended)$/;
const DIGEST = /^[0-9a-f]{64}$/;
// 2001 to 2096: a count so high under such a name is no count.
const isEpoch = (value) => Number.isFinite(value) && value > 1e9 && value < 4e9;

/** As people read it, by its name: epoch seconds as a time of day, a digest as its beginning. */
function readable(value, name) {
  if (Array.isArray(value)) {
    if (value.length === 2 && TIMES.test(name) && value.every(isEpoch)) return value.map(clock).join(" – ");
    return value.map((one) => readable(one, name));
  }
  if (TIMES.test(name) && isEpoch(value)) return clock(value);
  if (typeof value === "string" && DIGEST.test(value)) return value.slice(0, 12);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, readable(one, key)]));
}

/** The arguments of an action in one line, but for those that say nothing: not given, or not asked for. */
export function told(value) {
  const said = readable(value, "");
  if (said === null || typeof said !== "object" || Array.isArray(said)) return brief(said);
  const isPlain = (one) => Array.isArray(one) && one.every((part) => part === null || typeof part !== "object");
  const kept = Object.entries(said)
    .filter(([, one]) => one !== null && one !== false && one !== "" && !(Array.isArray(one) && !one.length))
    .map(([name, one]) => [name, isPlain(one) ? one.join(",") : one]);
  return brief(Object.fromEntries(kept));
}

const COMMAND = /\b(?:migrate|pip)(?=\s)(?:\s+(?:&&|(?:"[^"]*"|'[^']*'|[^\s"'`,;()])+))+/g;

/** What comes next, taken apart: [[text, whether it is a command]]. What stands in backquotes is only spoken of. */
export function pieces(text) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(COMMAND)) {
    if (text[match.index - 1] === "`") continue;
    if (match.index > from) found.push([text.slice(from, match.index), false]);
    found.push([match[0], true]);
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push([text.slice(from), false]);
  return found;
}

/** A value as one word of a shell's line. */
export const word = (value) => (/^[\w@%+=:,./-]+$/.test(value) ? String(value) : `'${String(value).replaceAll("'", "'\\''")}'`);

/** A value of JSON in one line: names bare, text as it is. */
export function brief(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(brief).join(", ");
  return Object.entries(value)
    .map(([name, one]) => `${name}=${one !== null && typeof one === "object" ? JSON.stringify(one) : String(one)}`)
    .join(" ");
}
