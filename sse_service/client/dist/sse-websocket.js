/* @ws2sse/client 0.1.0: SseWebSocket and SwitchingWebSocket, the WebSocket interface over Server-Sent Events and POST.
sources sha256 3ec60825beb0f25496590cbbb6dd81b3078740c676b434c4b991f80f90381973; made by build.mjs, not by hand.

Contains eventsource-parser 4.1.3:
MIT License

Copyright (c) 2026 Espen Hovlandsdal <espen@hovlandsdal.com>

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
*/
var __defProp = Object.defineProperty;
var __typeError = (msg) => {
  throw TypeError(msg);
};
var __defNormalProp = (obj, key, value) => key in obj ? __defProp(obj, key, { enumerable: true, configurable: true, writable: true, value }) : obj[key] = value;
var __publicField = (obj, key, value) => __defNormalProp(obj, typeof key !== "symbol" ? key + "" : key, value);
var __accessCheck = (obj, member, msg) => member.has(obj) || __typeError("Cannot " + msg);
var __privateGet = (obj, member, getter) => (__accessCheck(obj, member, "read from private field"), getter ? getter.call(obj) : member.get(obj));
var __privateAdd = (obj, member, value) => member.has(obj) ? __typeError("Cannot add the same private member more than once") : member instanceof WeakSet ? member.add(obj) : member.set(obj, value);
var __privateSet = (obj, member, value, setter) => (__accessCheck(obj, member, "write to private field"), setter ? setter.call(obj, value) : member.set(obj, value), value);
var __privateMethod = (obj, member, method) => (__accessCheck(obj, member, "access private method"), method);
var __privateWrapper = (obj, member, setter, getter) => ({
  set _(value) {
    __privateSet(obj, member, value, setter);
  },
  get _() {
    return __privateGet(obj, member, getter);
  }
});

// src/bytes.js
var wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\uFFFD");
function utf8Length(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 128) continue;
    bytes += unit < 2048 || unit >= 55296 && unit <= 57343 ? 1 : 2;
  }
  return bytes;
}
var SLICE = 8192;
function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += SLICE) {
    text += String.fromCharCode.apply(
      null,
      /** @type {any} */
      bytes.subarray(at, at + SLICE)
    );
  }
  return btoa(text);
}
function fromBase64(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

// src/events.js
var _init;
var CloseEventPolyfill = class extends Event {
  constructor(type, init = {}) {
    super(type, init);
    __privateAdd(this, _init);
    __privateSet(this, _init, init);
  }
  get wasClean() {
    return __privateGet(this, _init).wasClean ?? false;
  }
  get code() {
    return __privateGet(this, _init).code ?? 0;
  }
  get reason() {
    return __privateGet(this, _init).reason ?? "";
  }
};
_init = new WeakMap();
var CloseEventClass = globalThis.CloseEvent ?? /** @type {any} */
CloseEventPolyfill;
function errorEvent(message) {
  return Object.defineProperty(new Event("error"), "message", { value: message, enumerable: true });
}
var _set;
var Handlers = class {
  constructor() {
    /** @type {Map<string, {callback: unknown, listener: (event: Event) => void}>} */
    __privateAdd(this, _set, /* @__PURE__ */ new Map());
  }
  get(type) {
    return __privateGet(this, _set).get(type)?.callback ?? null;
  }
  set(target, type, value) {
    const current = __privateGet(this, _set).get(type);
    if (value === null || typeof value !== "function" && typeof value !== "object") {
      if (current) target.removeEventListener(type, current.listener);
      __privateGet(this, _set).delete(type);
    } else if (current) current.callback = value;
    else {
      const entry = {
        callback: value,
        listener: (event) => {
          if (typeof entry.callback === "function") entry.callback.call(target, event);
        }
      };
      __privateGet(this, _set).set(type, entry);
      target.addEventListener(type, entry.listener);
    }
  }
};
_set = new WeakMap();

// src/outbox.js
var _entries, _Outbox_instances, add_fn;
var Outbox = class {
  constructor() {
    __privateAdd(this, _Outbox_instances);
    /** @type {Entry[]} */
    __privateAdd(this, _entries, []);
    /** Number of the last message given to it. */
    __publicField(this, "last", 0);
    /** Number up to which the server has everything. */
    __publicField(this, "acked", 0);
    /** Bytes of payload not acknowledged. */
    __publicField(this, "bytes", 0);
  }
  /** The message that waits longest, or undefined. */
  get head() {
    return __privateGet(this, _entries)[0];
  }
  /** @param {string} text well-formed @param {number} bytes */
  text(text, bytes) {
    const seq = ++this.last;
    __privateMethod(this, _Outbox_instances, add_fn).call(this, { seq, bytes, blob: null, ...encoded(`{"seq":${seq},"text":${JSON.stringify(text)}}`) });
  }
  /** @param {Uint8Array} data */
  binary(data) {
    const seq = ++this.last;
    __privateMethod(this, _Outbox_instances, add_fn).call(this, { seq, bytes: data.byteLength, blob: null, ...binaryJson(seq, data) });
  }
  /** Read when its turn comes, so that its place in the order is kept. @param {Blob} blob */
  blob(blob) {
    __privateMethod(this, _Outbox_instances, add_fn).call(this, { seq: ++this.last, bytes: blob.size, json: null, size: 0, blob });
  }
  /** Read the Blob at the head, if it is one. Rejects where it cannot be read. */
  async load() {
    const entry = this.head;
    if (!entry?.blob) return;
    const data = new Uint8Array(await entry.blob.arrayBuffer());
    entry.blob = null;
    Object.assign(entry, binaryJson(entry.seq, data));
  }
  /**
   * The first messages, as many as fit; one at least.
   * @param {number} maxBytes of the whole body @param {number} maxMessageBytes of one payload; a longer one ends the batch
   */
  batch(maxBytes, maxMessageBytes) {
    const parts = [];
    let size = 0;
    let last = this.acked;
    for (const entry of __privateGet(this, _entries)) {
      if (entry.json === null || entry.bytes > maxMessageBytes) break;
      if (parts.length && size + entry.size + ENVELOPE > maxBytes) break;
      parts.push(entry.json);
      size += entry.size + 1;
      last = entry.seq;
    }
    return { json: `[${parts.join(",")}]`, last, count: parts.length };
  }
  /** @returns {number} bytes of payload that were acknowledged with it */
  ack(upTo) {
    if (!(upTo > this.acked)) return 0;
    this.acked = Math.min(upTo, this.last);
    let count = 0;
    let bytes = 0;
    while (count < __privateGet(this, _entries).length && __privateGet(this, _entries)[count].seq <= upTo) bytes += __privateGet(this, _entries)[count++].bytes;
    __privateGet(this, _entries).splice(0, count);
    this.bytes -= bytes;
    return bytes;
  }
  clear() {
    __privateGet(this, _entries).length = 0;
  }
};
_entries = new WeakMap();
_Outbox_instances = new WeakSet();
/** @param {Entry} entry */
add_fn = function(entry) {
  __privateGet(this, _entries).push(entry);
  this.bytes += entry.bytes;
};
var ENVELOPE = 64;
var encoded = (json) => ({ json, size: utf8Length(json) });
var binaryJson = (seq, data) => {
  const json = `{"seq":${seq},"binary":"${toBase64(data)}"}`;
  return { json, size: json.length };
};

// src/page.js
function onPage({ wake, leave, back }) {
  const scope = (
    /** @type {any} */
    globalThis
  );
  if (typeof scope.addEventListener !== "function") return () => {
  };
  const visible = () => scope.document?.visibilityState === "visible";
  let going = false;
  const hide = () => {
    going = true;
    if (!visible()) leave();
  };
  const show = () => {
    going = false;
    back();
  };
  const changed = () => {
    if (visible()) wake();
    else if (going) leave();
  };
  const all = [
    [scope, "online", wake],
    [scope, "pagehide", hide],
    [scope, "pageshow", show]
  ];
  if (scope.document) all.push([scope.document, "visibilitychange", changed]);
  for (const [target, type, listener] of all) target.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of all) target.removeEventListener(type, listener);
  };
}

// src/pauses.js
var jittered = (failures, { baseMs, capMs }) => Math.random() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
var _waiting, _over;
var Pauses = class {
  constructor() {
    /** @type {Set<() => void>} */
    __privateAdd(this, _waiting, /* @__PURE__ */ new Set());
    __privateAdd(this, _over, false);
  }
  /** @param {number} ms @returns {Promise<void>} earlier on wake() */
  sleep(ms) {
    if (__privateGet(this, _over)) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        __privateGet(this, _waiting).delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      __privateGet(this, _waiting).add(done);
    });
  }
  wake() {
    for (const done of [...__privateGet(this, _waiting)]) done();
  }
  /** No pauses any more. */
  end() {
    __privateSet(this, _over, true);
    this.wake();
  }
};
_waiting = new WeakMap();
_over = new WeakMap();

