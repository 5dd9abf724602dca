// The page's two connections. Both call handlers {message(value, receivedAt), state(name, detail)} and never give up.
// until phase 3

import { EventParser } from "/event-parser.js";

const DELAYS_MS = { first: 500, most: 10000 };

function delayMs(failures, askedMs) {
  const high = Math.min(DELAYS_MS.most, (askedMs ?? DELAYS_MS.first) * 2 ** Math.min(failures, 20));
  return Math.max(askedMs ?? 0, high / 2 + (Math.random() * high) / 2);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A native WebSocket. A browser cannot give it headers, so the token is in the query: it is good for ten minutes only.
export class WebSocketStream {
  constructor(config, handlers) {
    this.config = config;
    this.handlers = handlers;
    this.socket = null;
  }

  async run() {
    for (let failures = 0; ; ) {
      this.handlers.state("connecting");
      const openedAt = performance.now();
      let detail;
      try {
        detail = await this.once(await this.config());
      } catch {
        detail = "the page's server is away";
      }
      failures = performance.now() - openedAt > 5000 ? 0 : failures + 1;
      this.handlers.state("waiting", detail);
      await sleep(delayMs(Math.max(0, failures - 1)));
    }
  }

  once(config) {
    return new Promise((resolve) => {
      const query = new URLSearchParams({ token: config.viewer.token, userName: config.viewer.name });
      const socket = new WebSocket(`${config.websocket_url}?${query}`);
      socket.onopen = () => {
        this.socket = socket;
        this.handlers.state("live");
      };
      socket.onmessage = (event) => {
        const receivedAt = Date.now();
        let value = null;
        try {
          value = JSON.parse(event.data);
        } catch {
          return;
        }
        if (value?.type === "message") this.handlers.message(value, receivedAt);
        else if (value?.type === "error") this.handlers.problem(`WebSocket: ${value.message ?? value.code}`);
      };
      socket.onclose = (event) => {
        this.socket = null;
        resolve(`closed with code ${event.code}`);
      };
    });
  }

  send(value) {
    if (this.socket?.readyState !== WebSocket.OPEN) throw new Error("the WebSocket is not connected");
    this.socket.send(JSON.stringify(value));
  }
}

const CONTROL = new Set(["ready", "reset", "rotate", "farewell"]);
const SILENCE_MS = 90000;

// A stream by fetch: a native EventSource can send neither Authorization nor a chosen Last-Event-ID.
export class SseStream {
  constructor(config, handlers) {
    this.config = config;
    this.handlers = handlers;
    this.lastEventId = "";
    this.retryMs = undefined;
    this.seen = new Set();
  }

  async run() {
    for (let failures = 0; ; ) {
      this.handlers.state("connecting");
      const openedAt = performance.now();
      let detail;
      try {
        detail = await this.once(await this.config());
      } catch {
        detail = "the connection failed";
      }
      const held = performance.now() - openedAt;
      const rotated = detail === "rotate" && held > 1000;
      failures = rotated || held > 5000 ? 0 : failures + 1;
      this.handlers.state("waiting", detail);
      await sleep(rotated ? Math.random() * 200 : delayMs(Math.max(0, failures - 1), this.retryMs));
    }
  }

  async once(config) {
    const headers = { Authorization: `Bearer ${config.viewer.token}`, Accept: "text/event-stream" };
    if (this.lastEventId) headers["Last-Event-ID"] = this.lastEventId;
    const end = new AbortController();
    const answer = await fetch(`${config.sse_url}/api/chat/stream`, {
      headers,
      cache: "no-store",
      credentials: "omit",
      signal: end.signal,
    });
    if (!answer.ok || !answer.body) return `HTTP ${answer.status}`;
    const parser = new EventParser(this.lastEventId);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let detail = "the stream ended";
    let watchdog;
    try {
      for (;;) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => end.abort(), SILENCE_MS);
        const { done, value } = await reader.read();
        if (done) return detail;
        const receivedAt = Date.now();
        for (const event of parser.feed(value)) {
          this.retryMs = parser.retryMs ?? this.retryMs;
          if (!this.take(event, receivedAt)) continue;
          if (event.type === "rotate" || event.type === "farewell") detail = event.type;
        }
        this.lastEventId = parser.lastEventId;
      }
    } finally {
      clearTimeout(watchdog);
      end.abort();
    }
  }

  // False for a repeated event.
  take(event, receivedAt) {
    this.lastEventId = event.id;
    if (CONTROL.has(event.type)) {
      if (event.type === "ready") this.handlers.state("live");
      if (event.type === "reset") this.handlers.problem("SSE: the event log no longer holds what was missed");
      return true;
    }
    if (event.hasId && event.id) {
      if (this.seen.has(event.id)) return false;
      this.seen.add(event.id);
      if (this.seen.size > 5000) this.seen.delete(this.seen.values().next().value);
    }
    let value = null;
    try {
      value = JSON.parse(event.data);
    } catch {
      return true;
    }
    if (event.type === "message" && value?.type === "message") this.handlers.message(value, receivedAt);
    return true;
  }
}
