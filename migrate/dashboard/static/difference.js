// Both payloads of a difference side by side, and its words. until phase 3

import { compare } from "./diff.js";
import { $, Table, element, set } from "./elements.js";
import { clock, number } from "./format.js";
import { named, t } from "./strings.js";

const LONGEST = 2000;

export const kindOf = (item) => named(`kind.${item.kind}`, item.kind);
export const toWhom = ({ recipient }) => t("mismatches.to", { recipient });
export const blameOf = ({ blame }) => t("mismatches.blame", { blame });
export const joined = (...words) => words.filter(Boolean).join(" · ");

function shownValue(text) {
  if (text === undefined) return t("mismatches.absent");
  return text.length > LONGEST ? text.slice(0, LONGEST) + t("mismatches.cut", { count: number(text.length) }) : text;
}

/** Both payloads, side by side; onHide: gives the focus back. */
export function makeDifference(onHide) {
  const root = $("difference");
  const title = element("h3", { id: "difference-title", tabindex: "-1" });
  const about = element("p", { class: "quiet" });
  const note = element("p", { class: "note" });
  const only = element("input", { type: "checkbox", id: "difference-only" });
  only.checked = matchMedia("(max-width: 719px)").matches;
  const close = element("button", { type: "button", text: t("mismatches.close") });
  const fieldName = () => {
    const path = element("span");
    const spoken = element("span", { class: "hidden" });
    const may = element("span", { class: "quiet may" });
    return {
      root: element("span", {}, path, spoken, may),
      update(row) {
        set(path, row.path || "–");
        set(spoken, row.state === "differs" ? ` (${t("mismatches.differs")})` : "");
        set(may, row.state === "ignored" ? t("mismatches.ignored") : "");
      },
    };
  };
  const tone = (side) => (row) => (row.state === "differs" ? side : row[side] === undefined ? "absent" : row.state);
  const columns = ["legacy", "sse"].map((side) => ({
    label: t(`stack.${side}`),
    kind: "any code",
    text: (row) => shownValue(row[side]),
    tone: tone(side),
  }));
  const field = { label: t("mismatches.field"), header: true, make: fieldName };
  const table = new Table(t("mismatches.what"), [field, ...columns], { asCards: true });
  root.append(
    element("div", { class: "row" }, title, element("span", { class: "spring" }), close),
    about,
    note,
    element("label", { class: "check" }, only, t("mismatches.only")),
    table.root,
  );
  let item = null;

  function draw() {
    const all = compare(item.legacy, item.sse, item.fields && Object.keys(item.fields));
    const lacks = ["legacy", "sse"].find((side) => item[side] === null || item[side] === undefined);
    const differs = all.some((row) => row.state === "differs");
    note.hidden = !lacks && differs;
    set(note, lacks ? t(`mismatches.never.${lacks}`) : t("mismatches.same"));
    only.parentElement.hidden = Boolean(lacks) || !differs;
    const isOnly = only.checked && !only.parentElement.hidden;
    table.root.classList.toggle("one-side", Boolean(lacks));
    // One side alone differs in everything, which says nothing: it is shown plain.
    const rows = lacks ? all.map((row) => ({ ...row, state: "plain" })) : all.filter((row) => row.state === "differs" || !isOnly);
    table.render(rows, (row) => row.path);
  }

  function hide() {
    item = null;
    root.hidden = true;
    onHide();
  }

  only.addEventListener("change", draw);
  close.addEventListener("click", hide);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  return {
    get id() {
      return item?.id ?? null;
    },
    hide,
    show(chosen) {
      item = chosen;
      root.hidden = false;
      set(title, `${chosen.feature}: ${kindOf(chosen)}`);
      set(about, joined(toWhom(chosen), chosen.message, clock(chosen.at), blameOf(chosen), chosen.detail));
      set(table.caption, t("mismatches.caption", { message: chosen.message ?? chosen.id, recipient: chosen.recipient }));
      draw();
      title.focus({ preventScroll: true });
      root.scrollIntoView({ block: "nearest" });
    },
  };
}
