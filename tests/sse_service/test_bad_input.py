"""Bad input on every route: bodies of 10 MB, control characters in every text, other people's conversations.

Routes and fields come from the OpenAPI document, so that a new one is asked as well.
"""

from __future__ import annotations

import asyncio
import copy
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import pytest

from sse_service.app import create_app
from sse_service.settings import Secret, Settings

BIG = 10 << 20
HELD = 5 << 20
"""More than a body of SSE_MAX_BODY_BYTES costs while it is read, less than one of 10 MB does."""

VALID: dict[str, dict[str, Any]] = {
    "/api/chat/send": {
        "conversationId": "c", "with": "bob", "message": "hi", "idempotencyKey": "k", "userName": "Ann",
        "attachment": {"uploadId": "0" * 32, "name": "a.png"},
    },
    "/api/chat/message": {
        "conversationId": "c", "with": "bob", "message": "hi", "idempotencyKey": "k", "userName": "Ann",
        "attachment": {"uploadId": "0" * 32, "name": "a.png"}, "chat_id": "c", "message_id": "m",
    },
    "/api/conversations": {"conversationId": "c", "participants": ["bob"]},
    "/api/conversations/participants": {"conversationId": "c", "participants": ["bob"]},
    "/api/chat/support": {},
    "/api/events": {
        "events": [
            {
                "topic": "user:ann", "type": "note", "data": "text", "key": "k", "origin": "o", "excludeUser": "eve",
                "ensureConversation": {"conversationId": "c2"},
            }
        ]
    },
    "/api/chat/typing": {"conversationId": "c", "with": "bob", "typing": True},
    "/api/chat/read": {"conversationId": "c", "with": "bob", "upTo": "1"},
    "/api/chat/uploads": {"contentType": "image/png"},
    "/chat/{chat_id}/stream": {"message": "hi", "message_id": "m", "idempotencyKey": "k"},
    "/api/agent-runs": {"agent_id": "a", "input": "text", "run_id": "r"},
    "/api/library-jobs": {"library_id": "l", "documents": ["text"], "job_id": "j"},
    "/api/streams/tickets": {"topics": ["user:ann"]},
}  # fmt: skip
"""Every text field of every POST route, with a value that is right by itself."""

FREE = {"message", "data", "input", "documents"}
"""What people and programs say: any text, escaped in JSON."""

DOCUMENT: dict[str, Any] = create_app(Settings(jwt_secret=Secret("k" * 32))).openapi()
POSTS = sorted(path for path, operations in DOCUMENT["paths"].items() if "post" in operations)
ALL_SCOPES = {"scope": "events:publish streams:tenant"}


def filled(path: str) -> str:
    return path.replace("{chat_id}", "c").replace("{messageId}", "m").replace("{run_id}", "r").replace("{job_id}", "j")


