// A command with a button that copies it. until phase 3

import { attribute, element, set } from "./elements.js";
import { t } from "./strings.js";

/** title: what the command is for. */
export function copyable(command, title) {
  const code = element("code");
  set(code, command);
  const copy = element("button", { type: "button" });
  const say = (words) => {
    set(copy, words);
    attribute(copy, "aria-label", t("phases.copy.name", { copy: words, title }));
  };
  say(t("phases.copy"));
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      say(t("phases.copied"));
    } catch {
      getSelection()?.selectAllChildren(code);
      say(t("phases.copy.failed"));
    }
    setTimeout(() => say(t("phases.copy")), 2500);
  });
  return element("div", { class: "command" }, code, copy);
}
