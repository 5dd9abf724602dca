// Cut-over, jobs and phases: what is done, and what can be done about it. until phase 3

import { unknown } from "./away.js";
import { copyable } from "./copy.js";
import { $, attribute, chip, element, keyed, lines, listed, set } from "./elements.js";
import { ago, number, percent, pieces, seconds, span } from "./format.js";
import { progressBar } from "./glance.js";
import { named, t } from "./strings.js";
import { GATE_TONES, done, gateOf, isMoved, isRunning, isSettled, jobName, remaining, speed } from "./summary.js";

const ITEM_TONES = { done: "good", waived: "unknown", open: "plain", failing: "bad" };

/** A button that opens an action's dialog; there only while somebody may operate. */
function actButton(acts, words, name, values) {
  const made = element("button", { type: "button", class: "act", text: words });
  made.addEventListener("click", () => acts.open(name, values()));
  return made;
}

const tenantsOf = ({ tenants }) =>
  Object.entries(tenants ?? {}).map(([tenant, one]) => t("cutover.tenant", { tenant, percent: percent(one) })).join(", ");

function feature(acts) {
  let shown = {};
  const name = element("h3");
  const figure = element("b", { class: "figure" });
  const state = element("span", { class: "quiet" });
  const gate = chip();
  const bar = progressBar("");
  const reasons = element("ul", { class: "reasons" });
  const tenants = element("p", { class: "quiet" });
  const changed = element("p", { class: "quiet" });
  const move = actButton(acts, t("cutover.move"), "cutover", () => ({ feature: shown.feature, percent: shown.percent }));
  const back = actButton(acts, t("cutover.rollback"), "rollback", () => shown);
  const root = element(
    "li",
    { class: "card" },
    element("div", { class: "row" }, name, gate.root, state, element("span", { class: "spring" }), figure),
    bar.root,
    reasons,
    tenants,
    element("div", { class: "row end" }, changed, move, back),
  );
  return {
    root,
    update(item) {
      shown = item;
      set(name, item.feature);
      set(figure, percent(item.percent));
      set(state, item.state ?? "");
      const isOpen = item.gate?.open;
      const isDoubtful = isOpen && item.fails;
      const stands = item.unknown ? "unknown" : isDoubtful ? "doubtful" : gateOf(item);
      gate.show(t(`cutover.gate.${stands}`), { unknown: "unknown", doubtful: "bad", ...GATE_TONES }[stands]);
      attribute(reasons, "data-tone", isDoubtful ? "bad" : GATE_TONES[stands]);
      move.disabled = Boolean(item.unknown);
      move.title = item.unknown;
      const words = t("cutover.bar", { feature: item.feature, percent: percent(item.percent) });
      attribute(bar.root, "aria-label", words);
      bar.update(item.percent, words);
      const why = isDoubtful ? [t("cutover.doubtful")] : isOpen ? [] : (item.gate?.reasons ?? []);
      lines(reasons, item.unknown ? [t("cutover.unknown")] : why);
      const own = tenantsOf(item);
      tenants.hidden = !own;
      set(tenants, t("cutover.tenants", { tenants: own }));
      const hasChanged = seconds(item.changed_at) > 0;
      const when = hasChanged ? t("cutover.changed", { ago: ago(item.changed_at), by: item.by }) : t("cutover.never");
      const more = [
        item.epoch && t("cutover.epoch", { epoch: item.epoch }),
        item.note && t("cutover.note", { note: item.note }),
        item.running && t("cutover.running", { who: item.running }),
      ];
      set(changed, [when, ...more].filter(Boolean).join(" · "));
      attribute(move, "aria-label", t("cutover.move.name", { feature: item.feature }));
      attribute(back, "aria-label", t("cutover.rollback.name", { feature: item.feature }));
    },
  };
}

const isFailingNow = ({ verdict, source }) => verdict === "fail" && source === "live";

export function makeCutover(acts) {
  const show = listed("cutover", (item) => item.feature, () => feature(acts));
  return ({ sections: { cutover, comparison, sources } }) => {
    // What is recorded now may fail while the gate knows the verdict that was stored last.
    const failing = new Set((comparison?.features ?? []).filter(isFailingNow).map(({ feature: name }) => name));
    const away = unknown(sources, "cutover");
    show((cutover ?? []).map((one) => ({ ...one, fails: failing.has(one.feature), unknown: away })));
  };
}

