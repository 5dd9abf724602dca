// Two JSON values, field by field. Pure. until phase 3

const isTree = (value) => value !== null && typeof value === "object";

// A value without end, or a field that is a document of its own, stays readable.
const MOST_FIELDS = 400;

/** Leaves of a value by their path ("a.b.0", as the comparison names them), in its own order; {} and [] are leaves. */
export function leaves(value, path = "", found = new Map()) {
  const parts = isTree(value) ? Object.entries(value) : [];
  if (!parts.length) {
    if (found.size < MOST_FIELDS) found.set(path, value);
    return found;
  }
  for (const [name, part] of parts) {
    leaves(part, path ? `${path}.${name}` : name, found);
  }
  return found;
}

/**
 * [{path, legacy, sse, state}]: legacy and sse are JSON, or undefined where there is no such field; state is same, differs
 * or ignored.
 * judged: the paths that differ under the rules; what differs besides is ignored by one of them. Undefined: all counts.
 */
export function compare(legacy, sse, judged) {
  const counts = (path) => !judged || judged.some((one) => path === one || path.startsWith(`${one}.`));
  const [left, right] = [legacy, sse].map((value) => (value === null || value === undefined ? new Map() : leaves(value)));
  return [...new Set([...left.keys(), ...right.keys()])].map((path) => {
    const [a, b] = [left, right].map((side) => (side.has(path) ? JSON.stringify(side.get(path)) : undefined));
    return { path, legacy: a, sse: b, state: a === b ? "same" : counts(path) ? "differs" : "ignored" };
  });
}
