// From where to where users go, in sentences. Pure, but for words. until phase 3

import { number, percent } from "./format.js";
import { t } from "./strings.js";

const EVERY = "*";

/** The flags that `migrate cutover status` names, as {tenant: percent}; else what the page knows. */
function flagsOf(feature, answer, shown) {
  const found = answer?.features?.find?.((one) => one.feature === feature);
  if (found) return Object.fromEntries((found.flags ?? []).map((flag) => [flag.tenant, flag.percent]));
  return { ...shown.tenants, [EVERY]: shown.percent ?? 0 };
}

/** What is open on SSE and would have to come back; a row of all features cannot be told apart. */
function openWords(feature, connections) {
  const rows = (connections?.rows ?? []).filter((row) => row.stack !== "legacy");
  const mine = rows.filter((row) => row.feature === feature);
  const used = mine.length ? mine : rows;
  if (!used.length) return t("back.open.unknown");
  const counts = used
    .filter((row) => Number.isFinite(row.open))
    .map((row) => t("who.count", { count: number(row.open), stack: t(`stack.${row.stack}`) }))
    .join(", ");
  return t(mine.length ? "back.open" : "back.open.all", { feature, counts });
}

/**
 * What `migrate rollback FEATURE` would do, a sentence each.
 * answer: of `migrate cutover status`. shown: {percent, tenants, running} as the page has them. connections: a section.
 */
export function wouldComeBack(feature, answer, shown, connections) {
  const { [EVERY]: whole = 0, ...tenants } = flagsOf(feature, answer, shown);
  const own = Object.entries(tenants).filter(([, one]) => one > 0);
  const names = own.map(([tenant, one]) => t("cutover.tenant", { tenant, percent: percent(one) })).join(", ");
  const running = answer?.features?.find?.((one) => one.feature === feature)?.running || shown.running;
  const nobody = !(whole > 0) && !own.length;
  return [
    t(nobody ? "back.nobody" : "back.whole", { feature, from: percent(whole) }),
    ...(own.length ? [t(own.length === 1 ? "back.tenant" : "back.tenants", { count: number(own.length), names })] : []),
    ...(running ? [t("back.running", { who: running })] : []),
    // Of somebody who is not moved nothing comes back: what is open is the shadow's, or of who tries SSE out.
    ...(nobody ? [] : [openWords(feature, connections)]),
  ];
}

/** What a command did, by its answer: of a roll back, or of a step (from: where it stood). Empty: it does not say. */
export function hasMoved(feature, answer, from) {
  const isBack = answer?.from_percent && Array.isArray(answer.flags);
  const isStep = Number.isFinite(from) && Number.isFinite(answer?.percent);
  const flags = isBack ? answer.flags : isStep ? [answer] : [];
  return flags.map(({ tenant, percent: to }) => {
    const before = answer.from_percent ? (answer.from_percent[tenant] ?? answer.from_percent[EVERY] ?? 0) : from;
    const who = !tenant || tenant === EVERY ? feature : t("moved.tenant", { feature, tenant });
    return t("moved", { who, from: percent(before), to: percent(to) });
  });
}