// src/requests.js
var SDK = "ws2sse/1";
var BEACON_BYTES = 6e4;
var NO_ANSWER = { status: 0, body: null, retryAfterMs: 0 };
var isGone = (status) => [401, 403, 404, 410].includes(status);
var isPassing = (status) => status === 0 || status === 408 || status === 425 || status === 429 || status >= 500;
var _Requests_instances, own_fn, owned_fn, exchange_fn, call_fn;
var Requests = class {
  /**
   * @param {URL} url of the API @param {typeof globalThis.fetch} fetch @param {RequestCredentials} credentials
   * @param {number} timeoutMs of one request
   */
  constructor(url, fetch, credentials, timeoutMs) {
    __privateAdd(this, _Requests_instances);
    this.url = url;
    this.fetch = fetch;
    this.timeoutMs = timeoutMs;
    this.common = { credentials, cache: "no-store", redirect: "error" };
    this.secret = "";
    this.sendUrl = this.streamUrl = this.connectionUrl = url.href;
  }
  /** @param {{protocols: string[], query: string, headers: HeadersInit}} handshake @returns {Promise<Answer>} */
  open({ protocols, query, headers }) {
    const all = new Headers(headers);
    all.set("content-type", "application/json");
    return __privateMethod(this, _Requests_instances, call_fn).call(this, this.url.href, { method: "POST", headers: all, body: JSON.stringify({ protocols, query, sdk: SDK }) });
  }
  /** Take the addresses from the answer to open(). @throws TypeError where they leave the origin */
  use({ secret, streamPath, sendPath }) {
    this.secret = secret;
    this.streamUrl = __privateMethod(this, _Requests_instances, own_fn).call(this, streamPath);
    this.sendUrl = __privateMethod(this, _Requests_instances, own_fn).call(this, sendPath);
    this.connectionUrl = this.sendUrl.replace(/\/[^/]*$/, "");
  }
  /**
   * @param {string} messages JSON list @param {number} received number of the last event; the server need not keep it
   * @param {AbortSignal} signal @returns {Promise<Answer>}
   */
  send(messages, received, signal) {
    return __privateMethod(this, _Requests_instances, call_fn).call(this, this.sendUrl, __privateMethod(this, _Requests_instances, owned_fn).call(this, "POST", `{"received":${received},"messages":${messages}}`), signal);
  }
  /** @param {{code: number | null, reason: string}} close @param {number} seq @param {AbortSignal} [signal] */
  close({ code, reason }, seq, signal) {
    return __privateMethod(this, _Requests_instances, call_fn).call(this, this.connectionUrl, __privateMethod(this, _Requests_instances, owned_fn).call(this, "DELETE", JSON.stringify({ code, reason, seq })), signal);
  }
  /** Without waiting, as the page goes away. text/plain needs no preflight, for which there would be no time. */
  beacon({ code, reason }, messages) {
    const url = `${this.connectionUrl}/close`;
    const close = `"secret":${JSON.stringify(this.secret)},"code":${code},"reason":${JSON.stringify(reason)}`;
    for (const body of [`{${close},"messages":${messages}}`, `{${close}}`]) {
      try {
        if (globalThis.navigator?.sendBeacon?.(url, body)) return;
      } catch {
      }
    }
    void __privateMethod(this, _Requests_instances, call_fn).call(this, url, { method: "POST", body: `{${close}}`, keepalive: true });
  }
  /** @param {number} lastId @param {AbortSignal} signal @returns {Promise<Response>} rejects as fetch does */
  stream(lastId, signal) {
    const headers = { accept: "text/event-stream", authorization: `Connection ${this.secret}`, "last-event-id": String(lastId) };
    return this.fetch(this.streamUrl, { ...this.common, headers, signal });
  }
};
_Requests_instances = new WeakSet();
own_fn = function(path) {
  const url = new URL(path, this.url);
  if (url.origin !== this.url.origin) throw new TypeError("the service named an address of another origin");
  return url.href;
};
/** @returns {RequestInit} */
owned_fn = function(method, body) {
  return { method, body, headers: { authorization: `Connection ${this.secret}`, "content-type": "application/json" } };
};
exchange_fn = async function(url, init) {
  const response = await this.fetch(url, init);
  const text = await response.text();
  return { status: response.status, body: parsed(text), retryAfterMs: retryAfter(response) };
};
call_fn = async function(url, init, signal) {
  const abort = new AbortController();
  let stop = () => {
  };
  const stopped = new Promise((resolve) => {
    stop = () => {
      abort.abort();
      resolve(NO_ANSWER);
    };
  });
  const timer = setTimeout(stop, this.timeoutMs);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    return await Promise.race([__privateMethod(this, _Requests_instances, exchange_fn).call(this, url, { ...this.common, ...init, signal: abort.signal }), stopped]);
  } catch {
    return NO_ANSWER;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
};
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
function retryAfter(response) {
  const seconds = Number(response.headers.get("retry-after") ?? 0);
  return seconds > 0 ? seconds * 1e3 : 0;
}

// node_modules/eventsource-parser/dist/errors.js
var ParseError = class extends Error {
  constructor(message, options) {
    super(message);
    this.name = "ParseError";
    this.type = options.type;
    this.field = options.field;
    this.value = options.value;
    this.line = options.line;
  }
};

// node_modules/eventsource-parser/dist/parse.js
var LF = 10;
var CR = 13;
var SPACE = 32;
var MAX_FIELD_PREFIX_LENGTH = 6;
function createParser(config) {
  if (typeof config === "function") {
    throw new TypeError("`config` must be an object, got a function instead. Did you mean `createParser({onEvent: fn})`?");
  }
  const { maxBufferSize, onComment, onError, onEvent, onId, onRetry } = config;
  const pendingFragments = [];
  let pendingFragmentsLength = 0;
  let bomPrefix = "";
  let id;
  let data = "";
  let dataLines = 0;
  let eventType;
  let terminated = false;
  let skippingLine = false;
  let skipNextLineFeed = false;
  function feed(chunk) {
    if (terminated) {
      throw new Error("Cannot feed parser: it was terminated after exceeding the configured max buffer size. Call `reset()` to resume parsing.");
    }
    if (bomPrefix !== void 0) {
      chunk = bomPrefix + chunk;
      if (chunk === "" || chunk === "\xEF" || chunk === "\xEF\xBB") {
        bomPrefix = chunk;
        return;
      }
      bomPrefix = void 0;
      chunk = chunk.replace(/^(?:\uFEFF|\xEF\xBB\xBF)/, "");
    }
    if (skippingLine || skipNextLineFeed) {
      chunk = resumeAfterSkip(chunk);
      if (!chunk) {
        return;
      }
    }
    if (!pendingFragments.length) {
      const trailing = processLines(chunk);
      if (trailing !== "") {
        storeTrailing(trailing);
      }
      checkForBufferOverflow();
      return;
    }
    if (chunk.indexOf("\n") === -1 && chunk.indexOf("\r") === -1) {
      if (pendingFragmentsLength < MAX_FIELD_PREFIX_LENGTH) {
        const head = pendingFragments.join("") + chunk.slice(0, MAX_FIELD_PREFIX_LENGTH - pendingFragmentsLength);
        if (!shouldBufferTrailing(head)) {
          pendingFragments.length = 0;
          pendingFragmentsLength = 0;
          skippingLine = true;
          return;
        }
      }
      pendingFragments.push(chunk);
      pendingFragmentsLength += chunk.length;
      checkForBufferOverflow();
      return;
    }
    pendingFragments.push(chunk);
    const input = pendingFragments.join("");
    pendingFragments.length = 0;
    pendingFragmentsLength = 0;
    storeTrailing(processLines(input));
    checkForBufferOverflow();
  }
  function resumeAfterSkip(chunk) {
    if (chunk.length === 0) {
      return chunk;
    }
    if (skipNextLineFeed) {
      skipNextLineFeed = false;
      return chunk.charCodeAt(0) === LF ? chunk.slice(1) : chunk;
    }
    const crIndex = chunk.indexOf("\r");
    const lfIndex = chunk.indexOf("\n");
    const lineEnd = crIndex === -1 ? lfIndex : lfIndex === -1 ? crIndex : crIndex < lfIndex ? crIndex : lfIndex;
    if (lineEnd === -1) {
      return "";
    }
    if (lineEnd === chunk.length - 1 && chunk.charCodeAt(lineEnd) === CR) {
      skippingLine = false;
      skipNextLineFeed = true;
      return "";
    }
    skippingLine = false;
    return chunk.slice(lineEnd + (chunk.charCodeAt(lineEnd) === CR && chunk.charCodeAt(lineEnd + 1) === LF ? 2 : 1));
  }
  function storeTrailing(trailing) {
    if (!trailing)
      return;
    if (trailing.charCodeAt(trailing.length - 1) === CR) {
      parseLine(trailing, 0, trailing.length - 1);
      if (checkForBufferOverflow())
        return;
      skipNextLineFeed = true;
      return;
    }
    if (shouldBufferTrailing(trailing)) {
      pendingFragments.push(trailing);
      pendingFragmentsLength = trailing.length;
      return;
    }
    skippingLine = true;
  }
  function shouldBufferTrailing(trailing) {
    const firstCharCode = trailing.charCodeAt(0);
    return firstCharCode === 58 && !!onComment || firstCharCode === 100 && isPotentialField(trailing, "data") || firstCharCode === 101 && isPotentialField(trailing, "event") || firstCharCode === 105 && isPotentialField(trailing, "id") || firstCharCode === 114 && isPotentialField(trailing, "retry");
  }
  function checkForBufferOverflow() {
    if (terminated)
      return true;
    if (maxBufferSize === void 0)
      return false;
    if (pendingFragmentsLength + data.length <= maxBufferSize)
      return false;
    terminated = true;
    pendingFragments.length = 0;
    pendingFragmentsLength = 0;
    id = void 0;
    data = "";
    dataLines = 0;
    eventType = void 0;
    skippingLine = false;
    skipNextLineFeed = false;
    onError === null || onError === void 0 ? void 0 : onError(new ParseError(`Buffered data exceeded max buffer size of ${maxBufferSize} characters`, {
      type: "max-buffer-size-exceeded"
    }));
    return true;
  }
  function processLines(chunk) {
    let searchIndex = 0;
    if (chunk.indexOf("\r") === -1) {
      let lfIndex2 = chunk.indexOf("\n", searchIndex);
      while (lfIndex2 !== -1) {
        if (searchIndex === lfIndex2) {
          if (id !== void 0) {
            onId === null || onId === void 0 ? void 0 : onId(id);
          }
          if (dataLines > 0) {
            onEvent === null || onEvent === void 0 ? void 0 : onEvent({ id, event: eventType, data });
          }
          id = void 0;
          data = "";
          dataLines = 0;
          eventType = void 0;
          searchIndex = lfIndex2 + 1;
          lfIndex2 = chunk.indexOf("\n", searchIndex);
          continue;
        }
        const firstCharCode = chunk.charCodeAt(searchIndex);
        if (isDataPrefix(chunk, searchIndex, firstCharCode)) {
          const valueStart = chunk.charCodeAt(searchIndex + 5) === SPACE ? searchIndex + 6 : searchIndex + 5;
          const value = chunk.slice(valueStart, lfIndex2);
          if (dataLines === 0 && chunk.charCodeAt(lfIndex2 + 1) === LF) {
            if (id !== void 0) {
              onId === null || onId === void 0 ? void 0 : onId(id);
            }
            onEvent === null || onEvent === void 0 ? void 0 : onEvent({ id, event: eventType, data: value });
            id = void 0;
            data = "";
            eventType = void 0;
            searchIndex = lfIndex2 + 2;
            lfIndex2 = chunk.indexOf("\n", searchIndex);
            continue;
          }
          data = dataLines === 0 ? value : `${data}
${value}`;
          dataLines++;
        } else if (isEventPrefix(chunk, searchIndex, firstCharCode)) {
          eventType = chunk.slice(chunk.charCodeAt(searchIndex + 6) === SPACE ? searchIndex + 7 : searchIndex + 6, lfIndex2) || void 0;
        } else {
          parseLine(chunk, searchIndex, lfIndex2);
        }
        if (checkForBufferOverflow())
          return "";
        searchIndex = lfIndex2 + 1;
        lfIndex2 = chunk.indexOf("\n", searchIndex);
      }
      return chunk.slice(searchIndex);
    }
    let crIndex = chunk.indexOf("\r", searchIndex);
    let lfIndex = chunk.indexOf("\n", searchIndex);
    while (searchIndex < chunk.length) {
      let lineEnd = -1;
      if (crIndex !== -1 && lfIndex !== -1) {
        lineEnd = crIndex < lfIndex ? crIndex : lfIndex;
      } else if (crIndex !== -1) {
        if (crIndex === chunk.length - 1) {
          lineEnd = -1;
        } else {
          lineEnd = crIndex;
        }
      } else if (lfIndex !== -1) {
        lineEnd = lfIndex;
      }
      if (lineEnd === -1) {
        break;
      }
      parseLine(chunk, searchIndex, lineEnd);
      if (checkForBufferOverflow())
        return "";
      searchIndex = lineEnd + 1;
      if (chunk.charCodeAt(searchIndex - 1) === CR && chunk.charCodeAt(searchIndex) === LF) {
        searchIndex++;
      }
      if (crIndex !== -1 && crIndex < searchIndex) {
        crIndex = chunk.indexOf("\r", searchIndex);
      }
      if (lfIndex !== -1 && lfIndex < searchIndex) {
        lfIndex = chunk.indexOf("\n", searchIndex);
      }
    }
    return chunk.slice(searchIndex);
  }
  function parseLine(chunk, start, end) {
    if (start === end) {
      dispatchEvent();
      return;
    }
    const firstCharCode = chunk.charCodeAt(start);
    if (isDataPrefix(chunk, start, firstCharCode)) {
      const valueStart = chunk.charCodeAt(start + 5) === SPACE ? start + 6 : start + 5;
      const value2 = chunk.slice(valueStart, end);
      data = dataLines === 0 ? value2 : `${data}
${value2}`;
      dataLines++;
      return;
    }
    if (isEventPrefix(chunk, start, firstCharCode)) {
      eventType = chunk.slice(chunk.charCodeAt(start + 6) === SPACE ? start + 7 : start + 6, end) || void 0;
      return;
    }
    if (firstCharCode === 105 && chunk.charCodeAt(start + 1) === 100 && chunk.charCodeAt(start + 2) === 58) {
      const value2 = chunk.slice(chunk.charCodeAt(start + 3) === SPACE ? start + 4 : start + 3, end);
      if (!value2.includes("\0"))
        id = value2;
      return;
    }
    if (firstCharCode === 58) {
      if (onComment) {
        const line2 = chunk.slice(start, end);
        onComment(line2.slice(chunk.charCodeAt(start + 1) === SPACE ? 2 : 1));
      }
      return;
    }
    const line = chunk.slice(start, end);
    const fieldSeparatorIndex = line.indexOf(":");
    if (fieldSeparatorIndex === -1) {
      processField(line, "", line);
      return;
    }
    const field = line.slice(0, fieldSeparatorIndex);
    const offset = line.charCodeAt(fieldSeparatorIndex + 1) === SPACE ? 2 : 1;
    const value = line.slice(fieldSeparatorIndex + offset);
    processField(field, value, line);
  }
  function processField(field, value, line) {
    switch (field) {
      case "event":
        eventType = value || void 0;
        break;
      case "data":
        data = dataLines === 0 ? value : `${data}
${value}`;
        dataLines++;
        break;
      case "id":
        if (!value.includes("\0"))
          id = value;
        break;
      case "retry":
        if (/^\d+$/.test(value)) {
          onRetry === null || onRetry === void 0 ? void 0 : onRetry(parseInt(value, 10));
        } else {
          onError === null || onError === void 0 ? void 0 : onError(new ParseError(`Invalid \`retry\` value: "${value}"`, {
            type: "invalid-retry",
            value,
            line
          }));
        }
        break;
      default:
        onError === null || onError === void 0 ? void 0 : onError(new ParseError(`Unknown field "${field.length > 20 ? `${field.slice(0, 20)}\u2026` : field}"`, { type: "unknown-field", field, value, line }));
        break;
    }
  }
  function dispatchEvent() {
    if (id !== void 0) {
      onId === null || onId === void 0 ? void 0 : onId(id);
    }
    if (dataLines > 0) {
      onEvent === null || onEvent === void 0 ? void 0 : onEvent({
        id,
        event: eventType,
        data
      });
    }
    id = void 0;
    data = "";
    dataLines = 0;
    eventType = void 0;
  }
  function reset(options = {}) {
    if (options.consume && pendingFragments.length > 0) {
      const incompleteLine = pendingFragments.join("");
      parseLine(incompleteLine, 0, incompleteLine.length);
    }
    bomPrefix = "";
    id = void 0;
    data = "";
    dataLines = 0;
    eventType = void 0;
    pendingFragments.length = 0;
    pendingFragmentsLength = 0;
    terminated = false;
    skippingLine = false;
    skipNextLineFeed = false;
  }
  return { feed, reset };
}
function isDataPrefix(chunk, i, firstCharCode) {
  return firstCharCode === 100 && chunk.charCodeAt(i + 1) === 97 && chunk.charCodeAt(i + 2) === 116 && chunk.charCodeAt(i + 3) === 97 && chunk.charCodeAt(i + 4) === 58;
}
function isEventPrefix(chunk, i, firstCharCode) {
  return firstCharCode === 101 && chunk.charCodeAt(i + 1) === 118 && chunk.charCodeAt(i + 2) === 101 && chunk.charCodeAt(i + 3) === 110 && chunk.charCodeAt(i + 4) === 116 && chunk.charCodeAt(i + 5) === 58;
}
function isPotentialField(line, field) {
  let i = 1;
  while (i < line.length && i < field.length) {
    if (line.charCodeAt(i) !== field.charCodeAt(i)) {
      return false;
    }
    i++;
  }
  return line.length <= field.length || line.charCodeAt(field.length) === 58;
}

