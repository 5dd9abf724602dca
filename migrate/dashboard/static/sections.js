// Connections, comparison, journal and sources: tables. until phase 3

import { $, Table, attribute, chip, set } from "./elements.js";
import { ago, brief, clock, number, seconds, share, told } from "./format.js";
import { stackBar } from "./glance.js";
import { named, t } from "./strings.js";
import { STACKS, byStack } from "./summary.js";

const VERDICTS = { pass: "good", fail: "bad", inconclusive: "warn" };
const OUTCOMES = { done: "good", started: "plain", refused: "warn", failed: "bad", interrupted: "bad" };
const STATES = { ok: "good", away: "bad", absent: "unknown" };
const FIRST_ENTRIES = 12;

/** A column whose cell is one chip. words(item), tone(item). */
function chipped(label, words, tone) {
  const make = () => {
    const made = chip();
    return { root: made.root, update: (item) => made.show(words(item), tone(item)) };
  };
  return { label, make };
}

/** Puts the table where it belongs; its note about emptiness is there as long as it has no row. */
function placed(id, table) {
  const holder = $(id);
  const empty = $(`${id}-empty`);
  holder.append(table.root);
  return (rows, keyOf) => {
    empty.hidden = rows.length > 0;
    holder.hidden = !rows.length;
    table.render(rows, keyOf);
  };
}

export function makeConnections() {
  const bar = stackBar();
  $("connections").append(bar.root);
  const table = new Table(t("connections.caption"), [
    { label: t("connections.feature"), header: true, text: (row) => row.name },
    ...STACKS.map((stack) => ({ label: t(`stack.${stack}`), kind: `number ${stack}`, text: (row) => number(row[stack] ?? 0) })),
  ]);
  const show = placed("connections", table);
  return ({ sections: { connections } }) => {
    const features = new Map();
    for (const { stack, feature, open } of connections?.rows ?? []) {
      const name = !feature || feature === "*" ? t("connections.all") : feature;
      features.set(name, { name, ...features.get(name), [stack]: open });
    }
    const rows = [...features.values()];
    const all = byStack(connections);
    if (rows.length > 1) rows.push({ name: t("connections.sum"), ...all });
    bar.update(all);
    show(rows, (row) => row.name);
  };
}

export function makeComparison() {
  /** isFault: whether more than none is bad. */
  const count = (name, isFault) => ({
    label: t(`comparison.${name}`),
    kind: "number",
    text: (row) => number(row[name]),
    tone: (row) => (!isFault ? null : row[name] > 0 ? "bad" : "nothing"),
  });
  const table = new Table(t("comparison.caption"), [
    { label: t("comparison.feature"), header: true, text: (row) => row.feature },
    chipped(
      t("comparison.verdict"),
      ({ verdict }) => named(`verdict.${verdict}`, verdict),
      ({ verdict }) => VERDICTS[verdict] ?? "unknown",
    ),
    count("expected"),
    count("matched"),
    count("missing", true),
    count("extra", true),
    count("duplicate", true),
    count("changed", true),
    count("reordered", true),
    { label: t("comparison.upper"), kind: "number", text: (row) => share(row.loss_upper) },
    { label: t("comparison.why"), kind: "why", text: (row) => [...(row.reasons ?? []), ...(row.notes ?? [])].join("; ") },
  ], { asCards: true });
  const show = placed("comparison", table);
  const period = $("comparison-window");
  return ({ sections: { comparison } }) => {
    const rows = comparison?.features ?? [];
    const spans = rows.map((row) => row.window ?? []).filter((span) => span.length === 2);
    period.hidden = !spans.length;
    if (spans.length) {
      const from = clock(Math.min(...spans.map((span) => span[0])));
      const to = clock(Math.max(...spans.map((span) => span[1])));
      set(period, t("comparison.window", { from, to }));
    }
    show(rows, (row) => row.feature);
  };
}

export function makeJournal() {
  const table = new Table(t("journal.caption"), [
    { label: t("journal.at"), kind: "time", text: ([, entry]) => clock(entry.at) },
    { label: t("journal.actor"), kind: "any", text: ([, entry]) => brief(entry.actor) },
    { label: t("journal.action"), header: true, text: ([, entry]) => brief(entry.action) },
    { label: t("journal.arguments"), kind: "any code", text: ([, entry]) => told(entry.arguments) || "–" },
    chipped(t("journal.outcome"), ([, entry]) => brief(entry.outcome), ([, entry]) => OUTCOMES[entry.outcome] ?? "unknown"),
    { label: t("journal.digest"), kind: "code digest", text: ([, entry]) => String(entry.digest ?? "").slice(0, 12) || "–" },
  ], { asCards: true });
  const show = placed("journal", table);
  const more = $("journal-more");
  const isWhole = () => more.getAttribute("aria-expanded") === "true";
  const render = ({ journal }) => {
    const newest = [...journal].slice(isWhole() ? 0 : -FIRST_ENTRIES).reverse();
    show(newest, ([key]) => key);
    more.hidden = journal.size <= FIRST_ENTRIES;
    set(more, isWhole() ? t("journal.fewer") : t("journal.all", { count: number(journal.size) }));
  };
  return {
    render,
    listen(store) {
      more.addEventListener("click", () => {
        attribute(more, "aria-expanded", !isWhole());
        render(store);
      });
    },
  };
}

/** One that is away has been asked since, and did not answer. */
function lastAnswer({ state, at, since }) {
  if (!(seconds(at) > 0)) return "–";
  return state === "away" && seconds(since) > 0 ? t("sources.gone", { time: clock(since) }) : ago(at);
}

export function makeSources() {
  const table = new Table(t("sources.caption"), [
    { label: t("sources.name"), header: true, text: (row) => row.name },
    chipped(t("sources.state"), (row) => named(`state.${row.state}`, row.state), (row) => STATES[row.state] ?? "unknown"),
    { label: t("sources.since"), kind: "time", text: lastAnswer },
    { label: t("sources.reason"), kind: "any", text: (row) => row.why || "–" },
  ], { asCards: true });
  const show = placed("sources", table);
  return ({ sections: { sources } }) => show(sources ?? [], (row) => row.name);
}
