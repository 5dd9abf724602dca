"""Runs inside a legacy Lambda, from a layer: copies what enters and every PostToConnection to a queue. until phase 3

The function's handler is redirected here by configuration; the original one is named in WS2SSE_TEE_HANDLER and runs
unchanged. One record per invocation by the API WS2SSE_TEE_API_ID goes to the FIFO queue WS2SSE_TEE_QUEUE_URL after the
original handler has returned and before its answer leaves, because Lambda may freeze the environment once the answer is
out. What other APIs and services call the function with is not copied.

It fails open: whatever goes wrong here is logged, the handler's result or exception is passed on untouched. The time
it may take is bounded by WS2SSE_TEE_TIMEOUT_S (0.6 s by default; one send is given up after half of it) and by what is
left of the function's own time. A record that could not be sent (the queue away, slow or denied) waits in this worker
and is sent first, in order, by the next invocation that is WS2SSE_TEE_PAUSE_S (5 s) later. At most MAX_WAITING_BYTES
wait; what does not fit any more is counted in the next record. What waits in a worker that Lambda ends is gone: the log
says how many were waiting.

Nothing of the application's token is copied: query strings and headers are left out, of the authorizer's context only
the user's and the tenant's id are kept (WS2SSE_TEE_USER and WS2SSE_TEE_TENANT name them; userId and tenantId).

A function that posts without standing behind a route (WS2SSE_TEE_ROLE=answer: fed by a queue, say) has one record for
each invocation that posted something: event_type ANSWER, its own request id, no connection and no body.

What is lost is not lost in silence: records of one worker (`env`, a name made at its start) are numbered (`n`, from 1),
`dropped_before` counts what was given up, and each message says how many more were waiting when it was sent. A worker
that ends with something waiting is known by a last message that promised more.

Record, version 1 (JSON)::

    {"v": 1, "request_id": str, "part": int (from 1), "parts": int, "api_id": str, "stage": str, "route_key": str,
     "event_type": str, "connection_id": str, "connected_at": int (ms), "user": str | null, "tenant": str | null,
     "at": float (epoch s), "body": str | null, "base64": bool, "failed": bool, "dropped_before": int,
     "status": int | null (statusCode of the handler's answer), "env": str, "n": int (from 1), "waiting": int,
     "posts": [{"data": str, "base64": bool, "at": float (epoch s, first of them), "ok": [connection id, ...],
                "gone": [connection id, ...], "failed": [connection id, ...]}]}

A record that one message of the queue cannot hold becomes several, its parts: equal but for `part`, `body` and `posts`,
in order, each readable on its own. A post to very many connections is repeated with its payload and the next of them,
the body is in the first part or in one of its own. Payloads that JSON would blow up (a control character takes six
bytes) are the base64 of their UTF-8, which "packed": true on the post, or "body_packed": true, says. So everything API
Gateway accepts (128 KiB) fits; only a payload beyond that, or one from a stream that cannot be read twice, is left out,
which "truncated": true says.

Sources: botocore.register_initializer and the client events provide-client-params, after-call and after-call-error
(boto3 documentation, "Extensibility guide"); Lambda's environment life cycle (AWS Lambda guide, "Understanding the
Lambda execution environment lifecycle"); size and characters of a message (Amazon SQS guide, "message quotas"); size of
a payload (API Gateway guide, "Quotas for configuring and running a WebSocket API").
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
import os
import re
import threading
import time
from collections import deque
from typing import Any

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

# Every queue takes 256 KiB unless it was told to take less, and the tee's is not.
MAX_RECORD_BYTES = 252_000
# A payload that takes more than this as JSON is packed: 128 KiB are 174,764 bytes then.
MAX_PLAIN_BYTES = 180_000
# What may wait in the worker for a queue that is away: little against the 128 MB of the smallest function.
MAX_WAITING_BYTES = 1_000_000
# What SQS answers when the message itself is at fault; sent again it would be refused again, and hold up the others.
NEVER_ACCEPTED = ("InvalidMessageContents", "InvalidParameterValue")
# Characters that SQS refuses and JSON can write as an escape (those below U+0020 json.dumps escapes itself).
_REFUSED_CHARACTERS = re.compile("[\ud800-\udfff\ufffe\uffff]")

_lock = threading.Lock()
_current: dict[str, Any] | None = None
# Whether the latest invocation was one whose posts are copied.
_is_ours = False
_dropped = 0
_number = 0
_worker = binascii.hexlify(os.urandom(8)).decode()
_retry_at = 0.0
_client: Any = None
# Messages that are still to be sent, oldest first, each with its size and the losses it reports.
_waiting: deque[tuple[dict[str, str], int, int]] = deque()


def _log(message: str) -> None:
    print(json.dumps({"level": "WARNING", "component": "ws2sse_tee", "message": message}))  # noqa: T201 - CloudWatch Logs


def _seconds(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name, default))
    except ValueError:
        return default


def _text(data: Any) -> tuple[str, bool, bool]:
    """A payload as text, whether that is base64, and whether it could be read at all."""
    if hasattr(data, "read"):
        # It belongs to the application: read only what can be put back.
        if not data.seekable():
            return "", False, False
        position = data.tell()
        content = data.read()
        data.seek(position)
        data = content
    if isinstance(data, str):
        return data, False, True
    raw = bytes(data)
    try:
        return raw.decode("utf-8"), False, True
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii"), True, True


def _remember_params(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["ws2sse_post"] = (str(params.get("ConnectionId", "")), _text(params.get("Data", b"")), time.time())


def _note(context: dict[str, Any], outcome: str) -> None:
    global _dropped
    post = context.pop("ws2sse_post", None)
    record = _current
    if post is None or record is None:
        if post is not None and _is_ours:
            # Posted after its invocation had answered: it belongs to no record any more.
            _dropped += 1
        return
    connection_id, payload, at = post
    text, is_base64, complete = payload
    with _lock:
        group = record["_groups"].get(payload)
        if group is None:
            group = {"data": text, "base64": is_base64, "at": at, "ok": [], "gone": [], "failed": []}
            record["_groups"][payload] = group
        if not complete:
            record["truncated"] = True
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


def _limit() -> float:
    return _seconds("WS2SSE_TEE_TIMEOUT_S", 0.6)


def _queue() -> Any:
    global _client
    if _client is None:
        _client = botocore.session.get_session().create_client(
            "sqs",
            config=Config(connect_timeout=_limit() / 4, read_timeout=_limit() / 4, retries={"total_max_attempts": 1}),
        )
    return _client


def _connect() -> None:
    """Make the connection, and find the credentials, before a user's message waits for them."""
    for _ in range(2):
        try:
            _queue().get_queue_attributes(QueueUrl=os.environ["WS2SSE_TEE_QUEUE_URL"], AttributeNames=["QueueArn"])
        except ClientError:
            return  # an answer, so the connection stands; a message may be sent or not
        except Exception as error:  # fails open: the first record tries again
            _log(f"the queue could not be reached: {type(error).__name__}")
        else:
            return