// src/stream.js
var MAX_EVENT_CHARS = 8 * 1024 * 1024;
async function readStream(open, { firstMs, silenceMs, signal, onFrame }) {
  const abort = new AbortController();
  let reader;
  const stop = () => {
    abort.abort();
    reader?.cancel().catch(() => {
    });
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  const watch = new Watch(firstMs, stop);
  const ending = { gone: false, turned: false, retryAfterMs: 0 };
  try {
    const response = await open(abort.signal);
    if (response.status !== 200 || !response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body) {
      ending.gone = isGone(response.status);
      ending.retryAfterMs = retryAfter(response);
      stop();
      return ending;
    }
    const parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: (frame) => {
        if (!ending.turned && !signal.aborted && onFrame(frame) === "turn") ending.turned = true;
      }
    });
    const decoder = new TextDecoder();
    reader = response.body.getReader();
    while (!ending.turned && !signal.aborted) {
      const { done, value } = await reader.read();
      if (done) break;
      watch.touch(silenceMs);
      parser.feed(decoder.decode(value, { stream: true }));
    }
    stop();
  } catch {
    stop();
  } finally {
    watch.end();
    signal.removeEventListener("abort", stop);
  }
  return ending;
}
var _deadline, _timer;
var Watch = class {
  constructor(ms, silent) {
    __privateAdd(this, _deadline);
    /** @type {ReturnType<typeof setTimeout>} */
    __privateAdd(this, _timer);
    __privateSet(this, _deadline, Date.now() + ms);
    const look = () => {
      const left = __privateGet(this, _deadline) - Date.now();
      if (left > 0) __privateSet(this, _timer, setTimeout(look, left));
      else silent();
    };
    __privateSet(this, _timer, setTimeout(look, ms));
  }
  touch(ms) {
    __privateSet(this, _deadline, Date.now() + ms);
  }
  end() {
    clearTimeout(__privateGet(this, _timer));
  }
};
_deadline = new WeakMap();
_timer = new WeakMap();

