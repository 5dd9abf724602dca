// What is asked of the server, and how its answers are read. The token is the caller's: it is kept nowhere here.
// until phase 3

import { named, t } from "./strings.js";

class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** The server's answer to `said`, as JSON, or to the token alone. Raises TypeError: none came. */
function post(address, token, said) {
  const isJson = said !== undefined;
  return fetch(address, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, ...(isJson ? { "Content-Type": "application/json" } : {}) },
    body: isJson ? JSON.stringify(said) : undefined,
    cache: "no-store",
    credentials: "omit",
    referrerPolicy: "no-referrer",
  });
}

/** Whether the server takes `given` as the operator's token. Raises TypeError, Refused: it does not say. */
export async function isAccepted(given) {
  const answer = await post("/actions/check", given);
  if (!answer.ok && answer.status !== 401) throw new Refused(answer.status, t("stream.refused", { status: answer.status }));
  return answer.ok;
}

/** The answer to an action. Raises TypeError: none came; Refused: with its status. */
export async function ask(token, action, args, execute) {
  const answer = await post("/actions", token, { action, arguments: args, execute });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, said.detail || said.title || t("stream.refused", { status: answer.status }));
  return said;
}

export const exitWords = (code) => named(`exit.${code}`, t("exit.other", { code }));

/** The document of an answer, whether it comes as JSON or as text that holds some. */
export function documentOf(stdout) {
  if (typeof stdout !== "string") return stdout;
  try {
    return JSON.parse(stdout);
  } catch {
    return stdout;
  }
}