def _open_record(event: dict[str, Any], context: Any, is_answer: bool) -> dict[str, Any]:
    request = {} if is_answer else event.get("requestContext") or {}
    authorizer = request.get("authorizer") or {}
    return {
        "v": 1,
        "request_id": getattr(context, "aws_request_id", "") if is_answer else request.get("requestId", ""),
        "api_id": os.environ.get("WS2SSE_TEE_API_ID", "") if is_answer else request.get("apiId", ""),
        "stage": request.get("stage", ""),
        "route_key": request.get("routeKey", ""),
        "event_type": "ANSWER" if is_answer else request.get("eventType", ""),
        "connection_id": request.get("connectionId", ""),
        "connected_at": request.get("connectedAt", 0),
        "user": authorizer.get(os.environ.get("WS2SSE_TEE_USER") or "userId"),
        "tenant": authorizer.get(os.environ.get("WS2SSE_TEE_TENANT") or "tenantId"),
        "at": time.time(),
        "body": None if is_answer else event.get("body"),
        "base64": not is_answer and bool(event.get("isBase64Encoded")),
        "failed": False,
        "status": None,
        "env": _worker,
        "n": 0,
        "_groups": {},
    }


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _REFUSED_CHARACTERS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _size(value: Any) -> int:
    return len(_json(value).encode("utf-8"))


