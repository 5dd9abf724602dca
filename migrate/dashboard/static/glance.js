// The four answers at the top, and the strip about sources that are away. until phase 3

import { awayWords, bridgeWords } from "./away.js";
import { $, attribute, element, lines, set } from "./elements.js";
import { number } from "./format.js";
import { t } from "./strings.js";
import * as summary from "./summary.js";

/** A bar in one piece per stack; its numbers are its accessible name. */
export function stackBar() {
  const parts = Object.fromEntries(summary.STACKS.map((stack) => [stack, element("span", { class: stack })]));
  const root = element("div", { class: "stack-bar", role: "img" }, ...Object.values(parts));
  return {
    root,
    update(open) {
      const all = Object.values(open).reduce((sum, one) => sum + one, 0);
      root.hidden = !all;
      for (const [stack, part] of Object.entries(parts)) part.style.flexGrow = String(open[stack]);
      const words = summary.STACKS.map((stack) => `${t(`stack.${stack}`)} ${number(open[stack])}`).join(", ");
      attribute(root, "aria-label", t("who.bar", { parts: words }));
    },
  };
}

export function progressBar(name) {
  const inner = element("span");
  const named = { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": name };
  const root = element("div", { class: "bar", ...named }, inner);
  return {
    root,
    update(value, words) {
      root.hidden = !Number.isFinite(value);
      if (root.hidden) return;
      inner.style.width = `${value}%`;
      attribute(root, "aria-valuenow", Math.round(value));
      attribute(root, "aria-valuetext", words);
    },
  };
}

/** extra: a bar below the headline; last: whether it comes after the details, being less than they. */
function answer(id, extra, last = false) {
  const card = $(id);
  const headline = element("p", { class: "headline" });
  const details = element("ul", { class: "details" });
  const bars = extra ? [extra.root] : [];
  card.append(headline, ...(last ? [details, ...bars] : [...bars, details]));
  return (found) => {
    attribute(card, "data-tone", found.tone);
    set(headline, found.headline);
    lines(details, found.details);
  };
}

export function makeGlance() {
  const bar = stackBar();
  const progress = progressBar(t("running.question"));
  const loss = answer("answer-loss");
  const who = answer("answer-who", bar, true);
  const running = answer("answer-running", progress);
  const next = answer("answer-next");
  const strip = $("sources-away");
  const bridge = $("bridge-down");
  return {
    loss({ sections, project }) {
      const found = summary.loss(sections.comparison, sections.sources);
      loss(found);
      // What a tab says while somebody looks at another one.
      document.title = [found.headline, project, t("title")].filter(Boolean).join(" · ");
    },
    who({ sections }) {
      const found = summary.who(sections.connections, sections.cutover, sections.sources);
      who(found);
      bar.update(found.open);
    },
    running({ sections }) {
      const found = summary.running(sections.jobs, sections.sources);
      running(found);
      progress.update(found.progress, found.headline);
    },
    next({ sections }) {
      next(summary.next(sections.phases, sections.sources));
    },
    sources({ sections }) {
      const words = awayWords(sections.sources, sections.bridge);
      strip.hidden = !words;
      set(strip, words);
    },
    bridge({ sections }) {
      const words = bridgeWords(sections.bridge);
      bridge.hidden = !words;
      set(bridge, words);
    },
  };
}
