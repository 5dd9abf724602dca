// The page's own event stream, by fetch: unlike EventSource it sees heartbeats, so a connection that is dead without
// saying so is noticed, and it knows why it was refused. until phase 3

import { t } from "./strings.js";

// The server's heartbeat comes every 15 s (sse-starlette's default).
const SILENCE_MS = 40_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

/**
 * Parses an event stream of any cut into {type, data, id}.
 * Source: HTML Standard, 9.2.6 "Interpreting an event stream".
 */
export class EventParser {
  constructor() {
    this.lastEventId = "";
    this.retryMs = undefined;
    this.rest = "";
    this.data = [];
    this.type = "";
    this.id = "";
  }

  feed(text) {
    const events = [];
    let all = this.rest + text;
    // A lone CR at the end may be the half of CRLF: it waits.
    const held = all.endsWith("\r") ? "\r" : "";
    if (held) all = all.slice(0, -1);
    const ends = /\r\n|\n|\r/g;
    let start = 0;
    for (let found; (found = ends.exec(all)); start = ends.lastIndex) {
      const event = this.line(all.slice(start, found.index));
      if (event) events.push(event);
    }
    this.rest = all.slice(start) + held;
    return events;
  }

  line(line) {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") this.data.push(value);
    else if (field === "event") this.type = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Math.min(Number(value), LAST_RETRY_MS);
    return null;
  }

  dispatch() {
    this.lastEventId = this.id;
    const event = this.data.length ? { type: this.type || "message", data: this.data.join("\n"), id: this.id } : null;
    this.data = [];
    this.type = "";
    return event;
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Stream {
  /**
   * address: of the events.
   * handlers: event({type, data, id}); state(name, {since, why}) with name connecting, live, reconnecting or away;
   *   since: epoch milliseconds of the last sign of life.
   */
  constructor(address, handlers, silenceMs = SILENCE_MS) {
    this.address = address;
    this.handlers = handlers;
    this.silenceMs = silenceMs;
    this.lastEventId = "";
    this.lastSign = Date.now();
    this.retryMs = FIRST_RETRY_MS;
  }

  async run() {
    this.handlers.state("connecting", {});
    for (let failures = 0; ; ) {
      const { why, wasLive } = await this.once();
      failures = wasLive ? 1 : failures + 1;
      // One lost connection is nothing to worry anybody about; the second attempt that fails is.
      this.handlers.state(failures > 1 ? "away" : "reconnecting", { since: this.lastSign, why });
      await this.pause(Math.min(LAST_RETRY_MS, this.retryMs * 2 ** (failures - 1)) * (0.75 + Math.random() / 2));
    }
  }

  /** A network that is back, or a tab that is looked at again, does not wait. */
  async pause(ms) {
    const back = new AbortController();
    const again = new Promise((resolve) => {
      addEventListener("online", resolve, { signal: back.signal });
      document.addEventListener("visibilitychange", () => document.hidden || resolve(), { signal: back.signal });
    });
    await Promise.race([sleep(ms), again]);
    back.abort();
  }

  async once() {
    const end = new AbortController();
    let why = t("stream.ended");
    let wasLive = false;
    let watchdog;
    const alive = () => {
      this.lastSign = Date.now();
      clearTimeout(watchdog);
      watchdog = setTimeout(() => {
        why = t("stream.silent", { seconds: Math.round(this.silenceMs / 1000) });
        end.abort();
      }, this.silenceMs);
    };
    try {
      const headers = { Accept: "text/event-stream", ...(this.lastEventId ? { "Last-Event-ID": this.lastEventId } : {}) };
      const answer = await fetch(this.address, { headers, cache: "no-store", credentials: "omit", signal: end.signal });
      if (!answer.ok || !answer.body) return { why: t("stream.refused", { status: answer.status }), wasLive };
      const parser = new EventParser();
      parser.id = this.lastEventId;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      wasLive = true;
      alive();
      this.handlers.state("live", {});
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { why, wasLive };
        alive();
        for (const event of parser.feed(value)) this.handlers.event(event);
        this.lastEventId = parser.lastEventId;
        this.retryMs = parser.retryMs ?? this.retryMs;
      }
    } catch {
      return { why: end.signal.aborted ? why : t("stream.failed"), wasLive };
    } finally {
      clearTimeout(watchdog);
      end.abort();
    }
  }
}
