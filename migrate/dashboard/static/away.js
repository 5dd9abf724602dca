// Which sources a section is made of, and what is not known while they are away. Pure, but for words. until phase 3

import { clock, seconds } from "./format.js";
import { t } from "./strings.js";

const OF = {
  comparison: ["records", "verdicts"],
  connections: ["legacy-connections", "sse-metrics"],
  cutover: ["cutover"],
  deliveries: ["legacy-messages", "sse-metrics"],
  jobs: ["drain", "sweep", "resources"],
  journal: ["journal"],
  latency: ["records"],
  mismatches: ["records"],
  phases: ["phases"],
  shadow: ["shadow"],
};
// One of them is enough to know the section.
const ANY = new Set(["comparison", "deliveries"]);

export const SECTIONS = Object.keys(OF);

/** Whether one has been asked, and does not answer; the bridge answers, and says for itself that it is down. */
export const isGone = ({ name, state, at }) => state === "away" && seconds(at) > 0 && name !== "bridge";

/** Since when a section is not known, and of whom, in words; empty: it is known. */
export function unknown(sources, section) {
  const used = (sources ?? []).filter(({ name, state }) => OF[section].includes(name) && state !== "absent");
  const gone = used.filter(isGone);
  if (!gone.length || (ANY.has(section) && gone.length < used.length)) return "";
  const since = Math.min(...gone.map((one) => seconds(one.since ?? one.at)));
  return t("away.since", { time: clock(since), names: gone.map(({ name }) => name).join(", ") });
}

/** How many of the sources there are do not answer, when that is most of them: {away, all}; else null. */
export function blind(sources) {
  const asked = (sources ?? []).filter(({ name, state, at }) => name !== "bridge" && state !== "absent" && seconds(at) > 0);
  const gone = asked.filter(isGone);
  return gone.length > 1 && gone.length * 2 >= asked.length ? { away: gone.length, all: asked.length } : null;
}

/** The strip about sources that do not answer, each cause once; empty when all do. */
export function awayWords(sources, bridge) {
  const gone = (sources ?? []).filter(isGone);
  if (!gone.length) return "";
  const causes = new Map();
  for (const { name, why } of gone) causes.set(why, [...(causes.get(why) ?? []), name]);
  const named = [...causes].map(([why, names]) => {
    const name = names.join(", ");
    return why ? t("sources.why", { name, why }) : name;
  });
  const counts = { count: gone.length, all: sources.filter(({ name }) => name !== "bridge").length };
  if (bridge?.state === "down") return t("sources.down", counts);
  return t(gone.length === 1 ? "sources.away.one" : "sources.away.other", { ...counts, names: named.join("; ") });
}

/** What is wrong with the bridge, in a sentence; empty: nothing, or the strip about the stacks says it. */
export function bridgeWords(bridge) {
  const { state, since, problem } = bridge ?? {};
  const time = seconds(since) > 0 ? t("bridge.since", { time: clock(since) }) : "";
  if (["held", "ended", "starting"].includes(state)) return t(`bridge.${state}`, { since: time });
  return state === "running" && problem ? t("bridge.problem", { problem }) : "";
}
