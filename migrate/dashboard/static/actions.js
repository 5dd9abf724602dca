// What an operator can do: the dry run first, then again by name. until phase 3

import { ask, documentOf, exitWords } from "./ask.js";
import { copyable } from "./copy.js";
import { $, attribute, chip, element, set } from "./elements.js";
import { number, word } from "./format.js";
import { announce } from "./live.js";
import { hasMoved, wouldComeBack } from "./moves.js";
import { named, t } from "./strings.js";
import { GATE_TONES } from "./summary.js";

/** The word that is typed to confirm: the feature, or what is acted on ("drain" of drain-start). */
const subjectOf = (name, { feature }) => feature ?? name.split("-")[0];

// By kind of what is asked for: the input, with the server's limits, and the argument that it holds, or undefined to leave
// it out.
const KINDS = {
  number: {
    input: ({ least, most }) => ({ type: "number", min: String(least), max: String(most), step: "any" }),
    read: (input) => (input.value ? Number(input.value) : undefined),
  },
  text: {
    input: ({ longest }) => ({ type: "text", maxlength: String(longest), autocomplete: "off" }),
    read: (input) => input.value.trim() || undefined,
  },
  flag: { input: () => ({ type: "checkbox" }), read: (input) => input.checked },
};

/** The gates that an answer names, as chips: what an operator looks for first. */
function gates(found) {
  if (!Array.isArray(found) || !found.length) return [];
  const rows = found.map((gate) => {
    const state = chip();
    state.show(String(gate.state), GATE_TONES[gate.state] ?? "unknown");
    return element("li", {}, state.root, element("span", {}, element("b", { text: String(gate.name) }), ` ${gate.reason ?? ""}`));
  });
  return [element("h3", { text: t("act.gates") }), element("ul", { class: "gates" }, ...rows)];
}

/** How many users a step would move, in a sentence each. */
function steps(found) {
  if (!Array.isArray(found) || !found.length) return [];
  const words = found.map((step) => {
    const [connected, sse, websocket] = [step.connected_users, step.to_sse, step.to_websocket].map(number);
    return step.problem || t("act.step", { percent: step.percent, connected, sse, websocket });
  });
  return [element("h3", { text: t("act.steps") }), bullets(words)];
}

const bullets = (words, kind) => element("ul", { class: kind }, ...words.map((text) => element("li", { text })));
const sentences = (words) => (words.length ? [bullets(words, "sentences")] : []);

export class Actions {
  /** store: what the page knows. operator: whose token is sent. */
  constructor(store, operator) {
    this.store = store;
    this.operator = operator;
    this.dialog = $("act");
    this.run = 0; // which dry run is shown: an answer that comes late belongs to none
    this.listen();
  }

