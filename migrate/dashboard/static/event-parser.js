// The event stream format, for both pages of this toolkit (migrate/live serves this file as well). until phase 3

// However long a server asks to be left alone.
const LONGEST_RETRY_MS = 300_000;

/**
 * Parses an event stream of any cut into {type, data, id, hasId}; hasId: the event named its id itself.
 * Source: HTML Standard, 9.2.6 "Interpreting an event stream". TextDecoderStream has already dropped a byte order mark.
 */
export class EventParser {
  /** lastEventId: of the stream that this one goes on. */
  constructor(lastEventId = "") {
    this.lastEventId = lastEventId;
    this.retryMs = undefined;
    this.rest = "";
    this.skipLf = false;
    this.id = lastEventId;
    this.hasId = false;
    this.data = [];
    this.type = "";
  }

  /** The events that this piece of text completes. */
  feed(text) {
    const events = [];
    if (!text) return events;
    let start = this.skipLf && text[0] === "\n" ? 1 : 0;
    this.skipLf = false;
    const ends = /\r\n?|\n/g;
    ends.lastIndex = start;
    for (let found; (found = ends.exec(text)); start = ends.lastIndex) {
      // A CR at the end may be the half of CRLF.
      this.skipLf = found[0] === "\r" && ends.lastIndex === text.length;
      const event = this.line(this.rest + text.slice(start, found.index));
      this.rest = "";
      if (event) events.push(event);
    }
    this.rest += text.slice(start);
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
    else if (field === "id" && !value.includes("\0")) {
      this.id = value;
      this.hasId = true;
    } else if (field === "retry" && /^[0-9]+$/.test(value)) this.retryMs = Math.min(Number(value), LONGEST_RETRY_MS);
    return null;
  }

  dispatch() {
    // It counts for the next stream also where there is no data, and so no event.
    this.lastEventId = this.id;
    const event = this.data.length
      ? { type: this.type || "message", data: this.data.join("\n"), id: this.id, hasId: this.hasId }
      : null;
    this.data = [];
    this.type = "";
    this.hasId = false;
    return event;
  }
}