const JOB_TONES = { done: "good", failed: "bad", interrupted: "warn", paused: "warn", stopped: "warn" };
const JOB_ACTS = { drain: ["drain-pause", "drain-resume", "drain-undo"], sweep: ["sweep-throttle", "sweep-stop"] };

function fits(name, job) {
  const isResting = ["paused", "stopped", "interrupted"].includes(job.status);
  if (name === "drain-undo") return job.status !== "undone";
  if (name === "drain-resume") return isResting;
  if (name === "drain-pause") return isRunning(job) && !isResting;
  return isRunning(job);
}

function job(acts, { kind, id }) {
  const name = element("h3");
  const label = element("code", { class: "quiet" });
  const status = chip();
  const bar = progressBar(t("jobs.progress.name", { kind: jobName({ kind }), id }));
  const progress = element("p");
  const pace = element("p", { class: "quiet" });
  const counts = element("dl", { class: "counts" });
  const owner = element("p", { class: "quiet" });
  let shown = {};
  const values = () => ({ table: shown.table, paused: shown.status === "paused" });
  const buttons = (JOB_ACTS[kind] ?? []).map((one) => [one, actButton(acts, t(`act.short.${one}`), one, values)]);
  // The visible words come first in the name: who speaks to a computer says what can be read (WCAG 2.2, 2.5.3).
  const spoken = (one) => t("jobs.act.name", { act: t(`act.short.${one}`), job: jobName({ kind }) });
  for (const [one, button] of buttons) button.setAttribute("aria-label", spoken(one));
  const root = element(
    "li",
    { class: "card" },
    element("div", { class: "row" }, name, status.root, element("span", { class: "spring" }), label),
    bar.root,
    progress,
    pace,
    counts,
    element("div", { class: "row end" }, owner, ...buttons.map(([, button]) => button)),
  );
  return {
    root,
    update(item) {
      shown = item;
      set(name, jobName(item));
      set(label, item.id ?? "");
      status.show(item.status, JOB_TONES[item.status] ?? (isRunning(item) ? "good" : "plain"));
      const left = remaining(item);
      const sizes = { done: number(item.done), total: number(item.total) };
      const facts = [
        ...(item.total > 0 ? [t(item.kind === "sweep" ? "jobs.segments" : "jobs.progress", sizes)] : []),
        ...(isRunning(item) && Number.isFinite(item.per_s) ? [speed(item)] : []),
        ...(isRunning(item) && Number.isFinite(left) ? [t("running.left", { time: span(left) })] : []),
      ];
      set(progress, facts.join(" · "));
      bar.update(done(item), facts[0] ?? "");
      pace.hidden = !item.throttle_reason;
      set(pace, t("jobs.pace", { reason: item.throttle_reason }));
      const found = Object.entries(item.counts ?? {});
      counts.hidden = !found.length;
      keyed(counts, found, ([one]) => one, ([one]) => {
        const value = element("dd");
        const pair = element("div", {}, element("dt", { text: one }), value);
        return { root: pair, update: ([, count]) => set(value, number(count)) };
      });
      set(owner, item.owner ? t("jobs.owner", { owner: item.owner }) : "");
      for (const [one, button] of buttons) button.hidden = !fits(one, item);
    },
  };
}

export function makeJobs(acts) {
  const show = listed("jobs", (one) => `${one.kind} ${one.id}`, (one) => job(acts, one));
  const more = $("jobs-more");
  const button = (name) => actButton(acts, t(`act.short.${name}`), name, () => ({}));
  const start = button("drain-start");
  const shadow = Object.fromEntries(["shadow-pause", "shadow-resume", "shadow-kill"].map((name) => [name, button(name)]));
  const why = element("p", { class: "quiet", id: "drain-why" });
  const shadowWhy = element("p", { class: "quiet", id: "shadow-why" });
  more.append(start, ...Object.values(shadow), why, shadowWhy);
  return {
    jobs: ({ sections: { jobs } }) => show(jobs),
    /** What else can be done, and why not. */
    more({ sections: { cutover, jobs, sources } }) {
      const reason = unknown(sources, "jobs") || unknown(sources, "cutover") || noDrain(cutover, jobs);
      start.disabled = Boolean(reason);
      attribute(start, "aria-describedby", reason ? "drain-why" : null);
      why.hidden = !reason;
      set(why, reason);
      const can = shadowActs(sources);
      // One whose worker is gone is known all the same: the source says how it stands.
      const away = isStanding(sources) ? "" : unknown(sources, "shadow");
      shadowWhy.hidden = !away;
      set(shadowWhy, away);
      for (const [name, act] of Object.entries(shadow)) {
        act.hidden = !can.includes(name);
        act.disabled = Boolean(away);
        attribute(act, "aria-describedby", away ? "shadow-why" : null);
      }
    },
  };
}

