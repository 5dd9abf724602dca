// Requests to the service: the token goes into a header, errors come out with the service's own words.

export class ApiError extends Error {
  constructor(status, detail, retryAfterS = 0) {
    super(detail || `the service answered ${status}`)
    this.status = status
    this.retryAfterS = retryAfterS
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500
  }
}

export class Api {
  /**
   * base: the service's address without a slash at its end ("" for the page's own).
   * credentials: async () => headers that say who asks.
   * onUnauthorized: told when the service does not know them any more.
   */
  constructor(base, credentials, onUnauthorized = () => {}) {
    this.base = base
    this.credentials = credentials
    this.onUnauthorized = onUnauthorized
  }

  get(path) {
    return this.ask("GET", path)
  }

  post(path, body = undefined) {
    return this.ask("POST", path, body)
  }

  async ask(method, path, body) {
    let headers
    try {
      headers = await this.credentials()
    } catch {
      // Whoever gives tokens is away, as the service may be: asked again later.
      throw new ApiError(0, "there is no token at this moment")
    }
    if (body !== undefined) headers["content-type"] = "application/json"
    let answer
    try {
      answer = await fetch(this.base + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        signal: AbortSignal.timeout(30_000),
      })
    } catch {
      throw new ApiError(0, navigator.onLine === false ? "this device is offline" : "the service cannot be reached")
    }
    if (answer.ok) return answer.json()
    const told = await answer.json().catch(() => ({}))
    if (answer.status === 401) this.onUnauthorized(told.detail ?? "")
    throw new ApiError(answer.status, told.detail, Number(answer.headers.get("retry-after") ?? 0))
  }
}
