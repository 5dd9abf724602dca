/** What a page knows about its own life; nothing of it in Node.js and in workers. */

/**
 * wake: the network is back, or somebody looks again. leave: the page goes away. back: it came back after that.
 * A page that is merely hidden is none of these: its connection goes on.
 * @param {{wake(): void, leave(): void, back(): void}} on @returns {() => void} to stop listening
 */
export function onPage({ wake, leave, back }) {
  const scope = /** @type {any} */ (globalThis)
  if (typeof scope.addEventListener !== "function") return () => {}
  const seen = () => scope.document?.visibilityState === "visible" && wake()
  /** @type {[any, string, () => void][]} */
  const all = [
    [scope, "online", wake],
    [scope, "pagehide", leave],
    [scope, "pageshow", back],
  ]
  if (scope.document) all.push([scope.document, "visibilitychange", seen])
  for (const [target, type, listener] of all) target.addEventListener(type, listener)
  return () => {
    for (const [target, type, listener] of all) target.removeEventListener(type, listener)
  }
}
