/** What a page knows about its own life; nothing of it in Node.js and in workers. */

/**
 * wake: the network is back, or somebody looks again. leave: the page goes away. back: it came back after that.
 * A page that is merely hidden is none of these: its connection goes on.
 *
 * An application may still send in its own `pagehide` listener, whichever was there first. A page that goes away
 * becomes hidden right after it (HTML standard, 7.5.9 "Unloading documents"), so that is when it leaves.
 * @param {{wake(): void, leave(): void, back(): void}} on @returns {() => void} to stop listening
 */
export function onPage({ wake, leave, back }) {
  const scope = /** @type {any} */ (globalThis)
  if (typeof scope.addEventListener !== "function") return () => {}
  const visible = () => scope.document?.visibilityState === "visible"
  let going = false
  const hide = () => {
    going = true
    if (!visible()) leave()
  }
  const show = () => {
    going = false
    back()
  }
  const changed = () => {
    if (visible()) wake()
    else if (going) leave()
  }
  /** @type {[any, string, () => void][]} */
  const all = [
    [scope, "online", wake],
    [scope, "pagehide", hide],
    [scope, "pageshow", show],
  ]
  if (scope.document) all.push([scope.document, "visibilitychange", changed])
  for (const [target, type, listener] of all) target.addEventListener(type, listener)
  return () => {
    for (const [target, type, listener] of all) target.removeEventListener(type, listener)
  }
}