// src/session.js
var ABNORMAL = 1006;
var TOO_BIG = 1009;
var GOING_AWAY = 1001;
var ANSWER_GRACE_MS = 1e3;
var SHORT_MS = 1e3;
var _setup, _requests, _pauses, _abort, _over2, _open, _pumping, _left, _closing, _closeTried, _lastId, _limits, _forget, _inFlight, _Session_instances, end_fn, run_fn, handshake_fn, accept_fn, follow_fn, take_fn, ready_fn, closed_fn, acknowledged_fn, pump_fn, sendSome_fn, tooBig_fn, sendClose_fn, closedByUs_fn, leave_fn, back_fn;
var Session = class {
  constructor(setup) {
    __privateAdd(this, _Session_instances);
    __publicField(this, "outbox", new Outbox());
    __privateAdd(this, _setup);
    __privateAdd(this, _requests);
    __privateAdd(this, _pauses, new Pauses());
    __privateAdd(this, _abort, new AbortController());
    __privateAdd(this, _over2, false);
    __privateAdd(this, _open, false);
    __privateAdd(this, _pumping, false);
    __privateAdd(this, _left, false);
    /** @type {{code: number | null, reason: string} | null} */
    __privateAdd(this, _closing, null);
    __privateAdd(this, _closeTried, false);
    /** Number of the last event that was taken. */
    __privateAdd(this, _lastId, 0);
    __privateAdd(this, _limits, { windowMs: 6e4, messageBytes: 131072, batchBytes: 1e6, silenceMs: 45e3 });
    /** @type {() => void} */
    __privateAdd(this, _forget, () => {
    });
    /** @type {{last: number, answered: AbortController} | null} */
    __privateAdd(this, _inFlight, null);
    __privateSet(this, _setup, setup);
    __privateSet(this, _requests, new Requests(setup.url, setup.fetch, setup.credentials, setup.requestMs));
    void __privateMethod(this, _Session_instances, run_fn).call(this);
  }
  /** Something is in the outbox. */
  kick() {
    if (!__privateGet(this, _pumping)) void Promise.resolve().then(() => __privateMethod(this, _Session_instances, pump_fn).call(this));
  }
  /** After everything was sent. code: null for none. While it is not open yet, it fails. */
  close(code, reason) {
    __privateSet(this, _closing, { code, reason });
    if (!__privateGet(this, _open)) void Promise.resolve().then(() => this.fail("it was closed before it was open"));
    else this.kick();
  }
  fail(why) {
    if (__privateGet(this, _over2)) return;
    __privateMethod(this, _Session_instances, end_fn).call(this, ABNORMAL, "", why);
    if (__privateGet(this, _requests).secret) void __privateGet(this, _requests).close({ code: null, reason: "" }, this.outbox.acked);
  }
};
_setup = new WeakMap();
_requests = new WeakMap();
_pauses = new WeakMap();
_abort = new WeakMap();
_over2 = new WeakMap();
_open = new WeakMap();
_pumping = new WeakMap();
_left = new WeakMap();
_closing = new WeakMap();
_closeTried = new WeakMap();
_lastId = new WeakMap();
_limits = new WeakMap();
_forget = new WeakMap();
_inFlight = new WeakMap();
_Session_instances = new WeakSet();
end_fn = function(code, reason, error) {
  if (__privateGet(this, _over2)) return;
  __privateSet(this, _over2, true);
  __privateGet(this, _forget).call(this);
  __privateGet(this, _abort).abort();
  __privateGet(this, _pauses).end();
  this.outbox.clear();
  __privateGet(this, _setup).listener.closed(code, reason, error);
};
run_fn = async function() {
  const offer = await __privateMethod(this, _Session_instances, handshake_fn).call(this);
  if (typeof offer === "string") return this.fail(offer);
  const problem = __privateMethod(this, _Session_instances, accept_fn).call(this, offer);
  if (problem) return this.fail(problem);
  if (__privateGet(this, _over2)) return void __privateGet(this, _requests).close({ code: null, reason: "" }, 0);
  __privateSet(this, _forget, onPage({ wake: () => __privateGet(this, _pauses).wake(), leave: () => __privateMethod(this, _Session_instances, leave_fn).call(this), back: () => __privateMethod(this, _Session_instances, back_fn).call(this) }));
  const timer = setTimeout(() => __privateGet(this, _open) || this.fail("no stream within the time to open"), __privateGet(this, _setup).openMs);
  __privateGet(this, _abort).signal.addEventListener("abort", () => clearTimeout(timer));
  await __privateMethod(this, _Session_instances, follow_fn).call(this);
};
handshake_fn = async function() {
  const { protocols, query, token } = __privateGet(this, _setup);
  for (let attempt = 0; ; attempt++) {
    const headers = new Headers(__privateGet(this, _setup).headers);
    try {
      if (token) headers.set("authorization", `Bearer ${await token()}`);
    } catch {
      return "the token callback failed";
    }
    if (__privateGet(this, _over2)) return "closed";
    const { status, body } = await __privateGet(this, _requests).open({ protocols, query, headers });
    if (status === 200 || status === 201) return body ?? "the handshake was answered without JSON";
    if (status !== 401 || !token || attempt) return status ? `the handshake was answered with ${status}` : "the handshake had no answer";
  }
};
/** @returns {string} what is wrong with the offer; "" when it is fine */
accept_fn = function(offer) {
  const { protocols } = __privateGet(this, _setup);
  const { protocol = "" } = offer;
  try {
    if (![offer.secret, offer.streamPath, offer.sendPath].every((text) => typeof text === "string")) return "the offer is incomplete";
    __privateGet(this, _requests).use(offer);
  } catch (error) {
    return String(error);
  }
  if (protocols.length ? !protocols.includes(protocol) : protocol !== "") return "the server chose no subprotocol that was offered";
  const limits = __privateGet(this, _limits);
  limits.windowMs = positive(offer.resumeWindowMs, limits.windowMs);
  limits.messageBytes = positive(offer.maxMessageBytes, limits.messageBytes);
  limits.batchBytes = positive(offer.maxBatchBytes, limits.batchBytes);
  limits.silenceMs = 3 * positive(offer.heartbeatMs, limits.silenceMs / 3);
  this.protocol = protocol;
  return "";
};
follow_fn = async function() {
  let failures = 0;
  let lostAt = Date.now();
  while (!__privateGet(this, _over2)) {
    const started = Date.now();
    let ready = false;
    const ending = await readStream((signal) => __privateGet(this, _requests).stream(__privateGet(this, _lastId), signal), {
      firstMs: Math.min(__privateGet(this, _setup).requestMs, __privateGet(this, _limits).silenceMs),
      silenceMs: __privateGet(this, _limits).silenceMs,
      signal: __privateGet(this, _abort).signal,
      onFrame: (frame) => {
        ready || (ready = frame.event === "ready");
        return __privateMethod(this, _Session_instances, take_fn).call(this, frame);
      }
    });
    if (__privateGet(this, _over2) || __privateGet(this, _left)) return;
    if (ending.gone && __privateGet(this, _closeTried)) return __privateMethod(this, _Session_instances, closedByUs_fn).call(this);
    if (ending.gone) return this.fail("the server does not know the connection any more");
    const now = Date.now();
    if (ready) [failures, lostAt] = [0, now];
    else if (now - lostAt > __privateGet(this, _limits).windowMs) return this.fail("no stream for longer than the server keeps the connection");
    if (ending.turned && now - started > SHORT_MS) continue;
    await __privateGet(this, _pauses).sleep(Math.max(ending.retryAfterMs, jittered(failures++, __privateGet(this, _setup).backoff)));
  }
};
/** @param {import("./stream.js").Frame} frame @returns {"turn" | void} */
take_fn = function({ event, id, data }) {
  try {
    if (event === "rotate") return "turn";
    if (event === "ready") return __privateMethod(this, _Session_instances, ready_fn).call(this, JSON.parse(data));
    if (event === "transport") return __privateGet(this, _setup).listener.told(data);
    if (!event || !["text", "binary", "ack", "close"].includes(event)) return;
    const number = Number(id ?? NaN);
    if (number <= __privateGet(this, _lastId)) return;
    if (number > __privateGet(this, _lastId) + 1) return this.fail("events are missing");
    if (number) __privateSet(this, _lastId, number);
    if (event === "ack") __privateMethod(this, _Session_instances, acknowledged_fn).call(this, JSON.parse(data).seq);
    else if (event === "close") __privateMethod(this, _Session_instances, closed_fn).call(this, JSON.parse(data));
    else if (!__privateGet(this, _closing)) __privateGet(this, _setup).listener.message(event === "text" ? String(JSON.parse(data)) : fromBase64(data));
  } catch {
    this.fail("the server sent what cannot be read");
  }
};
ready_fn = function({ resumed, acked }) {
  if (resumed === false && __privateGet(this, _lastId) > 0) return this.fail("events are missing");
  __privateMethod(this, _Session_instances, acknowledged_fn).call(this, acked);
  if (!__privateGet(this, _open)) {
    __privateSet(this, _open, true);
    __privateGet(this, _setup).listener.open(this.protocol ?? "");
  }
  __privateGet(this, _pauses).wake();
};
closed_fn = function({ code, reason = "" }) {
  if (code === ABNORMAL) return __privateMethod(this, _Session_instances, end_fn).call(this, ABNORMAL, "", "the server ended the connection");
  __privateGet(this, _setup).listener.closing();
  __privateMethod(this, _Session_instances, end_fn).call(this, code ?? 1005, reason, null);
};
acknowledged_fn = function(upTo) {
  const bytes = this.outbox.ack(upTo);
  if (bytes) __privateGet(this, _setup).listener.acknowledged(bytes);
  const flight = __privateGet(this, _inFlight);
  if (flight && flight.last <= this.outbox.acked) setTimeout(() => flight.answered.abort(), ANSWER_GRACE_MS);
};
pump_fn = async function() {
  if (__privateGet(this, _pumping) || !__privateGet(this, _open)) return;
  __privateSet(this, _pumping, true);
  let failures = 0;
  let since = Date.now();
  while (!__privateGet(this, _over2) && !__privateGet(this, _left) && this.outbox.head) {
    const before = this.outbox.acked;
    const retryAfterMs = await __privateMethod(this, _Session_instances, sendSome_fn).call(this);
    if (this.outbox.acked > before) [failures, since] = [0, Date.now()];
    else if (__privateGet(this, _over2)) break;
    else if (Date.now() - since > __privateGet(this, _limits).windowMs) this.fail("nothing could be sent for longer than the server keeps the connection");
    else await __privateGet(this, _pauses).sleep(Math.max(retryAfterMs, jittered(failures++, __privateGet(this, _setup).backoff)));
  }
  __privateSet(this, _pumping, false);
  if (__privateGet(this, _closing) && !__privateGet(this, _over2) && !__privateGet(this, _left)) await __privateMethod(this, _Session_instances, sendClose_fn).call(this, __privateGet(this, _closing));
};
sendSome_fn = async function() {
  const { messageBytes, batchBytes } = __privateGet(this, _limits);
  try {
    await this.outbox.load();
  } catch {
    this.fail("a Blob could not be read");
    return 0;
  }
  if (__privateGet(this, _over2) || __privateGet(this, _left)) return 0;
  const batch = this.outbox.batch(batchBytes, messageBytes);
  if (!batch.count) {
    __privateMethod(this, _Session_instances, tooBig_fn).call(this);
    return 0;
  }
  const answered = new AbortController();
  const stop = () => answered.abort();
  __privateGet(this, _abort).signal.addEventListener("abort", stop);
  __privateSet(this, _inFlight, { last: batch.last, answered });
  const { status, body, retryAfterMs } = await __privateGet(this, _requests).send(batch.json, __privateGet(this, _lastId), answered.signal);
  __privateSet(this, _inFlight, null);
  __privateGet(this, _abort).signal.removeEventListener("abort", stop);
  if (__privateGet(this, _over2) || __privateGet(this, _left)) return 0;
  if ((status === 200 || status === 409) && Number.isInteger(body?.acked)) {
    if (body.acked < this.outbox.acked && status === 409) this.fail("the server lost messages it had acknowledged");
    else __privateMethod(this, _Session_instances, acknowledged_fn).call(this, body.acked);
  } else if (status === 413) __privateMethod(this, _Session_instances, tooBig_fn).call(this);
  else if (isGone(status)) this.fail("the server does not know the connection any more");
  else if (status !== 200 && !isPassing(status)) this.fail(`a message was answered with ${status}`);
  return retryAfterMs;
};
/** RFC 6455, 7.4.1: 1009. A server that got it would close so; it is not made to take it all first. */
tooBig_fn = function() {
  const reason = "Message too big";
  __privateGet(this, _setup).listener.closing();
  __privateMethod(this, _Session_instances, end_fn).call(this, TOO_BIG, reason, null);
  void __privateGet(this, _requests).close({ code: TOO_BIG, reason }, this.outbox.acked);
};
sendClose_fn = async function(close) {
  const since = Date.now();
  __privateSet(this, _closeTried, true);
  for (let failures = 0; !__privateGet(this, _over2) && !__privateGet(this, _left); failures++) {
    const { status, retryAfterMs } = await __privateGet(this, _requests).close(close, this.outbox.last, __privateGet(this, _abort).signal);
    if (__privateGet(this, _over2) || __privateGet(this, _left)) return;
    if (status >= 200 && status < 300 || status === 404 || status === 410) return __privateMethod(this, _Session_instances, closedByUs_fn).call(this);
    if (!isPassing(status) || Date.now() - since > __privateGet(this, _limits).windowMs) return __privateMethod(this, _Session_instances, end_fn).call(this, ABNORMAL, "", "the close could not be sent");
    await __privateGet(this, _pauses).sleep(Math.max(retryAfterMs, jittered(failures, __privateGet(this, _setup).backoff)));
  }
};
closedByUs_fn = function() {
  __privateMethod(this, _Session_instances, end_fn).call(this, __privateGet(this, _closing)?.code ?? 1005, __privateGet(this, _closing)?.reason ?? "", null);
};
/** The page goes away, perhaps to come back from the browser's cache of pages: the connection does not. */
leave_fn = function() {
  if (__privateGet(this, _over2) || __privateGet(this, _left)) return;
  __privateSet(this, _left, true);
  const { json } = this.outbox.batch(BEACON_BYTES, BEACON_BYTES);
  __privateGet(this, _requests).beacon({ code: __privateGet(this, _closing)?.code ?? GOING_AWAY, reason: __privateGet(this, _closing)?.reason ?? "" }, json);
  __privateGet(this, _abort).abort();
  __privateGet(this, _pauses).wake();
};
back_fn = function() {
  if (__privateGet(this, _left)) __privateMethod(this, _Session_instances, end_fn).call(this, ABNORMAL, "", "the page had gone away");
};
var positive = (value, otherwise) => typeof value === "number" && value > 0 ? value : otherwise;

