// The latest differences as a list of which only the rows in sight exist.
// until phase 3

import { blameOf, joined, kindOf, makeDifference, toWhom } from "./difference.js";
import { $, attribute, chip, element, keyed, set } from "./elements.js";
import { clock, number } from "./format.js";
import { named, t } from "./strings.js";

// As in dashboard.css: .option has this height.
const ROW = 56;
const BEYOND = 4;
const KINDS = ["missing", "extra", "duplicate", "changed", "reordered"];

const stackOf = (item) => named(`stack.${item.stack}`, item.stack ?? "–");

function option() {
  const kind = chip();
  const feature = element("b");
  const to = element("span", { class: "quiet" });
  const time = element("span", { class: "quiet time" });
  const blame = element("span", { class: "quiet" });
  const what = element("span", { class: "what" }, feature, to);
  const when = element("span", { class: "when" }, time, blame);
  const root = element("div", { class: "option", role: "option" }, kind.root, what, when);
  return {
    root,
    update({ item, at, count, isActive, isChosen }) {
      root.id = `difference-${at}`;
      root.dataset.id = item.id;
      root.style.transform = `translateY(${at * ROW}px)`;
      kind.show(kindOf(item), item.kind === "missing" ? "bad" : "warn");
      set(feature, item.feature);
      set(to, joined(toWhom(item), item.stack && t("mismatches.on", { stack: stackOf(item) })));
      set(time, clock(item.at));
      set(blame, blameOf(item));
      attribute(root, "aria-posinset", at + 1);
      attribute(root, "aria-setsize", count);
      attribute(root, "aria-selected", isChosen);
      attribute(root, "data-active", isActive ? "" : null);
      const { feature: name, recipient, blame: whose } = item;
      const words = { kind: kindOf(item), feature: name, recipient, stack: stackOf(item), time: clock(item.at), blame: whose };
      attribute(root, "aria-label", t("mismatches.option", words));
    },
  };
}

function select(id, render) {
  const made = $(id);
  made.addEventListener("change", render);
  return {
    get value() {
      return made.value;
    },
    /** The choices, "all" first; what is chosen stays, though nothing of it is there any more. */
    offer(pairs) {
      const all = [["", t("mismatches.all")], ...pairs];
      if (made.value && !pairs.some(([value]) => value === made.value)) all.push([made.value, made.value]);
      keyed(made, all, ([value]) => value, ([value]) => {
        const root = element("option", { value });
        return { root, update: ([, words]) => set(root, words) };
      });
    },
  };
}

/** Why there is no difference: only who has looked can have found none. */
function none(comparison) {
  const features = comparison?.features ?? [];
  if (!features.length) return t("mismatches.uncompared");
  const isStored = features.every((one) => one.source === "stored");
  return t(isStored ? "mismatches.stored" : "mismatches.empty");
}

export function makeMismatches(store) {
  const list = $("mismatches");
  const empty = $("mismatches-empty");
  const count = $("mismatches-count");
  const fresh = $("mismatches-new");
  const inner = element("div", { class: "inner", role: "presentation" });
  list.append(inner);
  let shown = [];
  let active = ""; // ids: places change as new ones come
  let above = 0; // how many came above a reader who has scrolled down
  const detail = makeDifference(() => {
    list.focus();
    draw();
  });

  function refresh() {
    const all = [...store.mismatches.values()].reverse();
    kind.offer(KINDS.map((name) => [name, named(`kind.${name}`, name)]));
    feature.offer([...new Set(all.map((item) => item.feature))].sort().map((name) => [name, name]));
    const before = shown;
    shown = all.filter((item) => (!kind.value || item.kind === kind.value) && (!feature.value || item.feature === feature.value));
    keepPlace(before);
    empty.hidden = shown.length > 0;
    list.hidden = !shown.length;
    set(empty, all.length ? t("mismatches.filtered", { count: number(all.length) }) : none(store.sections.comparison));
    set(count, t("mismatches.count", { shown: number(shown.length), count: number(all.length) }));
    inner.style.height = `${shown.length * ROW}px`;
    draw();
  }

  /** Somebody who has scrolled down to read keeps his place while others come in above. */
  function keepPlace(before) {
    const top = list.scrollTop;
    const first = before[Math.floor(top / ROW)];
    if (top < ROW || !first) {
      above = 0;
      return;
    }
    const now = shown.indexOf(first);
    const moved = now - before.indexOf(first);
    if (now < 0 || moved <= 0) return;
    above += moved;
    inner.style.height = `${shown.length * ROW}px`;
    list.scrollTop = top + moved * ROW;
  }

  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - BEYOND);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + BEYOND);
    const rows = shown.slice(first, last).map((item, nth) => ({
      item,
      at: first + nth,
      count: shown.length,
      isActive: item.id === active,
      isChosen: item.id === detail.id,
    }));
    // As many views as rows in sight: one that leaves at an end comes in again at the other.
    keyed(inner, rows, ({ at }) => String(at % (last - first + 1)), option);
    const place = rows.find((row) => row.isActive);
    attribute(list, "aria-activedescendant", place ? `difference-${place.at}` : null);
    if (list.scrollTop < ROW) above = 0;
    fresh.hidden = !above;
    set(fresh, t("mismatches.new", { count: number(above) }));
  }

  function go(at) {
    if (!shown.length) return;
    const to = Math.max(0, Math.min(shown.length - 1, at));
    active = shown[to].id;
    if (to * ROW < list.scrollTop) list.scrollTop = to * ROW;
    if ((to + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (to + 1) * ROW - list.clientHeight;
    draw();
  }

  function choose(item) {
    if (!item) return;
    active = item.id;
    detail.show(item);
    draw();
  }

  const kind = select("mismatches-kind", refresh);
  const feature = select("mismatches-feature", refresh);
  list.addEventListener("scroll", draw, { passive: true });
  list.addEventListener("click", (event) => {
    const id = event.target.closest(".option")?.dataset.id;
    choose(shown.find((item) => String(item.id) === id));
  });
  list.addEventListener("focus", () => {
    if (!shown.some((item) => item.id === active)) go(Math.round(list.scrollTop / ROW));
  });
  list.addEventListener("keydown", (event) => {
    const at = shown.findIndex((item) => item.id === active);
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: shown.length - 1 };
    if (event.key in steps) go(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") choose(shown[at]);
    else if (event.key === "Escape" && detail.id !== null) detail.hide();
    else return;
    event.preventDefault();
  });
  fresh.addEventListener("click", () => {
    list.scrollTop = 0;
    list.focus();
    draw();
  });
  new ResizeObserver(draw).observe(list);
  return refresh;
}
