// What is spoken by a screen reader: sparingly, so that what matters is heard. until phase 3

import { $, set } from "./elements.js";

const EVERY_MS = 4000;
let waiting = [];
let spokenAt = 0;
let timer = 0;

/** Says `words`, with what else is waiting, at most every four seconds. */
export function announce(words) {
  if (!waiting.includes(words)) waiting.push(words);
  // A burst of changes is cut: the page itself shows them all.
  waiting = waiting.slice(-5);
  if (!timer) timer = setTimeout(speak, Math.max(100, spokenAt + EVERY_MS - Date.now()));
}

function speak() {
  set($("announce"), waiting.join(". "));
  waiting = [];
  spokenAt = Date.now();
  timer = 0;
}

/** Calls say(name, now) for each name whose value is another one than it was; the first values are silent. */
export class Changes {
  constructor(say) {
    this.say = say;
    this.known = new Map();
  }

  see(pairs) {
    for (const [name, value] of pairs) {
      const before = this.known.get(name);
      this.known.set(name, value);
      if (before !== undefined && before !== value) this.say(name, value);
    }
  }
}