def _packed(text: str) -> tuple[str, bool]:
    """`text` as it goes into a record, and whether that is the base64 of its UTF-8."""
    if _size(text) <= MAX_PLAIN_BYTES:
        return text, False
    packed = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")
    return (packed, True) if len(packed) < _size(text) else (text, False)


def _pieces(group: dict[str, Any], room: int) -> tuple[list[dict[str, Any]], bool]:
    """A post as one or more that take at most `room` bytes each, and whether its payload had to be left out."""
    data, packed = _packed(group["data"])
    base: dict[str, Any] = {"data": data, "base64": group["base64"], "at": group["at"]}
    if packed:
        base["packed"] = True
    outcomes: dict[str, list[str]] = {"ok": [], "gone": [], "failed": []}
    truncated = _size({**base, **outcomes}) > room - 1000
    if truncated:
        base = {"data": "", "base64": False, "at": group["at"]}
    empty = _size({**base, **outcomes})
    pieces: list[dict[str, Any]] = []
    used = room
    for outcome in outcomes:
        for connection_id in group[outcome]:
            more = _size(connection_id) + 1
            if used + more > room or not pieces:
                pieces.append({**base, "ok": [], "gone": [], "failed": []})
                used = empty
            pieces[-1][outcome].append(connection_id)
            used += more
    return pieces, truncated


def _messages(record: dict[str, Any]) -> list[dict[str, str]]:
    """A record as the messages that hold it: nearly always one."""
    groups = list(record.pop("_groups").values())
    body, body_packed = (None, False) if record["body"] is None else _packed(record["body"])
    fields: dict[str, Any] = {"body": body, "body_packed": True} if body_packed else {"body": body}
    common = {**record, "body": None, "dropped_before": 0, "part": 1000, "parts": 1000, "truncated": True, "posts": []}
    room = MAX_RECORD_BYTES - _size(common)
    parts: list[dict[str, Any]] = [{"posts": []}]
    used = [0]
    for group in groups:
        pieces, truncated = _pieces(group, room)
        for piece in pieces:
            more = _size(piece) + 1
            if used[-1] + more > room:
                parts.append({"posts": []})
                used.append(0)
            parts[-1]["posts"].append(piece)
            used[-1] += more
            if truncated:
                parts[-1]["truncated"] = True
    if body is not None:
        if used[0] + _size(fields) <= room:
            parts[0].update(fields)
        elif _size(fields) <= room:
            parts.append({"posts": [], **fields})
        else:
            parts[0]["truncated"] = True
    request_id = record["request_id"] or str(time.time_ns())
    # Per connection: what one client sent stays in its order, and so do answers to the same connections.
    first = next((one for group in groups for one in (*group["ok"], *group["gone"], *group["failed"])), "")
    group_id = record["connection_id"] or first or "none"
    return [
        {
            "MessageBody": _json(
                {
                    **record,
                    "body": None,
                    "part": number,
                    "parts": len(parts),
                    "dropped_before": _dropped if number == 1 else 0,
                    **part,
                }
            ),
            "MessageGroupId": group_id,
            "MessageDeduplicationId": f"{request_id}-{number}",
        }
        for number, part in enumerate(parts, start=1)
    ]


def _keep(messages: list[dict[str, str]]) -> None:
    """Put a record's messages behind those that wait; all of them or, when there is no room, none."""
    global _dropped
    sizes = [len(message["MessageBody"].encode("utf-8")) for message in messages]
    if _waiting and sum(size for _, size, _ in _waiting) + sum(sizes) > MAX_WAITING_BYTES:
        _dropped += 1
        _log(f"{_dropped} record(s) dropped: {len(_waiting)} message(s) wait for the queue already")
        return
    for index, (message, size) in enumerate(zip(messages, sizes)):  # noqa: B905 - Python 3.9 has no `strict`
        _waiting.append((message, size, 0 if index else _dropped))
    _dropped = 0


