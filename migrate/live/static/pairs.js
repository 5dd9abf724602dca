// Which messages have arrived on both stacks, how far apart, and which ones on one only. No DOM, no timers.
// until phase 3

export const GRACE_MS = 3000;
const KEPT = 2000;
const DIFFERENCES = 200;

export class Pairs {
  constructor() {
    this.messages = new Map();
    this.liveSince = { websocket: null, sse: null };
    this.differences = [];
    this.matched = 0;
    this.missing = 0;
  }

  live(stack, at) {
    this.liveSince[stack] = at;
  }

  away(stack) {
    this.liveSince[stack] = null;
  }

  // One arrival at `at` of a message sent at `sentAt` (by its own account; may be NaN), in milliseconds.
  // Returns {pair: "first" | "both" | "again", differenceMs} (positive: `stack` came later).
  arrived(stack, id, at, sentAt) {
    const other = stack === "sse" ? "websocket" : "sse";
    const known = this.messages.get(id);
    if (!known) {
      // Judged only if the other side was there when it was sent: what a stream brings after a resume is older.
      const since = this.liveSince[other];
      const start = sentAt < at ? sentAt : at;
      this.messages.set(id, { [stack]: at, first: stack, judged: since !== null && since <= start, verdict: "waiting" });
      if (this.messages.size > KEPT) this.messages.delete(this.messages.keys().next().value);
      return { pair: "first" };
    }
    if (known[stack] !== undefined) return { pair: "again" };
    known[stack] = at;
    if (known.verdict === "missing") this.missing -= 1;
    known.verdict = "both";
    this.matched += 1;
    const differenceMs = at - known[other];
    this.differences.push(stack === "sse" ? differenceMs : -differenceMs);
    if (this.differences.length > DIFFERENCES) this.differences.shift();
    return { pair: "both", differenceMs };
  }

  // Messages that have waited for their other half for too long: [{id, other, judged}].
  overdue(now) {
    const found = [];
    for (const [id, known] of this.messages) {
      if (known.verdict !== "waiting" || now - known[known.first] <= GRACE_MS) continue;
      const other = known.first === "sse" ? "websocket" : "sse";
      const since = this.liveSince[other];
      // A side that was away in the meantime may not have been able to show it.
      const judged = known.judged && since !== null && since <= known[known.first];
      known.verdict = judged ? "missing" : "not judged";
      if (judged) this.missing += 1;
      found.push({ id, other, judged });
    }
    return found;
  }

  // Median of SSE minus WebSocket, milliseconds, or null.
  median() {
    if (!this.differences.length) return null;
    const sorted = [...this.differences].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}
