// The page's own event stream, by fetch: unlike EventSource it sees heartbeats, so a connection that is dead without
// saying so is noticed, and it knows why it was refused. until phase 3

import { EventParser } from "./event-parser.js";
import { t } from "./strings.js";

// The server's heartbeat comes every 15 s (sse-starlette's default).
const SILENCE_MS = 40_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

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
      const parser = new EventParser(this.lastEventId);
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