// src/values.js
var MAX_REASON_BYTES = 123;
var TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
var fail = (message, name) => {
  throw new DOMException(message, name);
};
function webSocketUrl(url) {
  const scope = (
    /** @type {any} */
    globalThis
  );
  const base = scope.document?.baseURI ?? scope.location?.href;
  let parsed3;
  try {
    parsed3 = new URL(wellFormed(String(url)), base);
  } catch {
    return fail(`The URL '${shown(url)}' is invalid.`, "SyntaxError");
  }
  const scheme = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[parsed3.protocol];
  if (!scheme) return fail(`The URL's scheme must be 'http', 'https', 'ws' or 'wss', not '${parsed3.protocol}'.`, "SyntaxError");
  if (parsed3.href.includes("#")) return fail("A WebSocket URL has no fragment ('#\u2026').", "SyntaxError");
  return new URL(scheme + parsed3.href.slice(parsed3.protocol.length));
}
var shown = (url) => String(url).split(/[?#]/, 1)[0];
function subProtocols(protocols) {
  if (protocols === void 0) return [];
  const iterable = typeof protocols === "object" && protocols !== null && Symbol.iterator in protocols;
  const list = iterable ? Array.from(
    /** @type {Iterable<unknown>} */
    protocols,
    String
  ) : [String(protocols)];
  for (const protocol of list) {
    if (!TOKEN.test(protocol)) fail(`The subprotocol '${protocol}' is invalid.`, "SyntaxError");
  }
  if (new Set(list).size !== list.length) fail("A subprotocol is given twice.", "SyntaxError");
  return list;
}
function closeArguments(code, reason) {
  const text = reason === void 0 ? "" : wellFormed(String(reason));
  const number = code === void 0 ? null : clamped(code);
  if (number !== null && number !== 1e3 && !(number >= 3e3 && number <= 4999)) {
    fail(`The close code must be 1000 or between 3000 and 4999, not ${number}.`, "InvalidAccessError");
  }
  if (utf8Length(text) > MAX_REASON_BYTES) fail(`The close reason is longer than ${MAX_REASON_BYTES} bytes.`, "SyntaxError");
  return { code: number ?? (text ? 1e3 : null), reason: text };
}
function clamped(value) {
  const number = Math.min(Math.max(Number(value), 0), 65535);
  if (Number.isNaN(number)) return 0;
  const floor = Math.floor(number);
  const rest = number - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest < 0.5 ? floor : floor + 1;
}
function serviceUrl(url, baseUrl) {
  const plain = new URL(url.href);
  plain.search = "";
  const address = plain.href;
  let mapped = address.replace(/^ws/, "http");
  if (typeof baseUrl === "function") mapped = String(baseUrl(new URL(url.href)));
  else if (typeof baseUrl === "string") mapped = joined(baseUrl, plain.pathname);
  else if (baseUrl) {
    const prefixes = Object.keys(baseUrl).filter((prefix) => startsWith(address, prefix));
    const longest = prefixes.sort((a, b) => b.length - a.length)[0];
    if (longest !== void 0) mapped = joined(baseUrl[longest], address.slice(trimmed(longest).length));
  }
  let target;
  try {
    target = new URL(
      mapped,
      /** @type {any} */
      globalThis.location?.href
    );
  } catch {
    return fail(`baseUrl gives '${shown(mapped)}', which is no URL.`, "SyntaxError");
  }
  if (!/^https?:$/.test(target.protocol)) fail("baseUrl must give an http: or https: URL.", "SyntaxError");
  target.search = "";
  target.hash = "";
  return target;
}
var trimmed = (text) => text.replace(/\/+$/, "");
var joined = (base, rest) => trimmed(base) + (rest && !rest.startsWith("/") ? `/${rest}` : rest);
function startsWith(address, prefix) {
  const start = trimmed(prefix);
  return address === start || address.startsWith(`${start}/`);
}

// src/index.js
var CONNECTING = 0;
var OPEN = 1;
var CLOSING = 2;
var CLOSED = 3;
var DEFAULTS = {
  credentials: (
    /** @type {RequestCredentials} */
    "same-origin"
  ),
  backoff: { baseMs: 250, capMs: 8e3 },
  openTimeoutMs: 3e4,
  requestTimeoutMs: 3e4,
  maxBufferedBytes: 64 * 1024 * 1024
};
var _url, _session, _state, _buffered, _protocol, _binaryType, _handlers, _maxBuffered, _SseWebSocket_instances, opened_fn, received_fn, closed_fn2;
var _SseWebSocket = class _SseWebSocket extends EventTarget {
  /**
   * @param {string | URL} url
   * @param {string | string[]} [protocols]
   * @param {import("../types/index.d.ts").SseWebSocketOptions} [options]
   */
  constructor(url, protocols, options = {}) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.");
    super();
    __privateAdd(this, _SseWebSocket_instances);
    __privateAdd(this, _url);
    __privateAdd(this, _session);
    __privateAdd(this, _state, CONNECTING);
    __privateAdd(this, _buffered, 0);
    __privateAdd(this, _protocol, "");
    /** @type {BinaryType} */
    __privateAdd(this, _binaryType, "blob");
    __privateAdd(this, _handlers, new Handlers());
    __privateAdd(this, _maxBuffered);
    __privateSet(this, _url, webSocketUrl(url));
    const offered = subProtocols(protocols);
    __privateSet(this, _maxBuffered, options.maxBufferedBytes ?? DEFAULTS.maxBufferedBytes);
    const own = options.fetch;
    __privateSet(this, _session, new Session({
      url: serviceUrl(__privateGet(this, _url), options.baseUrl),
      query: __privateGet(this, _url).search.slice(1),
      protocols: offered,
      token: options.token,
      headers: options.headers ?? {},
      credentials: options.credentials ?? DEFAULTS.credentials,
      backoff: { ...DEFAULTS.backoff, ...options.backoff },
      openMs: options.openTimeoutMs ?? DEFAULTS.openTimeoutMs,
      requestMs: options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs,
      // Looked up at each call, so that a page that wraps fetch later is heard; fetch wants no other `this`.
      fetch: (input, init) => (own ?? globalThis.fetch)(input, init),
      listener: {
        open: (protocol) => __privateMethod(this, _SseWebSocket_instances, opened_fn).call(this, protocol),
        message: (data) => __privateMethod(this, _SseWebSocket_instances, received_fn).call(this, data),
        acknowledged: (bytes) => void __privateSet(this, _buffered, __privateGet(this, _buffered) - bytes),
        // No event of WebSocket: for SwitchingWebSocket, and whoever else wants to know.
        told: (facts) => void this.dispatchEvent(new MessageEvent("transport", { data: facts })),
        closing: () => void __privateSet(this, _state, CLOSING),
        closed: (code, reason, error) => __privateMethod(this, _SseWebSocket_instances, closed_fn2).call(this, code, reason, error)
      }
    }));
  }
  get url() {
    return __privateGet(this, _url).href;
  }
  get readyState() {
    return __privateGet(this, _state);
  }
  get bufferedAmount() {
    return __privateGet(this, _buffered);
  }
  get extensions() {
    return "";
  }
  get protocol() {
    return __privateGet(this, _protocol);
  }
  get binaryType() {
    return __privateGet(this, _binaryType);
  }
  set binaryType(value) {
    if (String(value) === "blob" || String(value) === "arraybuffer") __privateSet(
      this,
      _binaryType,
      /** @type {BinaryType} */
      String(value)
    );
  }
  /** @param {string | ArrayBuffer | ArrayBufferView | Blob} data */
  send(data) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.");
    const payload = converted(data);
    if (__privateGet(this, _state) === CONNECTING) throw new DOMException("Still in CONNECTING state.", "InvalidStateError");
    const bytes = typeof payload === "string" ? utf8Length(payload) : payload instanceof Uint8Array ? payload.byteLength : payload.size;
    __privateSet(this, _buffered, __privateGet(this, _buffered) + bytes);
    if (__privateGet(this, _state) !== OPEN) return;
    if (__privateGet(this, _session).outbox.bytes + bytes > __privateGet(this, _maxBuffered)) {
      __privateSet(this, _state, CLOSING);
      void Promise.resolve().then(() => __privateGet(this, _session).fail("more is buffered than maxBufferedBytes"));
      return;
    }
    if (typeof payload === "string") __privateGet(this, _session).outbox.text(payload, bytes);
    else if (payload instanceof Uint8Array) __privateGet(this, _session).outbox.binary(payload);
    else __privateGet(this, _session).outbox.blob(payload);
    __privateGet(this, _session).kick();
  }
  /** @param {number} [code] @param {string} [reason] */
  close(code, reason) {
    const close = closeArguments(code, reason);
    if (__privateGet(this, _state) >= CLOSING) return;
    __privateSet(this, _state, CLOSING);
    __privateGet(this, _session).close(close.code, close.reason);
  }
};
_url = new WeakMap();
_session = new WeakMap();
_state = new WeakMap();
_buffered = new WeakMap();
_protocol = new WeakMap();
_binaryType = new WeakMap();
_handlers = new WeakMap();
_maxBuffered = new WeakMap();
_SseWebSocket_instances = new WeakSet();
opened_fn = function(protocol) {
  if (__privateGet(this, _state) !== CONNECTING) return;
  __privateSet(this, _state, OPEN);
  __privateSet(this, _protocol, protocol);
  this.dispatchEvent(new Event("open"));
};
received_fn = function(message) {
  if (__privateGet(this, _state) !== OPEN) return;
  const data = typeof message === "string" ? message : __privateGet(this, _binaryType) === "blob" ? new Blob([message]) : message.buffer;
  this.dispatchEvent(new MessageEvent("message", { data, origin: `${__privateGet(this, _url).protocol}//${__privateGet(this, _url).host}` }));
};
closed_fn2 = function(code, reason, error) {
  __privateSet(this, _state, CLOSED);
  if (error !== null) this.dispatchEvent(errorEvent(error));
  this.dispatchEvent(new CloseEventClass("close", { wasClean: error === null, code, reason }));
};
/** onopen, onmessage, onerror, onclose: see below. */
(() => {
  for (const type of ["open", "message", "error", "close"]) {
    Object.defineProperty(_SseWebSocket.prototype, `on${type}`, {
      get() {
        return __privateGet(this, _handlers).get(type);
      },
      set(value) {
        __privateGet(this, _handlers).set(this, type, value);
      },
      enumerable: true,
      configurable: true
    });
  }
  for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
    Object.defineProperty(_SseWebSocket, name, { value, enumerable: true });
    Object.defineProperty(_SseWebSocket.prototype, name, { value, enumerable: true });
  }
  for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(_SseWebSocket.prototype))) {
    if (name !== "constructor") Object.defineProperty(_SseWebSocket.prototype, name, { ...member, enumerable: true });
  }
  Object.defineProperty(_SseWebSocket.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true });
})();
var SseWebSocket = _SseWebSocket;
function converted(data) {
  if (data instanceof Blob) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  if (ArrayBuffer.isView(data)) {
    if (!(data.buffer instanceof ArrayBuffer)) throw new TypeError("A view of shared memory cannot be sent.");
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  }
  return wellFormed(String(data));
}

