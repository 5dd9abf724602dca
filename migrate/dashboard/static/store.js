// What the page knows: the server's sections, bounded, and which of them changed since they were last drawn.
// until phase 3

/** How many of the newest items are kept. */
const RINGS = { mismatches: 500, journal: 200 };

export class Store {
  constructor() {
    this.sections = {};
    this.mismatches = new Map(); // by id, oldest first
    this.journal = new Map(); // by id, oldest first
    this.project = "";
    this.version = "";
    this.readOnly = true;
    this.actions = {}; // by name, {takes, asks}: what an operator may do, and what it needs
    this.options = ""; // of a command in a terminal, to be about the same stack
    this.received = 0;
    this.lastAt = NaN; // epoch seconds
    this.dirty = new Set();
  }

  /** Takes {type, data}. Raises SyntaxError for what is no JSON. */
  apply({ type, data }) {
    const value = JSON.parse(data);
    this.received += 1;
    this.lastAt = Date.now() / 1000;
    this.dirty.add("footer");
    if (type === "snapshot") this.snapshot(value);
    else if (type === "update") this.section(value.section, value.value);
    else if (type === "append") this.append(value.section, value.items ?? []);
  }

  snapshot({ sections, read_only: readOnly, project, version, actions, options }) {
    this.readOnly = readOnly !== false;
    this.project = project ?? "";
    this.version = version ?? "";
    this.actions = actions ?? {};
    this.options = options ?? "";
    this.dirty.add("page");
    for (const [name, value] of Object.entries(sections ?? {})) this.section(name, value);
  }

  section(name, value) {
    if (name in RINGS) {
      this[name].clear();
      this.append(name, value ?? []);
    } else this.sections[name] = value;
    this.dirty.add(name);
  }

  append(name, items) {
    if (!(name in RINGS)) return;
    const ring = this[name];
    for (const item of items) {
      // One that is known keeps its place: an action that has ended is still where it began.
      ring.set(String(item.id ?? `${item.at} ${item.action} ${item.digest}`), item);
      if (ring.size > RINGS[name]) ring.delete(ring.keys().next().value);
    }
    this.dirty.add(name);
  }
}
