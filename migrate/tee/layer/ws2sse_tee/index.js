// The tee of ws2sse_tee.py for Node.js functions: same records, same promises. until phase 3
//
// The function's Handler is redirected to `ws2sse_tee.handler`, which Lambda finds in the layer's
// /opt/nodejs/node_modules (AWS Lambda guide, "Working with layers for Node.js Lambda functions"); the original one is
// named in WS2SSE_TEE_HANDLER and runs unchanged: CommonJS or ES module, async or with a callback.
//
// What is posted is seen where every way of posting ends: at http(s).request and fetch, by POST .../@connections/ID. So
// aws-sdk v2, @aws-sdk/client-apigatewaymanagementapi v3, bundled or not, and requests signed by hand are all the same.
// Repeats of one call by an SDK count as one: a later outcome of the same payload to the same connection replaces a
// failure.
//
// It fails open, and what it may take is bounded as in ws2sse_tee.py. No SDK is needed: records are sent to SQS with a
// request of its own (SQS JSON protocol; Signature Version 4, IAM guide, "Create a signed AWS API request").
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const nodeModule = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const MAX_RECORD_BYTES = 252000;
const MAX_PLAIN_BYTES = 180000;
const MAX_WAITING_BYTES = 1000000;
const MAX_COLLECTED_BYTES = 300000;
const NEVER_ACCEPTED = ['InvalidMessageContents', 'InvalidParameterValue'];
const POSTED = /\/(?:@|%40)connections\/([^/?]+)(?:\?.*)?$/;

const plainRequest = { 'http:': http.request, 'https:': https.request };
const worker = crypto.randomBytes(8).toString('hex');
const waiting = [];
let number = 0;
let dropped = 0;
let retryAt = 0;
let current = null;
let isOurs = false;

function log(message) {
  try {
    console.log(JSON.stringify({ level: 'WARNING', component: 'ws2sse_tee', message }));
  } catch { /* fails open */ }
}

function seconds(name, otherwise) {
  const value = Number.parseFloat(process.env[name] ?? '');
  return Number.isFinite(value) ? value : otherwise;
}

const limit = () => seconds('WS2SSE_TEE_TIMEOUT_S', 0.6);
const now = () => performance.now() / 1000;
const epoch = () => Date.now() / 1000;

// What is posted ---------------------------------------------------------------------------------------------------

function textOf(buffer) {
  try {
    return [new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(buffer), false];
  } catch {
    return [buffer.toString('base64'), true];
  }
}

function begun(target) {
  const record = current;
  if (record === null) {
    // A post of an invocation that has answered already: it belongs to no record any more.
    if (isOurs) dropped += 1;
    return null;
  }
  const post = { record, connection: decodeURIComponent(target), at: epoch(), chunks: [], size: 0, complete: true };
  record.pending.add(post);
  return post;
}

function collect(post, chunk, encoding) {
  if (chunk === undefined || chunk === null || typeof chunk === 'function') return;
  const bytes = typeof chunk === 'string'
    ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8')
    : Buffer.from(chunk);
  post.size += bytes.length;
  if (post.size > MAX_COLLECTED_BYTES) {
    post.complete = false;
    post.chunks = [];
  } else {
    post.chunks.push(bytes);
  }
}

function note(post, outcome) {
  if (post === null || post.done) return;
  post.done = true;
  const { record } = post;
  record.pending.delete(post);
  if (record.closed) {
    dropped += 1;
    return;
  }
  const [data, base64] = post.complete ? textOf(Buffer.concat(post.chunks)) : ['', false];
  const key = `${base64}${post.complete}${data}`;
  let group = record.groups.get(key);
  if (group === undefined) {
    group = { data, base64, at: post.at, ok: [], gone: [], failed: [] };
    record.groups.set(key, group);
  }
  if (!post.complete) record.truncated = true;
  const before = group.failed.indexOf(post.connection);
  if (before >= 0) group.failed.splice(before, 1);
  group[outcome].push(post.connection);
}

const outcomeOf = (status) => (status >= 200 && status < 300 ? 'ok' : status === 410 ? 'gone' : 'failed');

