// The live page: wires the two streams to two lists. What people write is only ever set as text. until phase 3

import { Pairs } from "/pairs.js";
import { SseStream, WebSocketStream } from "/streams.js";

const ROWS = 200;
const NAMES = { websocket: "WebSocket", sse: "SSE" };
const $ = (id) => document.getElementById(id);
const pairs = new Pairs();
const sides = {
  websocket: { list: $("ws-list"), count: $("ws-count"), badge: $("ws-state"), received: 0, rows: new Map(), held: [] },
  sse: { list: $("sse-list"), count: $("sse-count"), badge: $("sse-state"), received: 0, rows: new Map(), held: [] },
};
let paused = false;
let lastConfig = null;

// Addresses and tokens, fetched again before the tokens expire.
async function config() {
  if (!lastConfig || lastConfig.expires_at - Date.now() / 1000 < 120) {
    const answer = await fetch("/config.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    lastConfig = await answer.json();
  }
  return lastConfig;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function hue(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 997;
  return `hue-${sum % 8}`;
}

function clock(ms) {
  const at = new Date(ms);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
}

function latency(message, receivedAt) {
  const ms = receivedAt - Number(message.timestamp) * 1000;
  // Clocks of one machine agree to about a millisecond; beyond a second backwards the number means nothing.
  return Number.isFinite(ms) && ms > -1000 ? `${Math.max(0, Math.round(ms))} ms` : "–";
}

function makeRow(message, receivedAt) {
  const name = String(message.userName ?? "");
  const row = element("li", "row");
  const face = element("span", `face ${hue(name)}`, [...name][0] ?? "?");
  face.setAttribute("aria-hidden", "true");
  const body = element("div");
  const who = element("div", "who");
  const shown = element("bdi", "name", name);
  who.append(shown, element("span", "room", `#${message.roomId ?? ""}`));
  const said = element("div", "said", String(message.message ?? ""));
  said.dir = "auto";
  body.append(who, said);
  const when = element("div", "when");
  when.append(element("span", "", clock(receivedAt)), element("span", "pair", latency(message, receivedAt)));
  row.append(face, body, when);
  row.dataset.id = String(message.messageId);
  row.dataset.room = String(message.roomId ?? "");
  row.hidden = Boolean($("filter").value) && $("filter").value !== row.dataset.room;
  row.addEventListener("pointerenter", () => near(row.dataset.id, true));
  row.addEventListener("pointerleave", () => near(row.dataset.id, false));
  return row;
}

function near(id, on) {
  for (const side of Object.values(sides)) {
    const row = side.rows.get(id);
    if (row) row.dataset.near = String(on);
  }
}

function mark(stack, id, pair, text) {
  const row = sides[stack].rows.get(id);
  if (!row) return;
  row.dataset.pair = pair;
  const place = row.querySelector(".pair");
  place.textContent = `${place.dataset.latency ?? (place.dataset.latency = place.textContent)} · ${text}`;
}

function message(stack, value, receivedAt) {
  const id = String(value.messageId);
  const side = sides[stack];
  side.received += 1;
  const { pair, differenceMs } = pairs.arrived(stack, id, receivedAt, Number(value.timestamp) * 1000);
  const row = makeRow(value, receivedAt);
  if (pair === "again") {
    row.dataset.pair = "missing";
    row.querySelector(".pair").textContent = "arrived twice";
  } else {
    side.rows.set(id, row);
  }
  if (paused) {
    side.held.push(row);
    if (side.held.length > ROWS) forget(side, side.held.shift());
  } else show(side, row);
  if (pair === "both") {
    mark(stack, id, "both", `+${differenceMs} ms`);
    mark(stack === "sse" ? "websocket" : "sse", id, "both", "first");
  }
  counters();
}

function show(side, row) {
  // Somebody who has scrolled down to read keeps his place.
  const away = side.list.scrollTop > 8;
  const before = side.list.scrollHeight;
  side.list.prepend(row);
  while (side.list.childElementCount > ROWS) {
    forget(side, side.list.lastElementChild);
    side.list.lastElementChild.remove();
  }
  if (away) side.list.scrollTop += side.list.scrollHeight - before;
}

function forget(side, row) {
  if (side.rows.get(row.dataset.id) === row) side.rows.delete(row.dataset.id);
}

function counters() {
  for (const side of Object.values(sides)) side.count.textContent = String(side.received);
  $("matched").textContent = String(pairs.matched);
  $("unmatched").textContent = String(pairs.missing);
  $("unmatched").dataset.bad = String(pairs.missing > 0);
  const median = pairs.median();
  if (median !== null) {
    const by = Math.abs(Math.round(median));
    $("difference").textContent = by === 0 ? "none" : `SSE ${by} ms ${median > 0 ? "later" : "sooner"}`;
  }
}

// Spoken sparingly: changes of state, and how many messages lack their other half, at most every five seconds.
let spokenAt = 0;
let unspoken = "";
function announce(text) {
  unspoken = text || unspoken;
  if (!unspoken || Date.now() - spokenAt < 5000) return;
  $("announce").textContent = unspoken;
  unspoken = "";
  spokenAt = Date.now();
}

function problem(text) {
  $("problem").textContent = text;
}

function handlers(stack) {
  const side = sides[stack];
  return {
    message: (value, receivedAt) => message(stack, value, receivedAt),
    problem,
    state(name, detail) {
      side.badge.dataset.state = name;
      side.badge.textContent = name === "waiting" ? `reconnecting: ${detail}` : name;
      if (name === "live") pairs.live(stack, Date.now());
      else pairs.away(stack);
      if (name !== "connecting") announce(`${NAMES[stack]} is ${name === "live" ? "connected" : "reconnecting"}`);
    },
  };
}

setInterval(() => {
  const late = pairs.overdue(Date.now());
  for (const { id, other, judged } of late) {
    const here = other === "sse" ? "websocket" : "sse";
    if (judged) mark(here, id, "missing", `not on ${NAMES[other]}`);
    else mark(here, id, "", `${NAMES[other]} was away`);
  }
  counters();
  if (late.some(({ judged }) => judged)) announce(`${pairs.missing} messages arrived on one side only`);
  else announce("");
}, 500);

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Continue" : "Pause";
  if (paused) return;
  for (const side of Object.values(sides)) for (const row of side.held.splice(0)) show(side, row);
});

