// A Lambda runtime client for Node.js functions of the local AWS. until phase 3
//
// AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes" and "Define Lambda function handler
// in Node.js": CommonJS and ES modules, async handlers and callbacks, console output with time, request id and level,
// errors as {errorType, errorMessage, trace}.
import { createRequire } from 'node:module';
import { existsSync, writeSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { format } from 'node:util';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const api = process.env.AWS_LAMBDA_RUNTIME_API;
const root = process.env.LAMBDA_TASK_ROOT;
const handlerName = process.argv[2];
const telemetry = Number(process.env._LAMBDA_TELEMETRY_LOG_FD);
delete process.env._LAMBDA_TELEMETRY_LOG_FD;
const agent = new Agent({ keepAlive: true, maxSockets: 2 });
const [host, port] = api.split(':');
let currentId;

function frame(text) {
  const message = Buffer.from(text);
  const head = Buffer.alloc(16);
  head.writeUInt32BE(0xa55a0003, 0);
  head.writeUInt32BE(message.length, 4);
  head.writeBigUInt64BE(BigInt(Date.now()) * 1000n, 8);
  const whole = Buffer.concat([head, message]);
  for (let at = 0; at < whole.length;) {
    try {
      at += writeSync(telemetry, whole, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const jsonLogs = process.env.AWS_LAMBDA_LOG_FORMAT === 'JSON';

function logLine(level, text) {
  const timestamp = new Date().toISOString();
  frame(jsonLogs
    ? JSON.stringify({ timestamp, level, requestId: currentId, message: text })
    : `${timestamp}\t${currentId ?? 'undefined'}\t${level}\t${text}`);
}

for (const [method, level] of Object.entries({
  log: 'INFO', info: 'INFO', debug: 'DEBUG', trace: 'TRACE', warn: 'WARN', error: 'ERROR',
})) {
  console[method] = (...args) => logLine(level, format(...args));
}

function call(method, path, body, headers) {
  return new Promise((done, failed) => {
    const outgoing = request({ host, port, agent, method, path: `/2018-06-01/runtime/${path}`, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
      response.on('error', failed);
    });
    outgoing.on('error', failed);
    outgoing.end(body);
  });
}

function describe(error) {
  if (error instanceof Error || (error && typeof error === 'object' && 'stack' in error)) {
    return { errorType: error.name ?? 'Error', errorMessage: error.message ?? '', trace: String(error.stack ?? '').split('\n') };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

async function report(path, described) {
  await call('POST', path, JSON.stringify(described), {
    'Content-Type': 'application/json',
    'Lambda-Runtime-Function-Error-Type': described.errorType.replace(/[^\x20-\x7e]/g, ''),
  });
}

function userError(errorType, errorMessage, trace = []) {
  return Object.assign(new Error(errorMessage), { described: { errorType, errorMessage, trace } });
}

async function loadHandler() {
  const match = /^(.*[/\\])?([^./\\]+)\.(.+)$/.exec(handlerName ?? '');
  if (!match || handlerName.includes('..')) {
    throw userError('Runtime.MalformedHandlerName', 'Bad handler');
  }
  const base = resolve(root, match[1] ?? '', match[2]);
  const file = ['.js', '.mjs', '.cjs', ''].map((ending) => base + ending).find((name) => existsSync(name));
  let loaded;
  try {
    const require = createRequire(resolve(root, 'noop.js'));
    if (file?.endsWith('.mjs')) {
      loaded = await import(pathToFileURL(file).href);
    } else {
      try {
        // What is not in the function's folder may be a module of a layer (NODE_PATH), as on AWS.
        loaded = require(file ?? (match[1] ?? '') + match[2]);
      } catch (error) {
        if (error.code !== 'ERR_REQUIRE_ESM' && error.code !== 'ERR_REQUIRE_ASYNC_MODULE'
            && !(error instanceof SyntaxError && file)) throw error;
        // "type": "module", or a module with top-level await.
        loaded = await import(pathToFileURL(file).href);
      }
    }
  } catch (error) {
    const trace = String(error.stack ?? '').split('\n');
    if (error instanceof SyntaxError) throw userError('Runtime.UserCodeSyntaxError', String(error), trace);
    if (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND') {
      throw userError('Runtime.ImportModuleError', String(error), trace);
    }
    throw error;
  }
  let found = loaded;
  for (const part of match[3].split('.')) {
    found = found?.[part] ?? (found === loaded ? loaded?.default?.[part] : undefined);
  }
  if (found === undefined) {
    throw userError('Runtime.HandlerNotFound', `${handlerName} is undefined or not exported`);
  }
  if (typeof found !== 'function') {
    throw userError('Runtime.HandlerNotFound', `${handlerName} is not a function`);
  }
  return found;
}

function makeContext(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: headers['lambda-runtime-client-context']
      ? JSON.parse(headers['lambda-runtime-client-context']) : undefined,
    identity: undefined,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

// Resolves with the handler's result: of its promise, of its callback, or null once nothing is left to do.
function run(handler, event, context) {
  return new Promise((done, failed) => {
    let answered = false;
    let pending;
    const settle = (act) => {
      if (answered) return;
      answered = true;
      process.removeListener('beforeExit', emptied);
      act();
    };
    function emptied() {
      settle(pending ?? (() => done(null)));
    }
    const callback = (error, result) => {
      const act = () => (error ? failed(error) : done(result));
      if (context.callbackWaitsForEmptyEventLoop) {
        pending ??= act;
      } else {
        settle(act);
      }
    };
    context.done = callback;
    context.succeed = (result) => callback(null, result);
    context.fail = (error) => callback(error ?? 'handled');
    process.on('beforeExit', emptied);
    const returned = handler(event, context, callback);
    if (typeof returned?.then === 'function') {
      returned.then((result) => settle(() => done(result)), (error) => settle(() => failed(error)));
    }
  });
}

// An error that nobody caught ends the process, as it does on AWS: the next invocation gets a fresh one.
function fatal(errorType, status) {
  return (error) => {
    const described = describe(error);
    const detail = errorType ? { errorType, errorMessage: String(error), reason: described, trace: described.trace } : described;
    logLine('ERROR', `${errorType ? 'Unhandled Promise Rejection' : 'Uncaught Exception'} \t${JSON.stringify(detail)}`);
    const path = currentId ? `invocation/${currentId}/error` : 'init/error';
    report(path, detail).finally(() => process.exit(status));
  };
}
process.on('uncaughtException', fatal(null, 129));
process.on('unhandledRejection', fatal('Runtime.UnhandledPromiseRejection', 128));

async function main() {
  let handler;
  try {
    handler = await loadHandler();
  } catch (error) {
    const described = error.described ?? describe(error);
    logLine('ERROR', `Uncaught Exception \t${JSON.stringify(described)}`);
    await report('init/error', described);
    process.exit(1);
  }

  for (;;) {
    const next = await call('GET', 'invocation/next');
    currentId = next.headers['lambda-runtime-aws-request-id'];
    const trace = next.headers['lambda-runtime-trace-id'];
    if (trace) process.env._X_AMZN_TRACE_ID = trace; else delete process.env._X_AMZN_TRACE_ID;
    let result;
    let failure;
    try {
      result = await run(handler, JSON.parse(next.body.toString()), makeContext(next.headers));
      result = JSON.stringify(result) ?? 'null';
    } catch (error) {
      failure = describe(error);
    }
    if (failure) {
      logLine('ERROR', `Invoke Error \t${JSON.stringify(failure)}`);
      await report(`invocation/${currentId}/error`, failure);
    } else {
      await call('POST', `invocation/${currentId}/response`, result, { 'Content-Type': 'application/json' });
    }
    currentId = undefined;
  }
}

main();