function guarded(work) {
  try {
    return work();
  } catch (error) { // fails open: the application's call must not notice
    log(`a delivery was not captured: ${error?.name}`);
    return null;
  }
}

function watched(request) {
  const found = request.method === 'POST' ? POSTED.exec(request.path ?? '') : null;
  if (found === null) return;
  const post = begun(found[1]);
  if (post === null) return;
  for (const name of ['write', 'end']) {
    const original = request[name];
    request[name] = function capture(...args) {
      guarded(() => collect(post, args[0], args[1]));
      return original.apply(this, args);
    };
  }
  request.prependOnceListener('response', (response) => {
    guarded(() => note(post, outcomeOf(response.statusCode)));
    // Node throws away what nobody listens to, and we are not somebody.
    if (request.listenerCount('response') === 0) response.resume();
  });
  // No listener of `error`: that would keep an error nobody handles from being one.
  request.once('close', () => guarded(() => note(post, 'failed')));
}

function watchModule(target) {
  const { request } = target;
  target.request = function watchedRequest(...args) {
    const made = request.apply(this, args);
    guarded(() => watched(made));
    return made;
  };
  target.get = function watchedGet(...args) {
    const made = target.request(...args);
    made.end();
    return made;
  };
}

function watchFetch() {
  const { fetch } = globalThis;
  if (typeof fetch !== 'function') return;
  globalThis.fetch = async function watchedFetch(...args) {
    const post = guarded(() => fetched(...args));
    try {
      const answer = await fetch.apply(this, args);
      if (post) guarded(() => note(post, outcomeOf(answer.status)));
      return answer;
    } catch (error) {
      if (post) guarded(() => note(post, 'failed'));
      throw error;
    }
  };
}

function fetched(input, init) {
  const isRequest = typeof input === 'object' && input !== null && 'url' in input;
  const method = init?.method ?? (isRequest ? input.method : 'GET');
  const found = method.toUpperCase() === 'POST' ? POSTED.exec(String(isRequest ? input.url : input)) : null;
  const post = found ? begun(found[1]) : null;
  if (post === null) return null;
  const body = init?.body;
  if (typeof body === 'string' || body instanceof Uint8Array || body instanceof ArrayBuffer) {
    collect(post, body instanceof ArrayBuffer ? new Uint8Array(body) : body);
  } else {
    post.complete = false; // a stream is the application's
  }
  return post;
}

// Records ------------------------------------------------------------------------------------------------------------

function openRecord(event, context) {
  const request = event?.requestContext ?? {};
  const authorizer = request.authorizer ?? {};
  const text = (name) => (authorizer[name] === undefined || authorizer[name] === null ? null : String(authorizer[name]));
  const isAnswer = process.env.WS2SSE_TEE_ROLE === 'answer';
  return {
    fields: {
      v: 1,
      request_id: (isAnswer ? context?.awsRequestId : request.requestId) ?? '',
      api_id: (isAnswer ? process.env.WS2SSE_TEE_API_ID : request.apiId) ?? '',
      stage: request.stage ?? '',
      route_key: request.routeKey ?? '',
      event_type: isAnswer ? 'ANSWER' : request.eventType ?? '',
      connection_id: request.connectionId ?? '',
      connected_at: request.connectedAt ?? 0,
      user: text(process.env.WS2SSE_TEE_USER || 'userId'),
      tenant: text(process.env.WS2SSE_TEE_TENANT || 'tenantId'),
      at: epoch(),
      body: isAnswer ? null : event?.body ?? null,
      base64: Boolean(event?.isBase64Encoded),
      failed: false,
      status: null,
      env: worker,
      n: 0,
    },
    groups: new Map(),
    pending: new Set(),
    truncated: false,
    closed: false,
  };
}

