// The four answers at the top, from the sections. Pure, but for words: {tone, headline, details: [...]}.
// until phase 3

import { unknown } from "./away.js";
import { ago, number, percent, rate, share, span } from "./format.js";
import { named, t } from "./strings.js";

const ENDED = new Set(["done", "drained", "failed", "interrupted", "planned", "stopped", "undone"]);
// So many features fit into a headline; the others stand below it.
const HEADLINES = 2;
export const STACKS = ["legacy", "sse", "virtual"];

const sum = (values) => values.reduce((all, one) => all + (Number.isFinite(one) ? one : 0), 0);

const sentence = ({ feature, reasons }) =>
  reasons?.length ? t("loss.why", { feature, reasons: reasons.join("; ") }) : t("loss.in", { feature });

/** An answer that is not known just now: since when, and what was known last (its headline). */
const lost = (words, last) => ({
  tone: "unknown",
  headline: t("away.unknown"),
  details: [words, ...(last ? [t("away.last", { last })] : [])],
});

/** Is anything lost? The worst verdict of any feature decides. */
export function loss(comparison, sources) {
  const words = unknown(sources, "comparison");
  return words ? lost(words, comparison?.features?.length && judged(comparison).headline) : judged(comparison);
}

function judged(comparison) {
  const features = comparison?.features ?? [];
  if (!features.length) return { tone: "unknown", headline: t("loss.unknown"), details: [t("loss.unknown.detail")] };
  const of = (verdict) => features.filter((one) => one.verdict === verdict);
  const failed = of("fail");
  // `at` is when it was looked at; a verdict that was stored may be of last week.
  const until = Math.max(...features.map((one) => one.window?.[1] ?? comparison.at));
  const legacy = sum(features.map((one) => one.missing_legacy));
  const when = t("loss.at", { ago: ago(until) }) + (legacy ? ` · ${t("loss.legacy", { count: number(legacy) })}` : "");
  if (failed.length) {
    const gone = sum(failed.map((one) => one.missing));
    const other = sum(failed.map((one) => sum([one.extra, one.duplicate, one.changed, one.reordered])));
    const headline = gone
      ? t("loss.lost", { count: number(gone) })
      : other
        ? t("loss.differs", { count: number(other) })
        : t("loss.fail");
    return { tone: "bad", headline, details: [...failed.map(sentence), when] };
  }
  const unsure = features.filter((one) => one.verdict !== "pass");
  if (unsure.length) return { tone: "warn", headline: t("loss.inconclusive"), details: [...unsure.map(sentence), when] };
  const isCounted = features.every((one) => Number.isFinite(one.matched));
  const detail = t(isCounted ? "loss.pass.detail" : "loss.pass.stored", {
    matched: number(sum(features.map((one) => one.matched))),
    expected: number(sum(features.map((one) => one.expected))),
    upper: share(Math.max(...features.map((one) => one.loss_upper ?? 1))),
  });
  return { tone: "good", headline: t("loss.pass"), details: [detail, when] };
}

/** Open connections by stack: {legacy, sse, virtual}. */
export function byStack(connections) {
  const rows = connections?.rows ?? [];
  const open = (stack) => sum(rows.filter((one) => one.stack === stack).map((one) => one.open));
  return Object.fromEntries(STACKS.map((stack) => [stack, open(stack)]));
}

/** Whether anybody is moved by a flag: of the whole feature, or of a tenant of its own. */
export const isMoved = ({ percent: whole, tenants }) => whole > 0 || Object.values(tenants ?? {}).some((one) => one > 0);

/** Whether a feature's gates let more users over: open, shut, or unsure (nothing says so, nothing says no). */
export function gateOf({ gate }) {
  if (gate?.open) return "open";
  const states = (gate?.gates ?? []).map((one) => one.state);
  return states.includes("shut") ? "shut" : "unsure";
}

export const GATE_TONES = { open: "good", unsure: "warn", shut: "bad" };

/** Who is on what? The flags say it: what is open may be the shadow's, or somebody's who tries SSE out. */
export function who(connections, cutover, sources) {
  const words = unknown(sources, "cutover");
  const found = moved(connections, cutover);
  return words ? { ...lost(words, cutover?.length && found.headline), open: found.open } : found;
}