// src/ask.js
function told(body, feature) {
  if (body?.feature !== feature || body.transport !== "websocket" && body.transport !== "sse") return null;
  const pollAfterMs = Number(body.pollAfterMs);
  return { transport: body.transport, epoch: Number(body.epoch) || 0, pollAfterMs: pollAfterMs > 0 ? pollAfterMs : 3e4 };
}
async function ask({ url, feature, token, credentials, fetch, timeoutMs }) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  try {
    const target = new URL(url);
    target.searchParams.set("feature", feature);
    const headers = new Headers({ accept: "application/json" });
    if (token) headers.set("authorization", `Bearer ${await token()}`);
    const response = await fetch(target.href, { headers, credentials, cache: "no-store", redirect: "error", signal: abort.signal });
    return response.ok ? told(await response.json(), feature) : null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

// src/overlap.js
var _identity, _alone, _held, _Overlap_instances, isCopy_fn, key_fn;
var Overlap = class {
  constructor(identity) {
    __privateAdd(this, _Overlap_instances);
    __privateAdd(this, _identity);
    /** @type {Map<unknown, number[]>} times of the old connection's frames whose copy the new one has not brought */
    __privateAdd(this, _alone, /* @__PURE__ */ new Map());
    /** @type {{key: unknown, data: Data}[]} the new connection's frames that the old one has not brought */
    __privateAdd(this, _held, []);
    __privateSet(this, _identity, identity);
  }
  /** A frame of the old connection, which is to be delivered. */
  old(data, now) {
    const key = __privateMethod(this, _Overlap_instances, key_fn).call(this, data);
    if (key === null) return;
    const at = __privateGet(this, _held).findIndex((frame) => frame.key === key);
    if (at >= 0) __privateGet(this, _held).splice(at, 1);
    else if (__privateGet(this, _alone).has(key)) __privateGet(this, _alone).get(key).push(now);
    else __privateGet(this, _alone).set(key, [now]);
  }
  /** A frame of the new connection while the old one still delivers. */
  held(data) {
    const key = __privateMethod(this, _Overlap_instances, key_fn).call(this, data);
    if (!__privateMethod(this, _Overlap_instances, isCopy_fn).call(this, key)) __privateGet(this, _held).push({ key, data });
  }
  /** What waited, when the old connection delivers no more. @returns {Data[]} */
  release() {
    return __privateGet(this, _held).splice(0).map((frame) => frame.data);
  }
  /** A frame of the new connection after that. Whether it is to be delivered. */
  late(data) {
    return !__privateMethod(this, _Overlap_instances, isCopy_fn).call(this, __privateMethod(this, _Overlap_instances, key_fn).call(this, data));
  }
  /** Whether the old connection has brought everything that the new one has: what was sent before that is there, too. */
  get isLevel() {
    return __privateGet(this, _held).length === 0;
  }
  /** Whether the old connection got, since `from` and at least `ripe` before `now`, what the new one did not: an answer. */
  isAlone(from, now, ripe, within) {
    for (const times of __privateGet(this, _alone).values()) {
      const last = times[times.length - 1];
      if (last >= from && now - last >= ripe && now - last < ripe + within) return true;
    }
    return false;
  }
};
_identity = new WeakMap();
_alone = new WeakMap();
_held = new WeakMap();
_Overlap_instances = new WeakSet();
isCopy_fn = function(key) {
  const times = key === null ? void 0 : __privateGet(this, _alone).get(key);
  if (!times) return false;
  times.shift();
  if (!times.length) __privateGet(this, _alone).delete(key);
  return true;
};
key_fn = function(data) {
  return __privateGet(this, _identity).call(this, data);
};
var byContent = (data) => typeof data === "string" ? `t${data}` : `b${Array.from(new Uint8Array(data), (byte) => String.fromCharCode(byte)).join("")}`;

// src/switching.js
var CONNECTING2 = 0;
var OPEN2 = 1;
var CLOSING2 = 2;
var CLOSED2 = 3;
var DEFAULTS2 = { settleMs: 1e3, patienceMs: 3e3, limitMs: 7e3, lateMs: 5e3, spreadMs: 1e3, closeMs: 5e3, askTimeoutMs: 5e3, openTimeoutMs: 3e4 };
var LOOK_MS = 50;
var COPY_MS = 250;
var RETRY = { baseMs: 5e3, capMs: 6e4 };
var PASSING = /* @__PURE__ */ new Set([1001, 1005, 1006, 1011, 1012, 1013]);
var other = (kind) => kind === "sse" ? "websocket" : "sse";
var _urls, _protocols, _options, _times, _handlers2, _state2, _binaryType2, _protocol2, _wanted, _epoch, _current, _next, _overlap, _late, _isHolding, _isLeaving, _queue, _queuedBytes, _failures, _notBefore, _close, _timers, _poll, _SwitchingWebSocket_instances, start_fn, open_fn, leg_fn, pollAfter_fn, take_fn2, reconcile_fn, move_fn, failed_fn, abandon_fn, look_fn, leave_fn2, arrive_fn, release_fn, pass_fn, deliver_fn, dispatch_fn, ended_fn, closeNow_fn, end_fn2, after_fn, forget_fn;
var _SwitchingWebSocket = class _SwitchingWebSocket extends EventTarget {
  /**
   * @param {string | URL | {websocket: string | URL, sse: string | URL}} urls
   * @param {string | string[]} [protocols]
   * @param {import("../types/index.d.ts").SwitchingOptions} [options]
   */
  constructor(urls, protocols, options) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.");
    super();
    __privateAdd(this, _SwitchingWebSocket_instances);
    __privateAdd(this, _urls);
    __privateAdd(this, _protocols);
    __privateAdd(this, _options);
    __privateAdd(this, _times);
    __privateAdd(this, _handlers2, new Handlers());
    __privateAdd(this, _state2, CONNECTING2);
    /** @type {BinaryType} */
    __privateAdd(this, _binaryType2, "blob");
    __privateAdd(this, _protocol2, "");
    /** @type {Kind} */
    __privateAdd(this, _wanted);
    __privateAdd(this, _epoch, 0);
    /** @type {Leg | null} whose frames are handed over, and that is sent to */
    __privateAdd(this, _current, null);
    /** @type {Leg | null} */
    __privateAdd(this, _next, null);
    /** @type {Overlap | null} */
    __privateAdd(this, _overlap, null);
    /** @type {{overlap: Overlap, until: number} | null} after a move: copies that are still on their way */
    __privateAdd(this, _late, null);
    /** Sends are kept: the one connection takes none any more, the other one none yet. */
    __privateAdd(this, _isHolding, false);
    __privateAdd(this, _isLeaving, false);
    /** @type {(string | Uint8Array<ArrayBuffer> | Blob)[]} */
    __privateAdd(this, _queue, []);
    __privateAdd(this, _queuedBytes, 0);
    __privateAdd(this, _failures, 0);
    __privateAdd(this, _notBefore, 0);
    /** @type {{code: number | null, reason: string} | null} */
    __privateAdd(this, _close, null);
    /** @type {Set<ReturnType<typeof setTimeout>>} */
    __privateAdd(this, _timers, /* @__PURE__ */ new Set());
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    __privateAdd(this, _poll);
    if (!options?.feature) throw new TypeError("options.feature is required: the name of the feature's flag");
    const pair = typeof urls === "object" && "websocket" in urls ? urls : { websocket: urls, sse: urls };
    __privateSet(this, _urls, { websocket: webSocketUrl(pair.websocket), sse: webSocketUrl(pair.sse) });
    __privateSet(this, _protocols, subProtocols(protocols));
    __privateSet(this, _times, { ...DEFAULTS2, ...options });
    const token = options.token ?? fromQuery(__privateGet(this, _urls).sse, options.tokenParameter ?? "token");
    const own = options.fetch;
    __privateSet(this, _options, {
      ...options,
      token,
      setup: {
        url: options.transportUrl ? String(options.transportUrl) : new URL("/api/transport", serviceUrl(__privateGet(this, _urls).sse, options.baseUrl)).href,
        feature: options.feature,
        token,
        credentials: options.credentials ?? /** @type {RequestCredentials} */
        "same-origin",
        fetch: (
          /** @type {typeof globalThis.fetch} */
          ((input, init) => (own ?? globalThis.fetch)(input, init))
        ),
        timeoutMs: __privateGet(this, _times).askTimeoutMs
      }
    });
    __privateSet(this, _wanted, options.fallback ?? "websocket");
    void __privateMethod(this, _SwitchingWebSocket_instances, start_fn).call(this);
  }
  /** The present connection's. */
  get url() {
    return __privateGet(this, _urls)[__privateGet(this, _current)?.kind ?? __privateGet(this, _wanted)].href;
  }
  get readyState() {
    return __privateGet(this, _state2);
  }
  get bufferedAmount() {
    return __privateGet(this, _queuedBytes) + (__privateGet(this, _current)?.socket.bufferedAmount ?? 0);
  }
  get extensions() {
    return __privateGet(this, _current)?.socket.extensions ?? "";
  }
  get protocol() {
    return __privateGet(this, _protocol2);
  }
  /** "websocket" or "sse": what it is on now; null before it is open. */
  get transport() {
    return __privateGet(this, _state2) === CONNECTING2 ? null : __privateGet(this, _current)?.kind ?? null;
  }
  get binaryType() {
    return __privateGet(this, _binaryType2);
  }
  set binaryType(value) {
    if (String(value) === "blob" || String(value) === "arraybuffer") __privateSet(
      this,
      _binaryType2,
      /** @type {BinaryType} */
      String(value)
    );
  }
  /** @param {string | ArrayBuffer | ArrayBufferView | Blob} data */
  send(data) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.");
    if (__privateGet(this, _state2) === CONNECTING2) throw new DOMException("Still in CONNECTING state.", "InvalidStateError");
    const payload = copied(data);
    if (__privateGet(this, _state2) !== OPEN2) return;
    if (__privateGet(this, _isHolding) || __privateGet(this, _queue).length) {
      __privateGet(this, _queue).push(payload);
      __privateSet(this, _queuedBytes, __privateGet(this, _queuedBytes) + sizeOf(payload));
    } else __privateMethod(this, _SwitchingWebSocket_instances, pass_fn).call(this, payload);
  }
  /** @param {number} [code] @param {string} [reason] */
  close(code, reason) {
    const close = closeArguments(code, reason);
    if (__privateGet(this, _state2) >= CLOSING2) return;
    const wasOpen = __privateGet(this, _state2) === OPEN2;
    __privateSet(this, _state2, CLOSING2);
    __privateSet(this, _close, close);
    if (!wasOpen) return void Promise.resolve().then(() => __privateMethod(this, _SwitchingWebSocket_instances, end_fn2).call(this, 1006, "", "it was closed before it was open"));
    if (!__privateGet(this, _isLeaving)) __privateMethod(this, _SwitchingWebSocket_instances, closeNow_fn).call(this);
  }
};
_urls = new WeakMap();
_protocols = new WeakMap();
_options = new WeakMap();
_times = new WeakMap();
_handlers2 = new WeakMap();
_state2 = new WeakMap();
_binaryType2 = new WeakMap();
_protocol2 = new WeakMap();
_wanted = new WeakMap();
_epoch = new WeakMap();
_current = new WeakMap();
_next = new WeakMap();
_overlap = new WeakMap();
_late = new WeakMap();
_isHolding = new WeakMap();
_isLeaving = new WeakMap();
_queue = new WeakMap();
_queuedBytes = new WeakMap();
_failures = new WeakMap();
_notBefore = new WeakMap();
_close = new WeakMap();
_timers = new WeakMap();
_poll = new WeakMap();
_SwitchingWebSocket_instances = new WeakSet();
start_fn = async function() {
  const answer = await ask(__privateGet(this, _options).setup);
  if (__privateGet(this, _state2) !== CONNECTING2) return;
  if (answer) __privateMethod(this, _SwitchingWebSocket_instances, take_fn2).call(this, answer);
  __privateMethod(this, _SwitchingWebSocket_instances, pollAfter_fn).call(this, answer?.pollAfterMs ?? 3e4);
  __privateMethod(this, _SwitchingWebSocket_instances, open_fn).call(this, __privateGet(this, _wanted), __privateGet(this, _wanted));
};
/** The first connection; where it cannot be had, the other kind. @param {Kind} kind @param {Kind} first */
open_fn = function(kind, first) {
  let problem = "the connection could not be opened";
  const leg = __privateMethod(this, _SwitchingWebSocket_instances, leg_fn).call(this, kind, {
    open: () => {
      if (__privateGet(this, _state2) !== CONNECTING2) return leg.socket.close(1e3);
      __privateSet(this, _current, leg);
      __privateSet(this, _state2, OPEN2);
      __privateSet(this, _protocol2, leg.socket.protocol);
      this.dispatchEvent(new Event("open"));
      __privateMethod(this, _SwitchingWebSocket_instances, reconcile_fn).call(this);
    },
    message: (data) => __privateGet(this, _current) === leg && __privateMethod(this, _SwitchingWebSocket_instances, deliver_fn).call(this, data),
    error: (message) => void (problem = message || problem),
    close: (event) => {
      if (__privateGet(this, _current) === leg) return __privateMethod(this, _SwitchingWebSocket_instances, ended_fn).call(this, leg, event);
      if (__privateGet(this, _state2) !== CONNECTING2) return;
      if (kind === first) {
        __privateMethod(this, _SwitchingWebSocket_instances, failed_fn).call(this);
        __privateMethod(this, _SwitchingWebSocket_instances, open_fn).call(this, other(kind), first);
      } else __privateMethod(this, _SwitchingWebSocket_instances, end_fn2).call(this, event.code, event.reason, problem);
    }
  });
};
/**
 * @param {Kind} kind
 * @param {{open(): unknown, message(data: string | ArrayBuffer): unknown, error?(message: string): void, close(event: CloseEvent): void}} on
 * @returns {Leg}
 */