$("filter").addEventListener("change", () => {
  const room = $("filter").value;
  for (const side of Object.values(sides)) {
    for (const row of [...side.list.children, ...side.held]) row.hidden = room !== "" && row.dataset.room !== room;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/INPUT|SELECT/.test(event.target.tagName)) {
    event.preventDefault();
    $("text").focus();
  }
});

const websocket = new WebSocketStream(config, handlers("websocket"));
const sse = new SseStream(config, handlers("sse"));

$("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  problem("");
  try {
    const userName = $("user").value;
    if (new FormData($("send")).get("over") === "websocket") {
      websocket.send({ action: "sendMessage", userName, message: text, roomId: $("room").value });
    } else {
      const { users, sse_url } = await config();
      const answer = await fetch(`${sse_url}/api/chat/send`, {
        method: "POST",
        headers: {
          Authorization: `Bearer ${users.find((user) => user.name === userName).token}`,
          "Content-Type": "application/json",
        },
        body: JSON.stringify({
          conversationId: $("room").value,
          message: text,
          userName,
          idempotencyKey: crypto.randomUUID(),
        }),
      });
      if (!answer.ok) throw new Error(`the service answered HTTP ${answer.status}`);
    }
    $("text").value = "";
  } catch (error) {
    problem(`Not sent: ${error.message}`);
  }
  $("text").focus();
});

function fill(select, values) {
  for (const value of values) select.append(new Option(value, value));
}

async function start() {
  let first = null;
  while (!first) {
    try {
      first = await config();
    } catch {
      problem("The page's server does not answer; trying again.");
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  problem("");
  fill($("user"), first.users.map((user) => user.name));
  fill($("room"), first.rooms);
  fill($("filter"), first.rooms);
  websocket.run();
  sse.run();
}

start();
