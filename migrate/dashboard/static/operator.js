// Who operates: the token is asked for, checked, and kept in this module's memory and nowhere else: not in the document, an
// address or a store of the browser. until phase 3

import { isAccepted } from "./ask.js";
import { $, attribute, set } from "./elements.js";
import { announce } from "./live.js";
import { t } from "./strings.js";

export class Operator {
  #token = "";

  constructor() {
    this.dialog = $("operator");
    this.button = $("operate");
    this.input = $("operator-token");
    this.isReadOnly = true;
    this.next = null;
    this.asked = 0; // which question about the token is open: an answer that comes late belongs to none
    $("read-only").title = t("operate.none.why");
    this.listen();
  }

  /** Empty: nobody has signed in. */
  get token() {
    return this.#token;
  }

  listen() {
    this.button.addEventListener("click", () => {
      if (!this.#token) return this.signIn(null);
      this.#token = "";
      announce(t("operate.signed-out"));
      return this.show();
    });
    this.dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      this.check();
    });
    this.dialog.addEventListener("close", () => {
      this.asked += 1;
      this.input.value = "";
      this.next = null;
    });
    this.dialog.querySelector("[data-close]").addEventListener("click", () => this.dialog.close());
  }

  /** isReadOnly: whether the server takes no actions at all. */
  show(isReadOnly = this.isReadOnly) {
    this.isReadOnly = isReadOnly;
    document.body.dataset.readonly = String(isReadOnly);
    $("read-only").hidden = !isReadOnly;
    this.button.hidden = isReadOnly;
    set(this.button, t(this.#token ? "operate.sign-out" : "operate.sign-in"));
    attribute(this.button, "data-on", this.#token ? "" : null);
  }

  /** Asks for the token; next: what is done with it then. */
  signIn(next, problem = "") {
    set($("operator-problem"), problem);
    this.dialog.showModal();
    this.next = next;
  }

  /** The server takes the token no more: another one is asked for. */
  refused(next) {
    this.#token = "";
    this.show();
    this.signIn(next, t("operate.refused"));
  }

  /** A wrong token is told here and now, not in the middle of an action. */
  async check() {
    const given = this.input.value.trim();
    this.asked += 1;
    const { asked } = this;
    set($("operator-problem"), t("operate.checking"));
    let problem = "";
    try {
      if (!(await isAccepted(given))) problem = t("operate.refused");
    } catch (error) {
      problem = t("operate.unasked", { why: error.message });
    }
    if (asked !== this.asked) return;
    set($("operator-problem"), problem);
    if (problem) this.input.select();
    else this.signedIn(given);
  }

  signedIn(given) {
    this.#token = given;
    const { next } = this;
    this.dialog.close();
    this.show();
    announce(t("operate.signed-in"));
    next?.();
  }
}