leg_fn = function(kind, on) {
  let socket;
  if (kind === "sse") {
    const { token, baseUrl, fetch, headers, credentials, backoff, requestTimeoutMs, maxBufferedBytes, openTimeoutMs } = __privateGet(this, _options);
    const options = { token, baseUrl, fetch, headers, credentials, backoff, requestTimeoutMs, maxBufferedBytes, openTimeoutMs };
    socket = new SseWebSocket(__privateGet(this, _urls).sse, __privateGet(this, _protocols), options);
    socket.addEventListener("transport", (event) => {
      const answer = told(parsed2(event.data), __privateGet(this, _options).feature);
      if (answer && __privateGet(this, _state2) < CLOSING2) __privateMethod(this, _SwitchingWebSocket_instances, take_fn2).call(this, answer, Math.random() * __privateGet(this, _times).spreadMs);
    });
  } else {
    const Native = __privateGet(this, _options).WebSocket ?? globalThis.WebSocket;
    try {
      socket = new Native(__privateGet(this, _urls).websocket, __privateGet(this, _protocols));
    } catch {
      socket = never();
    }
  }
  socket.binaryType = "arraybuffer";
  const leg = { kind, socket, openedAt: 0, sentAt: 0 };
  const timer = __privateMethod(this, _SwitchingWebSocket_instances, after_fn).call(this, __privateGet(this, _times).openTimeoutMs, () => socket.readyState === CONNECTING2 && socket.close());
  socket.addEventListener("open", () => {
    __privateMethod(this, _SwitchingWebSocket_instances, forget_fn).call(this, timer);
    leg.openedAt = Date.now();
    on.open();
  });
  socket.addEventListener("message", (event) => on.message(event.data));
  socket.addEventListener("error", (event) => on.error?.(event.message));
  socket.addEventListener("close", (event) => {
    __privateMethod(this, _SwitchingWebSocket_instances, forget_fn).call(this, timer);
    on.close(event);
  });
  return leg;
};
// What the flags say ---------------------------------------------------------------------------------------
pollAfter_fn = function(ms) {
  clearTimeout(__privateGet(this, _poll));
  __privateSet(this, _poll, setTimeout(async () => {
    const answer = await ask(__privateGet(this, _options).setup);
    if (__privateGet(this, _state2) >= CLOSING2) return;
    if (answer) __privateMethod(this, _SwitchingWebSocket_instances, take_fn2).call(this, answer);
    __privateMethod(this, _SwitchingWebSocket_instances, pollAfter_fn).call(this, answer?.pollAfterMs ?? 3e4);
  }, ms * (0.8 + 0.4 * Math.random())));
};
take_fn2 = function(answer, delayMs = 0) {
  if (answer.epoch < __privateGet(this, _epoch)) return;
  if (answer.epoch > __privateGet(this, _epoch)) __privateSet(this, _notBefore, 0);
  __privateSet(this, _epoch, answer.epoch);
  __privateSet(this, _wanted, answer.transport);
  if (__privateGet(this, _state2) !== OPEN2) return;
  if (delayMs) __privateMethod(this, _SwitchingWebSocket_instances, after_fn).call(this, delayMs, () => __privateMethod(this, _SwitchingWebSocket_instances, reconcile_fn).call(this));
  else __privateMethod(this, _SwitchingWebSocket_instances, reconcile_fn).call(this);
};
reconcile_fn = function() {
  if (__privateGet(this, _state2) !== OPEN2 || !__privateGet(this, _current) || __privateGet(this, _isLeaving)) return;
  if (__privateGet(this, _next)) {
    if (__privateGet(this, _next).kind !== __privateGet(this, _wanted)) __privateMethod(this, _SwitchingWebSocket_instances, abandon_fn).call(this);
    return;
  }
  if (__privateGet(this, _current).kind === __privateGet(this, _wanted)) return;
  const wait = __privateGet(this, _notBefore) - Date.now();
  if (wait > 0) __privateMethod(this, _SwitchingWebSocket_instances, after_fn).call(this, wait, () => __privateMethod(this, _SwitchingWebSocket_instances, reconcile_fn).call(this));
  else __privateMethod(this, _SwitchingWebSocket_instances, move_fn).call(this, __privateGet(this, _wanted));
};
// Moving ---------------------------------------------------------------------------------------------------
move_fn = function(kind) {
  const overlap = __privateSet(this, _overlap, new Overlap(__privateGet(this, _options).identity ?? byContent));
  const leg = __privateMethod(this, _SwitchingWebSocket_instances, leg_fn).call(this, kind, {
    open: () => __privateGet(this, _next) === leg && __privateMethod(this, _SwitchingWebSocket_instances, look_fn).call(this, leg, overlap),
    message: (data) => {
      if (__privateGet(this, _next) === leg || __privateGet(this, _isLeaving)) overlap.held(data);
      else if (__privateGet(this, _current) === leg) __privateMethod(this, _SwitchingWebSocket_instances, deliver_fn).call(this, data);
    },
    close: (event) => {
      if (__privateGet(this, _current) === leg) return __privateMethod(this, _SwitchingWebSocket_instances, ended_fn).call(this, leg, event);
      if (__privateGet(this, _next) !== leg) return;
      if (__privateGet(this, _isLeaving)) return __privateMethod(this, _SwitchingWebSocket_instances, end_fn2).call(this, event.code, event.reason, "the connection was lost");
      __privateMethod(this, _SwitchingWebSocket_instances, failed_fn).call(this);
      __privateMethod(this, _SwitchingWebSocket_instances, abandon_fn).call(this);
      __privateMethod(this, _SwitchingWebSocket_instances, reconcile_fn).call(this);
    }
  });
  __privateSet(this, _next, leg);
};
failed_fn = function() {
  const bound = Math.min(RETRY.capMs, RETRY.baseMs * 2 ** __privateWrapper(this, _failures)._++);
  __privateSet(this, _notBefore, Date.now() + bound * (0.5 + 0.5 * Math.random()));
};
/** Stay where it is. */
abandon_fn = function() {
  const next = __privateGet(this, _next);
  __privateSet(this, _next, __privateSet(this, _overlap, null));
  __privateMethod(this, _SwitchingWebSocket_instances, release_fn).call(this);
  next?.socket.close(1e3);
};
/** Whether the present connection can be closed now; else it is looked at again. */
look_fn = function(next, overlap) {
  const current = __privateGet(this, _current);
  if (__privateGet(this, _next) !== next || !current || __privateGet(this, _state2) !== OPEN2) return;
  const { settleMs, patienceMs, limitMs } = __privateGet(this, _times);
  const now = Date.now();
  const since = now - next.openedAt;
  const isSent = current.socket.bufferedAmount === 0 && now - current.sentAt >= settleMs;
  const isDone = isSent && since >= settleMs + COPY_MS && overlap.isLevel && !overlap.isAlone(next.openedAt, now, COPY_MS, settleMs);
  __privateSet(this, _isHolding, since >= patienceMs);
  if (isDone || since >= limitMs) __privateMethod(this, _SwitchingWebSocket_instances, leave_fn2).call(this, next, current, overlap);
  else __privateMethod(this, _SwitchingWebSocket_instances, after_fn).call(this, LOOK_MS, () => __privateMethod(this, _SwitchingWebSocket_instances, look_fn).call(this, next, overlap));
};
leave_fn2 = function(next, current, overlap) {
  __privateSet(this, _isHolding, __privateSet(this, _isLeaving, true));
  const timer = __privateMethod(this, _SwitchingWebSocket_instances, after_fn).call(this, __privateGet(this, _times).closeMs, () => __privateMethod(this, _SwitchingWebSocket_instances, arrive_fn).call(this, next, overlap));
  current.socket.addEventListener("close", () => {
    __privateMethod(this, _SwitchingWebSocket_instances, forget_fn).call(this, timer);
    __privateMethod(this, _SwitchingWebSocket_instances, arrive_fn).call(this, next, overlap);
  });
  current.socket.close(1e3);
};
arrive_fn = function(next, overlap) {
  if (__privateGet(this, _next) !== next) return;
  __privateSet(this, _isLeaving, false);
  __privateSet(this, _current, next);
  __privateSet(this, _next, __privateSet(this, _overlap, null));
  __privateSet(this, _failures, 0);
  __privateSet(this, _late, { overlap, until: Date.now() + __privateGet(this, _times).lateMs });
  for (const data of overlap.release()) __privateMethod(this, _SwitchingWebSocket_instances, dispatch_fn).call(this, data);
  if (next.socket.readyState >= CLOSING2) return;
  this.dispatchEvent(new CustomEvent("transport", { detail: { transport: next.kind, epoch: __privateGet(this, _epoch) } }));
  __privateMethod(this, _SwitchingWebSocket_instances, release_fn).call(this);
  if (__privateGet(this, _close)) __privateMethod(this, _SwitchingWebSocket_instances, closeNow_fn).call(this);
  else __privateMethod(this, _SwitchingWebSocket_instances, reconcile_fn).call(this);
};
/** What was kept goes out. */
release_fn = function() {
  __privateSet(this, _isHolding, false);
  for (const payload of __privateGet(this, _queue).splice(0)) __privateMethod(this, _SwitchingWebSocket_instances, pass_fn).call(this, payload);
  __privateSet(this, _queuedBytes, 0);
};
pass_fn = function(payload) {
  if (!__privateGet(this, _current)) return;
  __privateGet(this, _current).sentAt = Date.now();
  __privateGet(this, _current).socket.send(payload);
};
// Frames ---------------------------------------------------------------------------------------------------
deliver_fn = function(data) {
  if (__privateGet(this, _overlap)) __privateGet(this, _overlap).old(data, Date.now());
  else if (__privateGet(this, _late)) {
    if (Date.now() > __privateGet(this, _late).until) __privateSet(this, _late, null);
    else if (!__privateGet(this, _late).overlap.late(data)) return;
  }
  __privateMethod(this, _SwitchingWebSocket_instances, dispatch_fn).call(this, data);
};
dispatch_fn = function(data) {
  if (__privateGet(this, _state2) !== OPEN2) return;
  const given = typeof data === "string" || __privateGet(this, _binaryType2) === "arraybuffer" ? data : new Blob([data]);
  const { protocol, host } = __privateGet(this, _urls)[__privateGet(this, _current)?.kind ?? __privateGet(this, _wanted)];
  this.dispatchEvent(new MessageEvent("message", { data: given, origin: `${protocol}//${host}` }));
};
// Ends -----------------------------------------------------------------------------------------------------
/** The present connection was closed, by whomever. */
ended_fn = function(leg, event) {
  const next = __privateGet(this, _next);
  if (__privateGet(this, _isLeaving)) return;
  const isOpen = next?.socket.readyState === OPEN2;
  if (__privateGet(this, _state2) === OPEN2 && next && isOpen && __privateGet(this, _overlap) && PASSING.has(event.code)) {
    const now = Date.now();
    const { settleMs } = __privateGet(this, _times);
    const isSettled = leg.socket.bufferedAmount === 0 && now - leg.sentAt >= settleMs && now - next.openedAt >= settleMs;
    if (isSettled) return __privateMethod(this, _SwitchingWebSocket_instances, arrive_fn).call(this, next, __privateGet(this, _overlap));
  }
  __privateMethod(this, _SwitchingWebSocket_instances, end_fn2).call(this, event.code, event.reason, event.wasClean ? null : "the connection was lost");
};
closeNow_fn = function() {
  __privateMethod(this, _SwitchingWebSocket_instances, release_fn).call(this);
  const { code, reason } = __privateGet(this, _close) ?? { code: null, reason: "" };
  const next = __privateGet(this, _next);
  __privateSet(this, _next, __privateSet(this, _overlap, null));
  next?.socket.close(1e3);
  if (code === null) __privateGet(this, _current)?.socket.close();
  else __privateGet(this, _current)?.socket.close(code, reason);
};
end_fn2 = function(code, reason, error) {
  if (__privateGet(this, _state2) === CLOSED2) return;
  __privateSet(this, _state2, CLOSED2);
  clearTimeout(__privateGet(this, _poll));
  for (const timer of __privateGet(this, _timers)) clearTimeout(timer);
  __privateGet(this, _timers).clear();
  const next = __privateGet(this, _next);
  __privateSet(this, _next, __privateSet(this, _overlap, null));
  next?.socket.close(1e3);
  if (__privateGet(this, _current)?.socket.readyState === OPEN2) __privateGet(this, _current).socket.close(1e3);
  if (error !== null) this.dispatchEvent(errorEvent(error));
  this.dispatchEvent(new CloseEventClass("close", { wasClean: error === null, code, reason }));
};
after_fn = function(ms, run) {
  const timer = setTimeout(() => {
    __privateGet(this, _timers).delete(timer);
    if (__privateGet(this, _state2) !== CLOSED2) run();
  }, ms);
  __privateGet(this, _timers).add(timer);
  return timer;
};
forget_fn = function(timer) {
  clearTimeout(timer);
  __privateGet(this, _timers).delete(timer);
};
(() => {
  for (const type of ["open", "message", "error", "close"]) {
    Object.defineProperty(_SwitchingWebSocket.prototype, `on${type}`, {
      get() {
        return __privateGet(this, _handlers2).get(type);
      },
      set(value) {
        __privateGet(this, _handlers2).set(this, type, value);
      },
      enumerable: true,
      configurable: true
    });
  }
  for (const [name, value] of Object.entries({ CONNECTING: CONNECTING2, OPEN: OPEN2, CLOSING: CLOSING2, CLOSED: CLOSED2 })) {
    Object.defineProperty(_SwitchingWebSocket, name, { value, enumerable: true });
    Object.defineProperty(_SwitchingWebSocket.prototype, name, { value, enumerable: true });
  }
  Object.defineProperty(_SwitchingWebSocket.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true });
})();
var SwitchingWebSocket = _SwitchingWebSocket;
function never() {
  const socket = Object.assign(new EventTarget(), { readyState: CONNECTING2, bufferedAmount: 0, extensions: "", protocol: "", close() {
  } });
  void Promise.resolve().then(() => {
    socket.readyState = CLOSED2;
    socket.dispatchEvent(new CloseEventClass("close", { wasClean: false, code: 1006, reason: "" }));
  });
  return socket;
}
function fromQuery(url, name) {
  const token = url.searchParams.get(name);
  return token ? () => token : void 0;
}
function parsed2(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
function copied(data) {
  if (data instanceof Blob) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  return wellFormed(String(data));
}
var sizeOf = (payload) => typeof payload === "string" ? utf8Length(payload) : payload instanceof Uint8Array ? payload.byteLength : payload.size;
export {
  SseWebSocket,
  SwitchingWebSocket,
  SseWebSocket as default
};