  listen() {
    this.dialog.querySelector("[data-close]").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      this.run += 1;
    });
    $("act-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.tryOut();
    });
    $("act-form").addEventListener("input", () => this.forget());
    $("act-word").addEventListener("input", () => {
      $("act-do").disabled = $("act-word").value.trim() !== this.subject;
    });
    $("act-confirm").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!$("act-do").disabled) this.execute();
    });
  }

  /** name: of an action. values: what the form begins with, `feature` besides. */
  open(name, values) {
    if (!this.operator.token) return this.operator.signIn(() => this.open(name, values));
    const { takes, asks } = this.store.actions[name] ?? { takes: [], asks: [] };
    this.name = name;
    // The others it knows by where its button stands.
    this.given = takes.filter((one) => !asks.some((asked) => asked.name === one));
    this.values = values;
    this.subject = subjectOf(name, values);
    this.fields = asks.map((asked) => [asked, this.field(asked, values[asked.name])]);
    set($("act-title"), t(`act.${name}`, values));
    set($("act-what"), t(`act.${name}.what`));
    $("act-fields").replaceChildren(...this.fields.map(([, input]) => input.parentElement));
    this.forget();
    this.dialog.showModal();
    // Nothing to choose: the dry run changes nothing either, so it need not be asked for.
    if (asks.length) this.fields[0][1].select();
    else this.tryOut();
  }

  field(asked, begin) {
    const { name, kind, required } = asked;
    const isFlag = kind === "flag";
    const input = element("input", { id: `act-${name}`, required, ...KINDS[kind].input(asked) });
    if (isFlag) input.checked = Boolean(begin);
    else if (begin !== undefined) input.value = String(begin);
    const label = element("label", { class: isFlag ? "check" : "" });
    label.append(...(isFlag ? [input, t(`act.field.${name}`)] : [t(`act.field.${name}`), input]));
    return input;
  }

  get arguments() {
    const given = this.given.map((name) => [name, this.values[name]]);
    const said = this.fields.map(([{ name, kind }, input]) => [name, KINDS[kind].read(input)]);
    return Object.fromEntries([...given, ...said].filter(([, value]) => value !== undefined));
  }

  /** What was shown holds no more. */
  forget() {
    this.run += 1;
    $("act-result").replaceChildren();
    $("act-confirm").hidden = true;
    set($("act-try"), t("act.dry-run"));
  }

  async tryOut() {
    this.forget();
    const args = this.arguments;
    const said = await this.send(args, false, t("act.asking"));
    if (!said) return;
    set($("act-try"), t("act.dry-run.again"));
    const isFit = said.exit_code === 0;
    const found = documentOf(said.stdout);
    this.from = this.name === "cutover" ? found?.percent : undefined;
    // Gates keep nobody from coming back.
    const isUp = this.name === "cutover" && args.percent > (this.from ?? (args.tenant === undefined ? this.values.percent : -1));
    const closed = isUp ? (found?.gates ?? []).filter((gate) => gate.state !== "open") : [];
    const words = isFit ? t(closed.length ? "act.gated" : "act.would") : t("act.refuses", { why: exitWords(said.exit_code) });
    this.result(said, words, isFit ? (closed.length ? "warn" : "good") : "bad");
    this.dry = args;
    this.past(isUp || !isFit ? (found?.gates ?? []).filter((gate) => gate.state !== "open") : [], args);
    this.offer(isFit ? closed.map((gate) => t("act.gate", gate)).join("; ") : exitWords(said.exit_code));
  }

  /** How to go past gates that are not open: in the terminal, by name and with a reason, and not from here. */
  past(closed, { feature, percent, tenant }) {
    const isPast = this.name === "cutover" && closed.length > 0;
    $("act-past").hidden = !isPast;
    if (!isPast) return $("act-past").replaceChildren();
    const without = [...new Set(closed.map((gate) => gate.name))].map((name) => `--without-gate ${word(name)}`).join(" ");
    const who = `${word(feature)} --percent ${percent}${tenant === undefined ? "" : ` --tenant ${word(tenant)}`}`;
    const options = this.store.options ? ` ${this.store.options}` : "";
    const command = `migrate cutover ${who} ${without} --note "…" --execute${options}`;
    return $("act-past").replaceChildren(
      element("p", { class: "quiet", text: t("act.past") }),
      copyable(command, t(`act.${this.name}`, this.values)),
    );
  }

  /** The button that does it, to be confirmed by name; disabled with the reason when it would be refused. */
  offer(refusal) {
    set($("act-reason"), refusal ? t("act.not-now", { why: refusal }) : "");
    $("act-reason").hidden = !refusal;
    $("act-say").hidden = Boolean(refusal);
    $("act-word").value = "";
    $("act-do").disabled = true;
    set($("act-label"), t("act.confirm", { name: this.subject }));
    const todo = named(`act.${this.name}.do`, t(`act.${this.name}`, this.values));
    set($("act-do"), todo.replace("{feature}", this.dry.feature).replace("{percent}", this.dry.percent));
    attribute($("act-do"), "aria-describedby", refusal ? "act-reason" : null);
    $("act-confirm").hidden = false;
    if (!refusal) $("act-word").focus();
  }

  async execute() {
    $("act-confirm").hidden = true;
    const said = await this.send(this.dry, true, t("act.doing"));
    if (!said) return;
    const isFine = said.exit_code === 0 || said.running;
    const words = said.running ? t("act.running") : isFine ? t("act.done") : t("act.failed", { why: exitWords(said.exit_code) });
    this.result(said, words, isFine ? "good" : "bad", true);
    announce(`${t(`act.${this.name}`, this.values)}: ${words}`);
    this.dialog.querySelector("[data-close]").focus();
  }

  /** The answer, or undefined when there was none that belongs to what is shown. */
  async send(args, execute, waiting) {
    this.run += 1;
    const { run } = this;
    $("act-result").replaceChildren(element("p", { class: "quiet", text: waiting }));
    $("act-try").disabled = true;
    try {
      const said = await ask(this.operator.token, this.name, args, execute);
      return run === this.run ? said : undefined;
    } catch (error) {
      if (run === this.run) this.problem(error, execute);
      return undefined;
    } finally {
      $("act-try").disabled = false;
    }
  }

  problem(error, execute) {
    if (error.status === 401) {
      const { name, values } = this;
      this.dialog.close();
      this.operator.refused(() => this.open(name, values));
      return;
    }
    // Without an answer nobody knows whether it was done.
    const words = error.status || !execute ? error.message : t("act.unsure");
    $("act-result").replaceChildren(element("p", { class: "problem", role: "alert", text: words }));
  }

  /** Where users go, or have gone, in words. */
  moves(found, isDone) {
    const { feature } = this.values;
    if (isDone) return sentences(hasMoved(feature, found, this.from));
    if (this.name !== "rollback") return [];
    return sentences(wouldComeBack(feature, found, this.values, this.store.sections.connections));
  }

  result({ command, stdout, stderr }, words, tone, isDone = false) {
    const found = documentOf(stdout);
    const isTold = found !== null && found !== undefined && found !== "";
    const text = typeof found === "string" ? found : JSON.stringify(found, null, 2);
    const told = [...(tone === "bad" ? [] : this.moves(found, isDone)), ...steps(found?.steps), ...gates(found?.gates)];
    const line = Array.isArray(command) ? [element("p", {}, element("code", { text: command.join(" ") }))] : [];
    // What only shows how things stand is no command that somebody would want to repeat.
    const isAside = this.name === "rollback" && !isDone && told.length > 0;
    const whole = element("pre", { text, tabindex: "0" });
    $("act-result").replaceChildren(
      element("p", { class: "outcome", "data-tone": tone, text: words }),
      ...told,
      ...(isAside ? [] : line),
      ...(stderr ? [element("h3", { text: t("act.said") }), element("pre", { text: stderr, tabindex: "0" })] : []),
      ...(isTold ? [element("details", { open: !told.length }, element("summary", { text: t("act.output") }), ...(isAside ? line : []), whole)] : []),
    );
  }
}
