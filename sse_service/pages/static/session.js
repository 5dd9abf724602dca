// Who is signed in, for as long as this tab lives. A token never gets into an address that is requested.

const KEY = "ws2sse.session"

/** What this tab knows: {token} or {user} (development sign-in); null: nobody. */
export function remembered() {
  // A link may bring a token behind the #, which browsers do not send; it leaves the address bar at once.
  const given = new URLSearchParams(location.hash.slice(1)).get("token")
  if (given) {
    history.replaceState(null, "", location.pathname + location.search)
    remember({ token: given })
  }
  try {
    return JSON.parse(sessionStorage.getItem(KEY))
  } catch {
    return null
  }
}

export function remember(session) {
  if (session) sessionStorage.setItem(KEY, JSON.stringify(session))
  else sessionStorage.removeItem(KEY)
}

export function headersOf(session) {
  if (session?.token) return { authorization: `Bearer ${session.token}` }
  return session?.user ? { "x-user-id": session.user } : {}
}