function moved(connections, cutover) {
  const open = byStack(connections);
  const counts = STACKS.filter((stack) => stack !== "virtual" || open.virtual).map((stack) =>
    t("who.count", { count: number(open[stack]), stack: t(`stack.${stack}`) }),
  );
  const now = connections?.rows?.length ? t("who.open", { counts: counts.join(", ") }) : t("who.open.unknown");
  if (!cutover?.length) return { tone: "unknown", headline: t("who.unknown"), details: [t("who.unknown.detail"), now], open };
  const over = cutover.filter(isMoved);
  const rest = cutover.filter((one) => !isMoved(one)).map((one) => t("who.feature", { feature: one.feature, percent: percent(0) }));
  if (!over.length) {
    const back = cutover.filter((one) => one.state === "returned");
    const returned = back.map(({ feature, changed_at: at, by }) => t("who.returned.detail", { feature, ago: ago(at), by }));
    return { tone: "plain", headline: t(back.length ? "who.returned" : "who.nobody"), details: [...returned, now], open };
  }
  const figure = ({ feature, percent: whole, tenants }) => {
    if (whole > 0) return t("who.feature", { feature, percent: percent(whole) });
    const count = Object.values(tenants).filter((part) => part > 0).length;
    return t(count === 1 ? "who.tenants.one" : "who.tenants.other", { feature, count });
  };
  const shown = over.slice(0, HEADLINES).map(figure).join(" · ");
  const others = [...over.slice(HEADLINES).map(figure), ...rest].join(" · ");
  return { tone: "plain", headline: shown, details: [...(others ? [others] : []), now], open };
}

export const isRunning = (job) => !ENDED.has(String(job.status).toLowerCase());
export const jobName = (job) => named(`job.${job.kind}`, job.kind);

/** Seconds that are left at the present rate; NaN when nobody can say: a sweep is done by segments, and counts rows. */
export function remaining({ kind, done, total, per_s: perS }) {
  return kind !== "sweep" && total > done && perS > 0 ? (total - done) / perS : NaN;
}

export const speed = (job) => t(job.kind === "sweep" ? "jobs.rows" : "jobs.rate", { rate: rate(job.per_s) });

export function done(job) {
  return job.total > 0 ? Math.min(100, (job.done / job.total) * 100) : NaN;
}

/** What is running, and why is it slow? */
export function running(jobs, sources) {
  const words = unknown(sources, "jobs");
  const found = atWork(jobs);
  if (!words) return found;
  if (!(jobs ?? []).some(isRunning)) return { ...lost(words), progress: NaN };
  return { ...found, details: [...found.details, words] };
}

function atWork(jobs) {
  const active = (jobs ?? []).filter(isRunning);
  const cut = (jobs ?? []).filter((job) => job.status === "interrupted");
  const interrupted = cut.map((job) => t("running.interrupted", { kind: jobName(job) }));
  if (!active.length && cut.length)
    return { tone: "warn", headline: t("running.nothing"), details: interrupted, progress: done(cut[0]) };
  if (!active.length) {
    const last = jobs?.at(-1);
    const detail = last
      ? t("running.nothing.last", { kind: jobName(last), status: last.status })
      : t("running.nothing.never");
    return { tone: "plain", headline: t("running.nothing"), details: [detail], progress: NaN };
  }
  const one = (job) =>
    Number.isFinite(done(job))
      ? t("running.one", { kind: jobName(job), percent: percent(Math.floor(done(job) * 10) / 10) })
      : t("running.one.unsized", { kind: jobName(job), status: job.status });
  const facts = (job) => {
    const left = remaining(job);
    return [
      ...(active.length > 1 ? [one(job)] : []),
      ...(Number.isFinite(job.per_s) ? [speed(job)] : []),
      ...(Number.isFinite(left) ? [t("running.left", { time: span(left) })] : []),
    ].join(", ");
  };
  const paces = active.filter((job) => job.throttle_reason).map((job) => t("jobs.pace", { reason: job.throttle_reason }));
  return {
    tone: cut.length ? "warn" : "plain",
    headline: active.length === 1 ? one(active[0]) : t("running.many", { count: active.length }),
    details: [...active.map(facts).filter(Boolean), ...paces, ...interrupted],
    progress: active.length === 1 ? done(active[0]) : NaN,
  };
}

export const isSettled = (item) => item.status === "done" || item.status === "waived";

/** What comes next? The first phase that is not closed. */
export function next(phases, sources) {
  const words = unknown(sources, "phases");
  return words ? lost(words, phases?.length && ahead(phases).headline) : ahead(phases);
}

function ahead(phases) {
  if (!phases?.length) return { tone: "unknown", headline: t("next.unknown"), details: [t("next.unknown.detail")] };
  const now = phases.find((one) => !one.closed);
  if (!now) return { tone: "good", headline: t("next.closed"), details: [] };
  const items = now.items ?? [];
  const headline = t("next.phase", { phase: now.phase, done: items.filter(isSettled).length, all: items.length });
  const failing = items.filter((one) => one.status === "failing");
  const first = items.find((one) => one.status === "open");
  const details = failing.map((one) => t("next.failing", { title: one.title }));
  if (first) details.push(t("next.item", { title: first.title }));
  if (!details.length) details.push(t("next.ready", { phase: now.phase }));
  return { tone: failing.length ? "warn" : "plain", headline, details, command: (failing[0] ?? first)?.next_command ?? "" };
}