function opened(event, context) {
  isOurs = process.env.WS2SSE_TEE_ROLE === 'answer';
  try {
    if (!isOurs) {
      const apiId = event?.requestContext?.apiId;
      if (apiId === undefined || apiId !== (process.env.WS2SSE_TEE_API_ID ?? apiId)) return null;
      isOurs = true;
    }
    return openRecord(event, context);
  } catch (error) { // fails open: whatever shape this event has, it is the application's
    dropped += 1;
    log(`an invocation was not copied: ${error?.name}`);
    return null;
  }
}

const json = (value) => JSON.stringify(value).replace(/[\ufffe\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);
const size = (value) => Buffer.byteLength(json(value));

function packed(text) {
  const plain = size(text);
  if (plain <= MAX_PLAIN_BYTES) return [text, false];
  const base64 = Buffer.from(text, 'utf8').toString('base64');
  return base64.length < plain ? [base64, true] : [text, false];
}

function pieces(group, room) {
  const [data, isPacked] = packed(group.data);
  let base = { data, base64: group.base64, at: group.at, ...(isPacked ? { packed: true } : {}) };
  const none = () => ({ ok: [], gone: [], failed: [] });
  const truncated = size({ ...base, ...none() }) > room - 1000;
  if (truncated) base = { data: '', base64: false, at: group.at };
  const empty = size({ ...base, ...none() });
  const found = [];
  let used = room;
  for (const outcome of ['ok', 'gone', 'failed']) {
    for (const connection of group[outcome]) {
      const more = size(connection) + 1;
      if (used + more > room || found.length === 0) {
        found.push({ ...base, ...none() });
        used = empty;
      }
      found[found.length - 1][outcome].push(connection);
      used += more;
    }
  }
  return [found, truncated];
}

function messagesOf(record) {
  const { fields } = record;
  const [body, isPacked] = fields.body === null ? [null, false] : packed(fields.body);
  const carried = isPacked ? { body, body_packed: true } : { body };
  const common = { ...fields, body: null, dropped_before: 0, part: 1000, parts: 1000, truncated: true, posts: [] };
  const room = MAX_RECORD_BYTES - size(common);
  const parts = [{ posts: [], ...(record.truncated ? { truncated: true } : {}) }];
  const used = [0];
  for (const group of record.groups.values()) {
    const [found, truncated] = pieces(group, room);
    for (const piece of found) {
      const more = size(piece) + 1;
      if (used[used.length - 1] + more > room) {
        parts.push({ posts: [] });
        used.push(0);
      }
      parts[parts.length - 1].posts.push(piece);
      used[used.length - 1] += more;
      if (truncated) parts[parts.length - 1].truncated = true;
    }
  }
  if (body !== null) {
    if (used[0] + size(carried) <= room) Object.assign(parts[0], carried);
    else if (size(carried) <= room) parts.push({ posts: [], ...carried });
    else parts[0].truncated = true;
  }
  const id = fields.request_id || String(process.hrtime.bigint());
  const [first] = record.groups.values();
  const group = fields.connection_id || [...(first?.ok ?? []), ...(first?.gone ?? []), ...(first?.failed ?? [])][0];
  return parts.map((part, index) => ({
    MessageBody: json({
      ...fields, body: null, part: index + 1, parts: parts.length, dropped_before: index ? 0 : dropped, ...part,
    }),
    MessageGroupId: group || 'none',
    MessageDeduplicationId: `${id}-${index + 1}`,
  }));
}

// Sending ------------------------------------------------------------------------------------------------------------

const hash = (text) => crypto.createHash('sha256').update(text).digest('hex');
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();

function signed(host, body) {
  const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
  const headers = {
    'content-type': 'application/x-amz-json-1.0', host, 'x-amz-date': time, 'x-amz-target': 'AmazonSQS.SendMessage',
  };
  if (AWS_SESSION_TOKEN) headers['x-amz-security-token'] = AWS_SESSION_TOKEN;
  const names = Object.keys(headers).sort();
  const canonical = ['POST', '/', '', ...names.map((name) => `${name}:${headers[name]}`), '', names.join(';'),
    hash(body)].join('\n');
  const scope = [time.slice(0, 8), AWS_REGION ?? AWS_DEFAULT_REGION, 'sqs', 'aws4_request'];
  const key = scope.reduce(hmac, `AWS4${AWS_SECRET_ACCESS_KEY}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope.join('/'), hash(canonical)].join('\n')).toString('hex');
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${AWS_ACCESS_KEY_ID}/${scope.join('/')}, `
    + `SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return headers;
}

const agents = {
  'http:': new http.Agent({ keepAlive: true, maxSockets: 1 }),
  'https:': new https.Agent({ keepAlive: true, maxSockets: 1 }),
};

class RefusedError extends Error {}

function sendMessage(message) {
  const queue = process.env.WS2SSE_TEE_QUEUE_URL;
  const endpoint = new URL(process.env.AWS_ENDPOINT_URL_SQS || process.env.AWS_ENDPOINT_URL || queue);
  const body = JSON.stringify({ QueueUrl: queue, ...message });
  return new Promise((done, failed) => {
    const request = plainRequest[endpoint.protocol]({
      hostname: endpoint.hostname.replace(/^\[|\]$/g, ''),
      port: endpoint.port || undefined,
      method: 'POST',
      path: '/',
      agent: agents[endpoint.protocol],
      headers: { ...signed(endpoint.host, body), 'content-length': Buffer.byteLength(body) },
    });
    const tooLong = setTimeout(() => request.destroy(new Error('timeout')), (limit() / 2) * 1000);
    request.once('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.once('error', failed);
      response.once('end', () => {
        clearTimeout(tooLong);
        if (response.statusCode < 300) {
          done();
          return;
        }
        let code = '';
        try {
          code = String(JSON.parse(Buffer.concat(chunks).toString()).__type ?? '').split('#').pop();
        } catch { /* no JSON: no code */ }
        const Kind = NEVER_ACCEPTED.some((name) => code.endsWith(name)) ? RefusedError : Error;
        failed(new Kind(code || `HTTP ${response.statusCode}`));
      });
    });
    request.once('error', (error) => {
      clearTimeout(tooLong);
      failed(error);
    });
    request.end(body);
  });
}

function keep(messages) {
  const sizes = messages.map((message) => Buffer.byteLength(message.MessageBody));
  const total = [...waiting, ...sizes.map((one) => ({ size: one }))].reduce((sum, one) => sum + one.size, 0);
  if (waiting.length && total > MAX_WAITING_BYTES) {
    dropped += 1;
    log(`${dropped} record(s) dropped: ${waiting.length} message(s) wait for the queue already`);
    return;
  }
  messages.forEach((message, index) => waiting.push({ message, size: sizes[index], reported: index ? 0 : dropped }));
  dropped = 0;
}

async function flush(deadline) {
  let failures = 0;
  while (waiting.length && retryAt <= now() && now() < deadline) {
    const { message, reported } = waiting[0];
    const MessageBody = `${message.MessageBody.slice(0, -1)},"waiting":${waiting.length - 1}}`;
    try {
      await sendMessage({ ...message, MessageBody });
      waiting.shift();
    } catch (error) { // fails open: the user's message has been handled already
      if (error instanceof RefusedError) {
        waiting.shift();
        dropped += 1 + reported;
        log(`a record was dropped, the queue refused it: ${error.message}`);
        continue;
      }
      failures += 1;
      // Once more at once: a connection that died while the environment was frozen shows only when it is used.
      if (failures > 1 || now() >= deadline) {
        retryAt = now() + seconds('WS2SSE_TEE_PAUSE_S', 5);
        log(`${waiting.length} message(s) could not be sent and wait: ${error?.code ?? error?.message}`);
        return;
      }
    }
  }
}

function deadlineOf(context) {
  const longest = limit() / 2;
  const left = typeof context?.getRemainingTimeInMillis === 'function'
    ? context.getRemainingTimeInMillis() / 1000 - longest - 0.05 : longest;
  return now() + Math.min(longest, left);
}

async function send(record, context, failed, answer) {
  try {
    // What has failed says so with the next turn of the loop.
    if (record.pending.size) await new Promise((next) => { setImmediate(next); });
    record.closed = true;
    if (current === record) current = null;
    dropped += record.pending.size;
    record.pending.clear();
    record.fields.failed = failed;
    record.fields.status = Number.isInteger(answer?.statusCode) ? answer.statusCode : null;
    if (record.fields.event_type === 'ANSWER' && record.groups.size === 0 && dropped === 0) return;
    number += 1;
    record.fields.n = number;
    const deadline = deadlineOf(context);
    await flush(deadline);
    keep(messagesOf(record));
    await flush(deadline);
  } catch (error) { // fails open: the user's message has been handled already
    dropped += 1;
    log(`a record was not copied: ${error?.name}`);
  }
}

// The application ----------------------------------------------------------------------------------------------------

function pick(loaded, names) {
  const find = (from) => names.split('.').reduce((value, name) => value?.[name], from);
  const found = find(loaded) ?? find(loaded?.default);
  if (typeof found !== 'function') {
    throw Object.assign(new Error(`${process.env.WS2SSE_TEE_HANDLER} is undefined or not exported`), {
      name: 'Runtime.HandlerNotFound',
    });
  }
  return found;
}

// The function's handler, or a promise of it: ES modules load asynchronously. Order of endings: Lambda's own.
function load() {
  const [, folder = '', name, names] = /^(.*[/\\])?([^./\\]+)\.(.+)$/.exec(process.env.WS2SSE_TEE_HANDLER);
  const root = process.env.LAMBDA_TASK_ROOT;
  const require_ = nodeModule.createRequire(path.resolve(root, 'noop.js'));
  const base = path.resolve(root, folder, name);
  const file = ['', '.js', '.mjs', '.cjs'].map((ending) => base + ending)
    .find((one) => fs.existsSync(one) && fs.statSync(one).isFile());
  const imported = () => import(pathToFileURL(file).href).then((loaded) => pick(loaded, names));
  if (file?.endsWith('.mjs')) return imported();
  try {
    return pick(require_(file ?? folder + name), names);
  } catch (error) {
    const isModule = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'].includes(error.code)
      || (error instanceof SyntaxError && file !== undefined);
    if (!isModule) throw error;
    return imported();
  }
}

function run(application, record, args) {
  const [event, context] = args;
  const callback = args[2];
  if (current !== null) dropped += 1; // the one before never ended
  current = record;
  // A callback ends the invocation the way the runtime wants it; what it is told goes out after the record.
  const ended = (error, result) => {
    send(record, context, Boolean(error), result).then(() => callback?.(error, result));
  };
  if (context && typeof context.done === 'function') {
    const { done, succeed, fail } = context;
    context.done = (error, result) => { send(record, context, Boolean(error)).then(() => done(error, result)); };
    context.succeed = (result) => { send(record, context, false).then(() => succeed(result)); };
    context.fail = (error) => { send(record, context, true).then(() => fail(error)); };
  }
  let returned;
  try {
    returned = application(event, context, ended);
  } catch (error) {
    return send(record, context, true).then(() => { throw error; });
  }
  if (typeof returned?.then !== 'function') return returned;
  return Promise.resolve(returned).then(
    (result) => send(record, context, false, result).then(() => result),
    (error) => send(record, context, true).then(() => { throw error; }),
  );
}

watchModule(http);
watchModule(https);
watchFetch();
nodeModule.syncBuiltinESMExports?.();

const application = load();
if (typeof application !== 'function') application.catch(() => {}); // the first invocation reports it

// Two parameters: runtimes that no longer know callbacks refuse a handler with three.
exports.handler = function handler(event, context) {
  const args = [event, context, arguments[2]];
  const record = opened(event, context);
  const call = (original) => (record === null ? original(...args) : run(original, record, args));
  if (typeof application === 'function') return call(application);
  return application.then((original) => {
    // A promise of ours answers, so a callback has to settle it.
    return new Promise((done, failed) => {
      args[2] = (error, result) => (error ? failed(error) : done(result));
      const returned = call(original);
      if (typeof returned?.then === 'function') returned.then(done, failed);
    });
  });
};