def texts(schema: dict[str, Any]) -> Iterator[str]:
    """Dotted names of the fields of a schema that take text."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "string" or not schema.keys() - {"title", "description", "default"}:
        yield ""
    for part in [*schema.get("anyOf", []), schema.get("items", {})]:
        if part:
            yield from texts(part)
    for name, one in schema.get("properties", {}).items():
        for inner in texts(one):
            yield f"{name}.{inner}".rstrip(".")


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, (*at, name))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from leaves(one, (*at, place))
    elif isinstance(value, str):
        yield at


def changed(body: Any, at: tuple[Any, ...], value: str) -> Any:
    body = copy.deepcopy(body)
    inner = body
    for part in at[:-1]:
        inner = inner[part]
    inner[at[-1]] = value
    return body


def only_with(body: dict[str, Any], field: str) -> dict[str, Any]:
    """A body that is right by itself: one way to name the conversation, no file that is not there."""
    left = {"with", "attachment", "chat_id", "message_id"} if "conversationId" in body else set()
    if field in {"with", "chat_id", "message_id"}:
        left |= {"conversationId", "idempotencyKey", "userName"}
        left -= {"with"} if field == "with" else {"chat_id", "message_id"}
    return {key: one for key, one in body.items() if key == field or key not in left}


def test_every_text_field_of_every_route_is_asked_here() -> None:
    for path in POSTS:
        content = DOCUMENT["paths"][path]["post"].get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        wanted = set(texts(schema)) if schema else set()
        asked = {".".join(part for part in at if isinstance(part, str)) for at in leaves(VALID[path])}
        assert wanted == asked, path
    assert VALID.keys() == set(POSTS)


# 10 MB -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_of_10_mb_is_413_and_is_not_kept(
    service: Any, bearer: Callable[..., dict[str, str]], path: str
) -> None:
    """With its length declared nothing of it is read; without, no more than SSE_MAX_BODY_BYTES."""
    await service.room("c")
    headers = {**bearer("ann", **ALL_SCOPES), "content-type": "application/json"}
    piece = b'{"message": "' + b"x" * ((64 << 10) - 13)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BIG // len(piece)):
            yield piece

    async def status(declared: bool) -> int:
        lengths = {"content-length": str(BIG)} if declared else {"transfer-encoding": "chunked"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"host": "x", **headers, **lengths}.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)

        async def send() -> None:
            writer.write(f"POST {filled(path)} HTTP/1.1\r\n{lines}\r\n".encode())
            async for part in pieces():
                writer.write(part if declared else b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()

        sending = asyncio.create_task(send())
        try:
            async with asyncio.timeout(15):
                return int((await reader.readuntil(b"\r\n")).split()[1])
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort()

    await status(True)  # what is made once is made
    tracemalloc.start()
    try:
        for declared in (True, False):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            # A route without a body does not wait for one.
            wanted = {413} if declared or VALID[path] else {200, 201}
            assert await status(declared) in wanted
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < HELD
    finally:
        tracemalloc.stop()


# CR, LF, NUL ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["a\r\nevent: message\ndata: 1\n\n", "a\nb", "a\rb", "a\0b"])
async def test_control_characters_in_any_text_field_reach_no_line_of_a_stream(
    start_service: Any, settings: Settings, moto_url: str, bearer: Callable[..., dict[str, str]], bad: str
) -> None:
    """Names, keys and types: 400 with the field's name. What people say is stored and escaped."""
    boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1").create_bucket(Bucket="files-of-tests")
    service = await start_service(
        settings.replace(uploads_bucket="files-of-tests", aws_endpoint_url=moto_url, region="us-east-1")
    )
    await service.room("c")
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    authorization = bearer("ann", **ALL_SCOPES)["authorization"]
    writer.write(f"GET /api/streams?topic=* HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n".encode())
    raw = await reader.readuntil(b"event: ready")
    said = 0
    for path, body in VALID.items():
        for at in leaves(body):
            name = next(part for part in reversed(at) if isinstance(part, str))
            less = only_with(body, at[0])
            answer = await service.post(filled(path), "ann", changed(less, at, bad), **ALL_SCOPES)
            where = (path, at, answer.status_code, answer.text)
            if name in FREE:
                assert answer.status_code < 300, where
                said += 1
            else:
                assert answer.status_code == 400, where
                assert name in answer.json()["field"], where
    assert said >= 6
    # What comes last: everything before it is there.
    await service.post("/api/events", "w", {"events": [{"topic": "user:z", "type": "last", "data": 1}]}, **ALL_SCOPES)
    async with asyncio.timeout(10):
        raw += await reader.readuntil(b"event: last\n")
    writer.close()
    body_of_chunks = raw.partition(b"\r\n\r\n")[2]
    kinds = set()
    for line in body_of_chunks.split(b"\n"):
        if line.endswith(b"\r") or not line:
            continue  # sizes of chunks
        field, _, value = line.partition(b": ")
        assert field in {b"id", b"event", b"data", b"retry", b""}, line
        assert b"\r" not in value and b"\0" not in value
        if field == b"event":
            kinds.add(value.decode())
        if field == b"data":
            json.loads(value)
    assert {"message", "note", "agent_run_notification"} <= kinds


