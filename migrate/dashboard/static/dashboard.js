// The page of `migrate dashboard`: one stream, one store, and what changed is drawn at most ten times a second.
// until phase 3

import { Actions } from "./actions.js";
import { SECTIONS, blind, bridgeWords, unknown } from "./away.js";
import { $, attribute, element, set } from "./elements.js";
import { makeFolds } from "./fold.js";
import { clock, number } from "./format.js";
import { makeGlance } from "./glance.js";
import { Changes, announce } from "./live.js";
import { makeMismatches } from "./mismatches.js";
import { Operator } from "./operator.js";
import { makeDeliveries, makeLatency } from "./plots.js";
import { makeComparison, makeConnections, makeJournal, makeSources } from "./sections.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { fill, named, t } from "./strings.js";
import { gateOf } from "./summary.js";
import { makeCutover, makeJobs, makePhases } from "./work.js";

// Numbers that change more often cannot be read.
const EVERY_MS = 100;
const LATEST_MS = 500;
const HIDDEN_MS = 1000;
// "3 min ago" grows old by itself.
const AGES_MS = 5000;
const AGEING = ["comparison", "cutover", "phases", "sources"];

fill(document);
const store = new Store();
const operator = new Operator();
const acts = new Actions(store, operator);
const glance = makeGlance();
const journal = makeJournal();
journal.listen(store);

const verdicts = new Changes((feature, verdict) =>
  announce(t("comparison.spoken", { feature, verdict: named(`verdict.${verdict}`, verdict) })),
);
const gates = new Changes((feature, gate) => announce(t("cutover.spoken.gate", { feature, gate: t(`cutover.gate.${gate}`) })));

function sayVerdicts({ sections: { comparison } }) {
  verdicts.see((comparison?.features ?? []).map((one) => [one.feature, one.verdict]));
}

function sayGates({ sections: { cutover } }) {
  gates.see((cutover ?? []).map((one) => [one.feature, gateOf(one)]));
}

const bridges = new Changes((_, words) => announce(words || t("bridge.spoken.running")));

function sayBridge({ sections: { bridge } }) {
  bridges.see([["bridge", bridgeWords(bridge)]]);
}

const mismatches = makeMismatches(store);
const cutover = makeCutover(acts);
const jobs = makeJobs(acts);

// By section, what draws it; a part that fails says so in its own place and leaves the others alone.
const parts = {
  page: [drawPage],
  footer: [drawFooter],
  connections: [makeConnections(), glance.who],
  deliveries: [makeDeliveries()],
  // Whether no difference was found depends on whether anything was compared.
  comparison: [makeComparison(), glance.loss, sayVerdicts, mismatches, cutover],
  mismatches: [mismatches],
  latency: [makeLatency()],
  cutover: [cutover, glance.who, sayGates, jobs.more],
  phases: [makePhases(), glance.next],
  jobs: [jobs.jobs, jobs.more, glance.running],
  journal: [journal.render],
  bridge: [glance.bridge, glance.sources, sayBridge],
  sources: [
    makeSources(), glance.sources, glance.loss, glance.who, glance.running, glance.next, cutover, jobs.more, drawUnknown, drawBadge,
  ],
};

/** In the panel of each section whose sources are away: since when it is not known. */
function drawUnknown({ sections: { sources } }) {
  for (const name of SECTIONS) {
    const panel = $(`${name}-title`)?.closest("section");
    if (!panel) continue;
    const words = unknown(sources, name);
    panel.classList.toggle("unknown", Boolean(words));
    let note = panel.querySelector(":scope > .not-known");
    if (!note && words) {
      note = element("p", { class: "not-known" });
      (panel.querySelector(":scope > .row:has(h2)") ?? panel.querySelector("h2")).after(note);
    }
    if (!note) continue;
    note.hidden = !words;
    set(note, words && t("away.panel", { words }));
  }
}

/** A stream that is live with nobody behind it is not what "live" promises. */
function drawBadge({ sections: { sources } }) {
  const badge = $("stream");
  if (document.body.dataset.stream !== "live") return;
  const found = blind(sources);
  badge.dataset.state = found ? "blind" : "live";
  set(badge, found ? t("stream.blind", found) : t("stream.live"));
}

function drawPage({ readOnly, project }) {
  operator.show(readOnly);
  set($("project"), project || t("title"));
}

function drawFooter({ received, lastAt, version }) {
  set($("received"), t("footer.received", { count: number(received), time: clock(lastAt) }));
  attribute($("received"), "data-count", received);
  set($("version"), version ? t("footer.version", { version }) : "");
}

let frame = 0;
let timer = 0;
let paintedAt = -Infinity;
let gap = EVERY_MS;

/** One frame or one timer at a time, whatever arrives meanwhile. */
function schedule() {
  if (frame || timer) return;
  const wait = Math.max(paintedAt + gap - performance.now(), document.hidden ? HIDDEN_MS : 0);
  if (wait > 0) timer = setTimeout(due, wait);
  else frame = requestAnimationFrame(paint);
}

function due() {
  timer = 0;
  // A tab that nobody looks at gets no frames; its title still has to say what has happened.
  if (document.hidden) paint();
  else frame = requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  paintedAt = performance.now();
  const dirty = [...store.dirty];
  store.dirty.clear();
  for (const name of dirty) draw(name);
  // A slow machine draws less often rather than falling behind.
  gap = Math.min(LATEST_MS, Math.max(EVERY_MS, (performance.now() - paintedAt) * 4));
}

document.addEventListener("visibilitychange", () => {
  cancelAnimationFrame(frame);
  clearTimeout(timer);
  frame = timer = 0;
  schedule();
});

function draw(name) {
  let words = "";
  for (const part of parts[name] ?? []) {
    try {
      part(store);
    } catch (error) {
      console.error(name, error);
      words ||= t("section.broken", { why: error.message });
    }
  }
  broken(name, words);
}

/** The words in place of what cannot be shown, in the panel of a section. */
function broken(name, words) {
  const panel = $(`${name}-title`)?.closest("section");
  const place = panel?.querySelector(":scope > .problem");
  if (place) set(place, words);
  else if (panel && words) panel.append(element("p", { class: "problem", role: "alert", text: words }));
}

makeFolds(() => {
  store.dirty.add("mismatches");
  schedule();
});

let wasLive;

function drawState(name, { since, why }) {
  const badge = $("stream");
  badge.dataset.state = name;
  document.body.dataset.stream = name;
  const isAway = name === "away";
  set(badge, isAway ? t("stream.away", { time: clock(since / 1000) }) : t(`stream.${name}`));
  $("away").hidden = !isAway;
  if (isAway) set($("away"), t("stream.banner", { time: clock(since / 1000), why }));
  const isLive = name === "live";
  drawBadge(store);
  // The first connection is no news, nor is a short gap.
  if (!isLive && !isAway) return;
  if (wasLive !== undefined && wasLive !== isLive) announce(t(isLive ? "stream.spoken.live" : "stream.spoken.away"));
  wasLive = isLive;
}

const stream = new Stream("/events", {
  state: drawState,
  event(event) {
    try {
      store.apply(event);
    } catch (error) {
      console.error(event.type, error);
    }
    schedule();
  },
});

for (const name of Object.keys(parts)) if (name !== "page") draw(name);
setInterval(() => {
  for (const name of AGEING) store.dirty.add(name);
  schedule();
}, AGES_MS);
stream.run();
