"""Runs inside a legacy Lambda, from a layer: copies what enters and every PostToConnection to a queue. until phase 3

The function's handler is redirected here by configuration; the original one is named in WS2SSE_TEE_HANDLER and runs
unchanged. One record per invocation goes to the FIFO queue WS2SSE_TEE_QUEUE_URL after the original handler has
returned and before its answer leaves, because Lambda may freeze the environment once the answer is out.

It fails open. Whatever goes wrong here (the queue away, slow, denied or full) is logged once in a while and counted in
the next record; the handler's result or exception is passed on untouched. The time it may take is bounded by
WS2SSE_TEE_TIMEOUT_S (0.3 s by default), and after a failure it does not try again for WS2SSE_TEE_PAUSE_S (5 s).

Nothing of the application's token is copied: query strings and headers are left out, of the authorizer's context only
userId and tenantId are kept.

Record, version 1 (JSON)::

    {"v": 1, "request_id": str, "api_id": str, "stage": str, "route_key": str, "event_type": str,
     "connection_id": str, "connected_at": int (ms), "user": str | null, "tenant": str | null, "at": float (epoch s),
     "body": str | null, "base64": bool, "failed": bool, "dropped_before": int,
     "posts": [{"data": str, "base64": bool, "at": float (epoch s, first of them), "ok": [connection id, ...],
                "gone": [connection id, ...], "failed": [connection id, ...]}]}

Sources: botocore.register_initializer and the client events provide-client-params, after-call and after-call-error
(boto3 documentation, "Extensibility guide"); Lambda's environment life cycle (AWS Lambda guide, "Understanding the
Lambda execution environment lifecycle"); the size of a message (Amazon SQS guide, "message quotas").
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import threading
import time
from typing import Any

import botocore
import botocore.session
from botocore.config import Config

# A record above this is sent without its payloads: SQS takes 256 KiB unless the queue says otherwise.
MAX_RECORD_BYTES = 250_000

_lock = threading.Lock()
_current: dict[str, Any] | None = None
_dropped = 0
_retry_at = 0.0
_client: Any = None


def _log(message: str) -> None:
    print(json.dumps({"level": "WARNING", "component": "ws2sse_tee", "message": message}))  # noqa: T201 - CloudWatch Logs


def _text(data: Any) -> tuple[str, bool]:
    if hasattr(data, "read"):
        # A stream can be read once only and belongs to the application.
        return "", True
    if isinstance(data, str):
        return data, False
    raw = bytes(data)
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii"), True


def _remember_params(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["ws2sse_post"] = (str(params.get("ConnectionId", "")), params.get("Data", b""), time.time())


def _note(context: dict[str, Any], outcome: str) -> None:
    post = context.pop("ws2sse_post", None)
    record = _current
    if post is None or record is None:
        return
    connection_id, data, at = post
    text, is_base64 = _text(data)
    with _lock:
        group = record["_groups"].get((text, is_base64))
        if group is None:
            group = {"data": text, "base64": is_base64, "at": at, "ok": [], "gone": [], "failed": []}
            record["_groups"][(text, is_base64)] = group
        group[outcome].append(connection_id)


def _after_call(http_response: Any, context: dict[str, Any], **_: Any) -> None:
    status = getattr(http_response, "status_code", 0)
    _note(context, "ok" if 200 <= status < 300 else "gone" if status == 410 else "failed")


def _after_call_error(context: dict[str, Any], **_: Any) -> None:
    _note(context, "failed")


def _watch(session: Any) -> None:
    operation = "apigatewaymanagementapi.PostToConnection"
    session.register(f"provide-client-params.{operation}", _guarded(_remember_params))
    session.register(f"after-call.{operation}", _guarded(_after_call))
    session.register(f"after-call-error.{operation}", _guarded(_after_call_error))


def _guarded(hook: Any) -> Any:
    def run(**kwargs: Any) -> None:
        try:
            hook(**kwargs)
        except Exception as error:  # fails open: the application's call must not notice
            _log(f"a delivery was not captured: {type(error).__name__}")

    return run


def _queue() -> Any:
    global _client
    if _client is None:
        timeout = float(os.environ.get("WS2SSE_TEE_TIMEOUT_S", "0.3"))
        _client = botocore.session.get_session().create_client(
            "sqs",
            config=Config(connect_timeout=timeout / 2, read_timeout=timeout / 2, retries={"total_max_attempts": 1}),
        )
    return _client


def _open_record(event: dict[str, Any]) -> dict[str, Any]:
    request = event.get("requestContext") or {}
    authorizer = request.get("authorizer") or {}
    return {
        "v": 1,
        "request_id": request.get("requestId", ""),
        "api_id": request.get("apiId", ""),
        "stage": request.get("stage", ""),
        "route_key": request.get("routeKey", ""),
        "event_type": request.get("eventType", ""),
        "connection_id": request.get("connectionId", ""),
        "connected_at": request.get("connectedAt", 0),
        "user": authorizer.get("userId"),
        "tenant": authorizer.get("tenantId"),
        "at": time.time(),
        "body": event.get("body"),
        "base64": bool(event.get("isBase64Encoded")),
        "failed": False,
        "_groups": {},
    }


def _encode(record: dict[str, Any]) -> str:
    groups = record.pop("_groups")
    record["posts"] = list(groups.values())
    record["dropped_before"] = _dropped
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode("utf-8")) > MAX_RECORD_BYTES:
        record["truncated"] = True
        record["body"] = None
        for post in record["posts"]:
            post["data"] = ""
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text


def _send(record: dict[str, Any]) -> None:
    global _dropped, _retry_at
    if time.monotonic() < _retry_at:
        _dropped += 1
        return
    try:
        body = _encode(record)
        _queue().send_message(
            QueueUrl=os.environ["WS2SSE_TEE_QUEUE_URL"],
            MessageBody=body,
            # Per connection: what one client sent stays in its order.
            MessageGroupId=record["connection_id"] or "none",
            MessageDeduplicationId=record["request_id"] or str(time.time_ns()),
        )
        _dropped = 0
    except Exception as error:  # fails open: the user's message has been handled already
        _dropped += 1
        _retry_at = time.monotonic() + float(os.environ.get("WS2SSE_TEE_PAUSE_S", "5"))
        _log(f"{_dropped} record(s) could not be sent: {type(error).__name__}")


def _original() -> Any:
    name = os.environ["WS2SSE_TEE_HANDLER"]
    module, _, function = name.rpartition(".")
    # The form with slashes is Lambda's own: pkg/module.handler.
    return getattr(importlib.import_module(module.replace("/", ".")), function)


# Before the application's module is imported, so that clients it makes while importing are watched as well.
botocore.register_initializer(_watch)
_application = _original()
# In the init phase, so that no user's message waits for it.
try:
    _queue()
except Exception as setup_error:  # fails open: the records are dropped and counted, the application runs
    _log(f"the queue's client could not be made: {type(setup_error).__name__}")


def handler(event: Any, context: Any) -> Any:
    """The function's handler while the tee is installed: runs the original one and copies what passed."""
    global _current
    if not isinstance(event, dict) or "requestContext" not in event:
        return _application(event, context)
    record = _open_record(event)
    _current = record
    try:
        return _application(event, context)
    except BaseException:
        record["failed"] = True
        raise
    finally:
        _current = None
        _send(record)