def _flush(deadline: float) -> None:
    """Send what waits, oldest first; no send begins after `deadline` (monotonic seconds)."""
    global _dropped, _retry_at
    failures = 0
    while _waiting and _retry_at <= time.monotonic() < deadline:
        message, _, reported = _waiting[0]
        body = f'{message["MessageBody"][:-1]},"waiting":{len(_waiting) - 1}}}'
        try:
            _queue().send_message(QueueUrl=os.environ["WS2SSE_TEE_QUEUE_URL"], **{**message, "MessageBody": body})
        except Exception as error:  # fails open: the user's message has been handled already
            if isinstance(error, ClientError) and error.response["Error"]["Code"].endswith(NEVER_ACCEPTED):
                _waiting.popleft()
                _dropped += 1 + reported
                _log(f"a record was dropped, the queue refused it: {error.response['Error']['Code']}")
                continue
            failures += 1
            # Once more at once: a connection that died while the environment was frozen shows only when it is used.
            if failures > 1 or time.monotonic() >= deadline:
                _retry_at = time.monotonic() + _seconds("WS2SSE_TEE_PAUSE_S", 5)
                _log(f"{len(_waiting)} message(s) could not be sent and wait: {type(error).__name__}")
                return
        else:
            _waiting.popleft()


def _deadline(context: Any) -> float:
    """Until when a send may begin, so that it ends in time whatever it meets."""
    longest = _limit() / 2
    now = time.monotonic()
    if not hasattr(context, "get_remaining_time_in_millis"):
        return now + longest
    # The answer has to leave the function as well.
    return now + min(longest, float(context.get_remaining_time_in_millis()) / 1000 - longest - 0.05)


def _send(record: dict[str, Any], context: Any) -> None:
    global _dropped, _number
    try:
        if record["event_type"] == "ANSWER" and not record["_groups"] and not _dropped:
            return
        _number += 1
        record["n"] = _number
        deadline = _deadline(context)
        _flush(deadline)
        _keep(_messages(record))
        _flush(deadline)
    except Exception as error:  # fails open: the user's message has been handled already
        _dropped += 1
        _log(f"a record was not copied: {type(error).__name__}")


def _original() -> Any:
    name = os.environ["WS2SSE_TEE_HANDLER"]
    module, _, function = name.rpartition(".")
    # The form with slashes is Lambda's own: pkg/module.handler.
    return getattr(importlib.import_module(module.replace("/", ".")), function)


# Before the application's module is imported, so that clients it makes while importing are watched as well.
botocore.register_initializer(_watch)
_application = _original()
_connect()


def _opened(event: Any, context: Any) -> dict[str, Any] | None:
    """The record of an invocation, or None when it is not one of the API whose tee this is."""
    global _dropped, _is_ours
    _is_ours = is_answer = os.environ.get("WS2SSE_TEE_ROLE") == "answer"
    request = event.get("requestContext") if isinstance(event, dict) else None
    api_id = request.get("apiId") if isinstance(request, dict) else None
    if not is_answer and (api_id is None or api_id != os.environ.get("WS2SSE_TEE_API_ID", api_id)):
        return None
    _is_ours = True
    try:
        return _open_record(event, context, is_answer)
    except Exception as error:  # fails open: whatever shape this event has, it is the application's
        _dropped += 1
        _log(f"an invocation was not copied: {type(error).__name__}")
        return None


def _status(answer: Any) -> int | None:
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    return status if isinstance(status, int) else None


def handler(event: Any, context: Any) -> Any:
    """The function's handler while the tee is installed: runs the original one and copies what passed."""
    global _current
    record = _opened(event, context)
    if record is None:
        return _application(event, context)
    _current = record
    try:
        answer = _application(event, context)
        record["status"] = _status(answer)
        return answer
    except BaseException:
        record["failed"] = True
        raise
    finally:
        _current = None
        _send(record, context)
