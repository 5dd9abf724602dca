// Elements that are changed rather than made again: focus, selection and a reader's place stay where they are.
// Text from outside is only ever text. until phase 3

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** An element: `text` is its text, the rest are attributes (false and undefined are left out). */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function shape(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const WORDS = /\S{16,}/;

/** The text of a leaf, written only when it is another one. A long path may be broken after each slash. */
export function set(node, text) {
  if (node.textContent === text) return;
  const parts = WORDS.test(text) ? String(text).split(/(?<=[/=])/) : [text];
  node.replaceChildren(...parts.flatMap((part, at) => (at ? [element("wbr"), part] : [part])));
}

/** An attribute, written only when it is another one; null takes it away. */
export function attribute(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

const views = new WeakMap();

/**
 * The children of `container` become one view each of `items`, in their order.
 * keyOf(item): what makes it the same one as before. make(item): {root, update(item)}.
 */
export function keyed(container, items, keyOf, make) {
  const before = views.get(container) ?? new Map();
  const wanted = new Map();
  for (const item of items) {
    let key = keyOf(item);
    while (wanted.has(key)) key = `${key}\u0000`; // twice the same: both are shown
    wanted.set(key, item);
  }
  // What goes, goes first: what stays is then in its place, and need not be moved, which would take its focus.
  for (const [key, { root }] of before) if (!wanted.has(key)) root.remove();
  const after = new Map();
  let place = container.firstElementChild;
  for (const [key, item] of wanted) {
    const view = before.get(key) ?? make(item);
    after.set(key, view);
    view.update(item);
    if (view.root === place) place = place.nextElementSibling;
    else container.insertBefore(view.root, place);
  }
  views.set(container, after);
}

/** The list of `id`, keyed as above; the note `id`-empty is there while the list has nothing. Returns show(items). */
export function listed(id, keyOf, make) {
  const holder = $(id);
  const empty = $(`${id}-empty`);
  return (items) => {
    empty.hidden = Boolean(items?.length);
    keyed(holder, items ?? [], keyOf, make);
  };
}

/** One list item for each text; by place, so that a sentence whose numbers change stays the same line. */
export function lines(container, texts) {
  container.hidden = !texts.length;
  keyed(container, [...texts.entries()], ([at]) => String(at), () => {
    const root = element("li");
    return { root, update: ([, text]) => set(root, text) };
  });
}

/**
 * A table; with asCards, phones show its rows as cards. Roles are said, since `display` takes them away there.
 * columns: [{label, header?, kind?, text(item)?, tone?(item), make?(): {root, update(item)}}]
 */
export class Table {
  constructor(caption, columns, { asCards = false } = {}) {
    this.columns = columns;
    this.body = element("tbody", { role: "rowgroup" });
    const head = columns.map(({ label, kind }) =>
      element("th", { role: "columnheader", scope: "col", class: kind ?? "", text: label }),
    );
    this.caption = element("caption", { class: "hidden", text: caption });
    this.root = element(
      "table",
      { role: "table", class: asCards && "as-cards" },
      this.caption,
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
      this.body,
    );
  }

  render(items, keyOf) {
    keyed(this.body, items, keyOf, () => this.row());
  }

  row() {
    const cells = this.columns.map((column) => {
      const cell = column.header
        ? element("th", { role: "rowheader", scope: "row" })
        : element("td", { role: "cell", class: column.kind ?? "", "data-label": column.label });
      const view = column.make?.();
      if (view) cell.append(view.root);
      return { cell, column, view };
    });
    const root = element("tr", { role: "row" }, ...cells.map(({ cell }) => cell));
    return {
      root,
      update(item) {
        for (const { cell, column, view } of cells) {
          if (view) view.update(item);
          else set(cell, column.text(item));
          if (column.tone) attribute(cell, "data-tone", column.tone(item));
        }
      },
    };
  }
}

/** A word with a sign of its own: state is never said by colour alone. */
export function chip() {
  const root = element("span", { class: "chip" });
  return {
    root,
    show(text, tone) {
      set(root, text);
      attribute(root, "data-tone", tone);
    },
  };
}
