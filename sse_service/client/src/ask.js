/** Asking the service which transport its flags give this user: GET /api/transport?feature=… */

/** @typedef {{transport: "websocket" | "sse", epoch: number, pollAfterMs: number}} Told */

/** @returns {Told | null} null: this is no answer about `feature` */
export function told(/** @type {any} */ body, /** @type {string} */ feature) {
  if (body?.feature !== feature || (body.transport !== "websocket" && body.transport !== "sse")) return null
  const pollAfterMs = Number(body.pollAfterMs)
  return { transport: body.transport, epoch: Number(body.epoch) || 0, pollAfterMs: pollAfterMs > 0 ? pollAfterMs : 30_000 }
}

/**
 * @param {{url: string, feature: string, token?: () => string | Promise<string>, credentials: RequestCredentials,
 *   fetch: typeof globalThis.fetch, timeoutMs: number}} setup
 * @returns {Promise<Told | null>} null: no usable answer. Never rejects.
 */
export async function ask({ url, feature, token, credentials, fetch, timeoutMs }) {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), timeoutMs)
  try {
    const target = new URL(url)
    target.searchParams.set("feature", feature)
    const headers = new Headers({ accept: "application/json" })
    if (token) headers.set("authorization", `Bearer ${await token()}`)
    const response = await fetch(target.href, { headers, credentials, cache: "no-store", redirect: "error", signal: abort.signal })
    return response.ok ? told(await response.json(), feature) : null
  } catch {
    return null
  } finally {
    clearTimeout(timer)
  }
}