/** Why no drain can be begun now; empty: it can, as far as the page knows. */
function noDrain(cutover, jobs) {
  const drain = (jobs ?? []).find((one) => one.kind === "drain");
  if (drain && (isRunning(drain) || ["stopped", "interrupted"].includes(drain.status))) return t("drain.under-way");
  return cutover?.length && !cutover.some(isMoved) ? t("drain.nobody-moved") : "";
}

const shadowOf = (sources) => (sources ?? []).find((one) => one.name === "shadow");
const STANDS = /\bis (running|paused|stopping)\b/;
const isStanding = (sources) => STANDS.test(shadowOf(sources)?.why ?? "");

/** What can be done with the shadow: nothing while none is on. */
function shadowActs(sources) {
  const shadow = shadowOf(sources);
  if (!shadow || shadow.state === "absent") return [];
  // Why it is away may hide how it stands: then both are shown.
  const stands = STANDS.exec(shadow.why ?? "")?.[1];
  const offered = { running: ["shadow-pause"], paused: ["shadow-resume"], stopping: [] }[stands] ?? ["shadow-pause", "shadow-resume"];
  return [...offered, "shadow-kill"];
}

/** A part of what comes next: only what a terminal takes can be copied. */
function piece(text, isCommand, title) {
  const root = isCommand ? copyable(text, title) : element("span", { class: "quiet", text });
  return { root, update() {} };
}

function item() {
  const status = chip();
  const title = element("b");
  const stale = chip();
  stale.show(t("phases.stale"), "warn");
  const evidence = element("span", { class: "quiet" });
  const next = element("div", { class: "next" });
  const what = element("p", { class: "row" }, title, stale.root);
  const root = element("li", {}, status.root, element("div", {}, what, evidence, next));
  return {
    root,
    update(one) {
      status.show(named(`status.${one.status}`, one.status), ITEM_TONES[one.status] ?? "unknown");
      set(title, one.title);
      stale.root.hidden = !one.stale;
      const seen = seconds(one.taken_at) > 0 ? t("phases.taken", { ago: ago(one.taken_at) }) : "";
      set(evidence, [one.evidence, seen].filter(Boolean).join(" · "));
      next.hidden = !one.next_command || isSettled(one);
      const parts = next.hidden ? [] : pieces(one.next_command);
      keyed(next, parts, ([text, isCommand]) => `${isCommand} ${text}`, ([text, isCommand]) => piece(text, isCommand, one.title));
    },
  };
}

function phase() {
  const name = element("span", { class: "name" });
  const count = element("span", { class: "quiet" });
  const closed = chip();
  closed.show(t("phases.closed"), "good");
  const items = element("ul", { class: "items" });
  const root = element("details", {}, element("summary", {}, name, " ", count, " ", closed.root), items);
  return {
    root,
    update(one) {
      set(name, one.title ?? t("phases.phase", { phase: one.phase }));
      set(count, t("phases.count", { done: one.items.filter(isSettled).length, all: one.items.length }));
      closed.root.hidden = !one.closed;
      keyed(items, one.items, ({ id }) => id, item);
    },
  };
}

export function makePhases() {
  const show = listed("phases", (one) => String(one.phase), phase);
  let isFirst = true;
  return ({ sections: { phases } }) => {
    show(phases);
    // The one that is under way is open to begin with; afterwards it is the reader's.
    if (isFirst && phases?.length) {
      isFirst = false;
      const now = phases.findIndex((one) => !one.closed);
      if (now >= 0) $("phases").children[now].open = true;
    }
  };
}
