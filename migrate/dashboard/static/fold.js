// On phones a section can be folded away, and some are to begin with: the page is a dozen screens long there. Wider
// screens show everything; what is folded is decided by the style sheet. until phase 3

import { attribute, element, set } from "./elements.js";
import { t } from "./strings.js";

/** Gives each panel its button. shown(): called when one is unfolded, since what was not there had no size. */
export function makeFolds(shown) {
  const panels = [...document.querySelectorAll("main > .panel")].map((panel) => foldable(panel, shown));
  // Who is led to a section wants to see it.
  const open = (hash) => panels.find(({ title }) => `#${title.id}` === hash)?.fold(false);
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", () => open(link.getAttribute("href")));
  open(location.hash);
}

function foldable(panel, shown) {
  const title = panel.querySelector("h2");
  const button = element("button", { type: "button", class: "fold" });
  title.after(button);
  const fold = (isFolded) => {
    panel.classList.toggle("folded", isFolded);
    const words = t(isFolded ? "fold.show" : "fold.hide");
    set(button, words);
    attribute(button, "aria-expanded", !isFolded);
    attribute(button, "aria-label", t("fold.name", { words, title: title.textContent }));
    if (!isFolded) shown();
  };
  button.addEventListener("click", () => fold(!panel.classList.contains("folded")));
  fold("folded" in panel.dataset);
  return { title, fold };
}