async def test_control_characters_in_paths_and_queries_are_400(
    service: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    await service.room("c")
    good = {"conversationId": "c", "with": "bob", "user": "bob", "topic": "user:ann", "feature": "chat", "limit": "5"}
    asked = 0
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            places = [
                (one["name"], one["in"])
                for one in operation.get("parameters", [])
                if one["in"] in {"path", "query"} and one["name"] not in {"lastEventId", "ticket"}
            ]
            for name, place in places:
                for bad in ("a\r\nb", "a\0b"):
                    query = {key: good[key] for key, where in places if where == "query" and key in good}
                    at = filled(path)
                    if place == "path":
                        at = filled(path.replace("{" + name + "}", quote(bad, safe="")))
                    else:
                        query[name] = bad
                    answer = await service.client.request(
                        method,
                        f"{at}?{urlencode(query)}" if query else at,
                        headers=bearer("ann", **ALL_SCOPES),
                        **({"json": {"message": "x"}} if method == "post" else {}),
                    )
                    assert answer.status_code == 400, (method, path, name, bad, answer.status_code, answer.text)
                    asked += 1
    assert asked > 30


# Other people's ------------------------------------------------------------------------------------------------

THEIRS = [
    ("POST", "/api/chat/send", {"conversationId": "theirs", "message": "x"}),
    ("POST", "/api/chat/message", {"conversationId": "theirs", "message": "x"}),
    ("POST", "/api/chat/message", {"chat_id": "theirs", "message": "x"}),
    ("POST", "/chat/theirs/stream", {"message": "x"}),
    ("GET", "/api/chat/stream?conversationId=theirs", None),
    ("GET", "/api/chat/stream?conversationId=theirs&lastEventId={position}", None),
    ("GET", "/api/streams?topic=room:theirs", None),
    ("GET", "/api/streams?topic=room:theirs&lastEventId={position}", None),
    ("GET", "/api/streams?topic=user:bob&lastEventId={position}", None),
    ("POST", "/api/streams/tickets", {"topics": ["room:theirs"]}),
    ("GET", "/api/chat/history?conversationId=theirs", None),
    ("GET", "/api/chat/messages/{message}?conversationId=theirs", None),
    ("GET", "/api/chat/messages/{message}/attachment?conversationId=theirs", None),
    ("POST", "/api/chat/read", {"conversationId": "theirs"}),
    ("POST", "/api/chat/typing", {"conversationId": "theirs", "typing": True}),
    ("GET", "/api/conversations?conversationId=theirs", None),
    ("POST", "/api/conversations", {"conversationId": "theirs"}),
    ("POST", "/api/conversations/participants", {"conversationId": "theirs", "participants": ["eve"]}),
    ("DELETE", "/api/conversations/participants?conversationId=theirs&user=bob", None),
    ("DELETE", "/api/conversations/participants?conversationId=theirs&user=eve", None),
    ("POST", "/api/events", {"events": [{"topic": "room:theirs", "type": "x", "data": 1}]}),
]


@pytest.mark.parametrize(("caller", "tenant"), [("eve", "demo"), ("ann", "other")])
async def test_a_conversation_of_others_is_403_whatever_is_asked_of_it(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], caller: str, tenant: str
) -> None:
    """Publish, subscribe, replay, history, receipts, typing, files, participants: of a user who takes no part, and of
    its own creator's namesake in another tenant. Nothing is stored, and nobody is told."""
    service = await start_service(settings)
    made = {"conversationId": "theirs", "participants": ["bob"]}
    assert (await service.post("/api/conversations", "ann", made)).status_code == 201
    sent = await service.say("ann", "secret", "theirs")
    async with service.stream("bob", cursor=None) as bob:
        position = bob.frames[0].id
        for method, path, body in THEIRS:
            if tenant == "other" and (path, method) == ("/api/conversations", "POST"):
                continue  # a name of its own there
            at = path.replace("{position}", position).replace("{message}", sent["messageId"])
            more = {} if body is None else {"json": body}
            answer = await service.client.request(method, at, headers=bearer(caller, tenant), **more)
            assert answer.status_code == 403, (method, at, answer.status_code, answer.text)
            assert "secret" not in answer.text
        await service.say("ann", "last", "theirs")
        assert (await bob.frame("message")).json["message"] == "last"
        assert [frame.type for frame in bob.frames] == ["ready", "message"]
    history = (await service.get("/api/chat/history?conversationId=theirs", "ann")).json()["messages"]
    assert [one["message"] for one in history] == ["secret", "last"]
    people = (await service.get("/api/conversations?conversationId=theirs", "ann")).json()["participants"]
    assert people == ["ann", "bob"]
    assert (await service.get("/api/chat/unread", "bob")).json()["unread"] == 2
