"""WL7: the responder's answer as the response of a POST, and as events; both on both back ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from sse_service.app import make_backends
from sse_service.settings import Settings
from sse_service.testing import Frame, SseReader

from . import chat_responders

HERE = chat_responders.__name__
STEERED = f"{HERE}:steered"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    chat_responders.reset()
    yield
    chat_responders.GO_ON.set()


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


async def ask(service: Any, user: str, chat: str, **body: Any) -> tuple[httpx.Response, list[Frame]]:
    answer = await service.post(f"/chat/{chat}/stream", user, body)
    return answer, SseReader().feed(answer.content) if answer.status_code == 200 else []


@asynccontextmanager
async def asking(service: Any, bearer: Any, user: str, chat: str, **body: Any) -> AsyncIterator[Any]:
    """A response that is read piece by piece: (response, iterator over its frames)."""
    async with service.client.stream(
        "POST", f"/chat/{chat}/stream", json=body, headers=bearer(user), timeout=10
    ) as response:
        reader = SseReader()

        async def frames() -> AsyncIterator[Frame]:
            async for chunk in response.aiter_raw():
                for frame in reader.feed(chunk):
                    yield frame

        yield response, frames()


async def test_wl7_the_answer_comes_chunk_by_chunk_with_the_frames_of_the_other_stack(any_service: Any) -> None:
    service = any_service
    await service.room("c1")
    async with service.stream("bob") as others:
        response, frames = await ask(service, "ann", "c1", message="hello big world", message_id="m-1")
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store, no-transform"
        ids = {"chat_id": "c1", "message_id": "m-1"}
        start, *chunks, end = frames
        timestamp = start.json["timestamp"]
        assert start.json == {"type": "chat_stream_start", **ids, "timestamp": timestamp}
        assert len(timestamp) == 27 and timestamp.endswith("Z")
        assert [frame.json for frame in chunks] == [
            {"type": "chat_stream_chunk", **ids, "index": n, "text": text}
            for n, text in enumerate(["You ", "said: ", "hello ", "big ", "world"])
        ]
        assert end.json == {"type": "chat_stream_end", **ids, "chunks": 5, "status": "completed"}
        assert [frame.type for frame in frames] == [frame.json["type"] for frame in frames]
        assert len({frame.id for frame in frames}) == len(frames)
        told = (await others.frame("chat_message")).json
        assert told == {
            "type": "chat_message",
            **ids,
            "user_id": "ann",
            "message": "hello big world",
            "timestamp": timestamp,
        }
    rows = (await service.get("/api/chat/history?conversationId=c1", "bob")).json()["messages"]
    assert [(row["userName"], row["message"]) for row in rows] == [
        ("ann", "hello big world"),
        ("assistant", "You said: hello big world"),
    ]
    # What was answered to one is not unread to the others.
    assert (await service.get("/api/chat/unread", "bob")).json()["unread"] == 1
    assert (await service.get("/api/chat/unread", "ann")).json()["unread"] == 0


async def test_wl7_only_participants_ask(api: Any) -> None:
    await api.room("theirs", "ann")
    for chat in ("theirs", "nowhere"):
        assert (await api.post(f"/chat/{chat}/stream", "eve", {"message": "x"})).status_code == 403
        assert (await api.post("/api/chat/message", "eve", {"chat_id": chat, "message": "x"})).status_code == 403
    assert (await api.client.post("/chat/theirs/stream", json={"message": "x"})).status_code == 401
    for body in ({}, {"message": ""}, {"message": 5}, {"message": "x", "message_id": "a\nb"}):
        assert (await api.post("/chat/theirs/stream", "ann", body)).status_code == 400
    assert (await api.post("/chat/theirs/stream", "ann", {"message": "x" * 200_000})).status_code == 413
    assert [e for e in await api.events() if e.type != "conversation"] == []


async def test_wl7_a_repeat_gets_the_same_answer_and_asks_the_responder_once(
    start_service: Any, dynamo_tables: Settings
) -> None:
    service = await start_service(dynamo_tables.replace(responder=STEERED))
    await service.room("c1")
    body = {"message": "hi", "idempotencyKey": "k"}
    _, first = await ask(service, "ann", "c1", **body)
    _, again = await ask(service, "ann", "c1", **body)
    assert [frame.json for frame in again] == [frame.json for frame in first]
    assert len(chat_responders.CALLS) == 1
    rows = (await service.get("/api/chat/history?conversationId=c1", "ann")).json()["messages"]
    assert [row["message"] for row in rows] == ["hi", "one two"]
    await ask(service, "bob", "c1", **body)  # another user's key is another key
    assert len(chat_responders.CALLS) == 2


async def test_wl7_while_it_is_answered_a_repeat_is_a_conflict_that_passes(
    start_service: Any, settings: Settings, bearer: Any
) -> None:
    service = await start_service(settings.replace(responder=STEERED))
    await service.room("c1")
    body = {"message": "wait", "message_id": "m"}
    async with asking(service, bearer, "ann", "c1", **body) as (_, frames):
        await anext(frames)
        response, _ = await ask(service, "ann", "c1", **body)
        assert response.status_code == 409 and response.headers["retry-after"]
        chat_responders.GO_ON.set()
        rest = [frame async for frame in frames]
    assert rest[-1].json["status"] == "completed"
    response, frames = await ask(service, "ann", "c1", **body)
    assert response.status_code == 200 and frames[-1].json["chunks"] == rest[-1].json["chunks"]


@pytest.mark.parametrize(("name", "word"), [("steered", "wait"), ("unhurried", "x")])
async def test_wl7_who_leaves_cancels_the_answer(
    start_service: Any, settings: Settings, bearer: Any, name: str, word: str
) -> None:
    """The generator is closed, the place is free, and a repeat begins anew at once."""
    service = await start_service(settings.replace(responder=f"{HERE}:{name}", max_answers_per_user=1))
    await service.room("c1")
    work = service.app.state.services.chat.answers.work
    async with asking(service, bearer, "ann", "c1", message=word, idempotencyKey="k") as (_, frames):
        await anext(frames)
        await anext(frames)
        assert work.running == 1
        refused, _ = await ask(service, "ann", "c1", message="x")
        assert refused.status_code == 429 and refused.headers["retry-after"]
        assert refused.json()["scope"] == "user"
    await until(chat_responders.CLOSED.is_set, "the generator is closed")
    await until(lambda: work.running == 0, "the place is free")
    chat_responders.GO_ON.set()
    await until(lambda: not work._tasks, "the claim is let go")
    response, again = await ask(service, "ann", "c1", message=word, idempotencyKey="k")
    assert response.status_code == 200, response.text
    assert again[-1].json["status"] == "completed" and len(chat_responders.CALLS) == 2
    rows = (await service.get("/api/chat/history?conversationId=c1", "ann")).json()["messages"]
    assert [row["userName"] for row in rows] == ["ann", "assistant"]


async def test_wl7_errors_before_the_first_byte_are_http_errors(start_api: Any, settings: Settings) -> None:
    """REQUIREMENTS 12: and none of them shows what the responder raised."""
    api = await start_api(settings.replace(responder=STEERED))
    await api.room("c1", "ann")
    failed, _ = await ask(api, "ann", "c1", message="fail first", message_id="m")
    assert failed.status_code == 500
    assert failed.json()["type"] == "urn:sse-service:responder_failed"
    assert failed.json()["messageId"] == "m" and "secret" not in failed.text


@pytest.mark.parametrize("word", ["fail later", "nonsense", "stop iteration"])
async def test_wl7_errors_after_it_are_a_failed_end(start_service: Any, settings: Settings, word: str) -> None:
    service = await start_service(settings.replace(responder=STEERED))
    await service.room("c1")
    response, frames = await ask(service, "ann", "c1", message=word)
    assert response.status_code == 200 and "secret" not in response.text
    assert frames[-1].json["status"] == "failed" and frames[-1].json["chunks"] == 1
    rows = (await service.get("/api/chat/history?conversationId=c1", "ann")).json()["messages"]
    assert [row["userName"] for row in rows] == ["ann"]


async def test_wl7_long_pieces_are_split(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(responder=STEERED))
    await service.room("c1")
    _, frames = await ask(service, "ann", "c1", message="long")
    texts = [frame.json["text"] for frame in frames[1:-1]]
    assert "".join(texts) == "one " + "日" * 10_000 + "two"
    assert max(len(text.encode()) for text in texts) <= 16 << 10
    assert [frame.json["index"] for frame in frames[1:-1]] == list(range(len(texts)))


async def test_wl7_a_silent_responder_is_covered_by_heartbeats(
    start_service: Any, settings: Settings, bearer: Any
) -> None:
    service = await start_service(settings.replace(responder=f"{HERE}:unhurried", heartbeat_s=0.05))
    await service.room("c1")
    seen = b""
    async with service.client.stream(
        "POST", "/chat/c1/stream", json={"message": "x"}, headers=bearer("ann"), timeout=10
    ) as response:
        async for chunk in response.aiter_raw():
            seen += chunk
            if seen.count(b": hb\n") >= 3:
                chat_responders.GO_ON.set()
    frames = SseReader().feed(seen)
    assert [frame.type for frame in frames] == ["chat_stream_start", *["chat_stream_chunk"] * 2, "chat_stream_end"]


async def test_wl7_a_client_that_takes_nothing_is_cut_off(start_service: Any, settings: Settings, bearer: Any) -> None:
    """The send time-out is on: a stalled reader does not hold its generator."""
    service = await start_service(settings.replace(responder=STEERED, send_timeout_s=0.2))
    await service.room("c1")
    body = json.dumps({"message": "flood"})
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1024)
    head = f"POST /chat/c1/stream HTTP/1.1\r\nhost: x\r\nauthorization: {bearer('ann')['authorization']}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    await reader.readuntil(b"\r\n")
    await until(chat_responders.CLOSED.is_set, "the generator is closed")
    await until(lambda: service.app.state.services.chat.answers.work.running == 0, "the place is free")
    writer.transport.abort()


async def test_stores_agree_on_renewed_claims(settings: Settings, dynamo_tables: Settings) -> None:
    """An answer that takes longer than a lease is still being made by its owner, and by nobody else."""
    for chosen in (settings, dynamo_tables):
        backends = make_backends(chosen, time.time)
        await backends.log.start()
        claims, times = backends.claims, {"lease_s": 10, "keep_s": 1000}
        assert (await claims.claim("k", "me", {}, now=0, **times)).state == "mine"
        assert not await claims.renew("k", "you", 500)
        assert (await claims.claim("k", "you", {}, now=5, **times)).state == "busy"
        assert await claims.renew("k", "me", 500)
        assert (await claims.claim("k", "you", {}, now=400, **times)).state == "busy"
        assert (await claims.claim("k", "you", {}, now=501, **times)).state == "taken_over"
        assert not await claims.renew("k", "me", 5000)  # too late: it is somebody else's now
        await claims.complete("k", {"x": "y"})
        assert not await claims.renew("k", "you", 5000)
        assert (await claims.claim("k", "me", {}, now=600, **times)).state == "done"
        await backends.log.close()


async def test_wl7_an_answer_lasts_no_longer_than_a_response_may(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(responder=STEERED, heartbeat_s=0.1, max_age_s=0.3))
    await service.room("c1")
    response, frames = await ask(service, "ann", "c1", message="wait")
    assert response.status_code == 200 and frames[-1].json["status"] == "failed"
    await until(chat_responders.CLOSED.is_set, "the generator is closed")


async def test_wl7_sigterm_lets_answers_finish_and_interrupts_the_others_in_order(
    start_service: Any, settings: Settings, bearer: Any
) -> None:
    """What is not done within the grace period ends with `failed` and a clean end of the response."""
    service = await start_service(settings.replace(responder=STEERED, grace_s=1))
    await service.room("c1")
    async with asking(service, bearer, "ann", "c1", message="wait") as (_, frames):
        await anext(frames)
        service.server.leave()
        rest = [frame async for frame in frames]  # raises where the response is cut off
    assert rest[-1].json["status"] == "failed"
    await service.stop()

    chat_responders.reset()
    service = await start_service(settings.replace(responder=STEERED, grace_s=5))
    await service.room("c1")
    async with asking(service, bearer, "ann", "c1", message="wait") as (_, frames):
        await anext(frames)
        service.server.leave()
        chat_responders.GO_ON.set()
        rest = [frame async for frame in frames]
    assert rest[-1].json["status"] == "completed"
    await service.stop()


async def test_importing_sse_starlette_leaves_uvicorn_as_it_was() -> None:
    """Its import replaces the exit handler, which would end the streams of every later server in the process."""
    import uvicorn
    from sse_starlette.sse import AppStatus

    import sse_service.reply  # noqa: F401

    assert uvicorn.Server.handle_exit is AppStatus.original_handler
    assert AppStatus.should_exit is False


async def test_wl8_with_chat_id_the_answer_comes_as_events(any_service: Any) -> None:
    """What the WebSocket frame `chat` did: accepted, told to the tenant, answered on the user's streams."""
    service = any_service
    await service.room("c1")
    async with service.stream("ann") as one, service.stream("ann") as two, service.stream("bob") as other:
        body = {"chat_id": "c1", "message": "hello world", "message_id": "m-1"}
        accepted = await service.post("/api/chat/message", "ann", body)
        assert accepted.status_code == 202, accepted.text
        ids = {"chat_id": "c1", "message_id": "m-1"}
        timestamp = accepted.json()["timestamp"]
        assert accepted.json() == {"type": "chat_response", **ids, "status": "accepted", "timestamp": timestamp}
        for stream in (one, two):
            assert (await stream.frame("chat_stream_end")).json == {
                "type": "chat_stream_end",
                **ids,
                "chunks": 4,
                "status": "completed",
            }
            assert (await stream.frame("chat_stream_start")).json == {
                "type": "chat_stream_start",
                **ids,
                "timestamp": timestamp,
            }
            texts = [frame.json["text"] for frame in stream.of_type("chat_stream_chunk")]
            assert "".join(texts) == "You said: hello world"
        assert (await other.frame("chat_message")).json["message"] == "hello world"
        assert other.of_type("chat_stream_start") == []
        again = await service.post("/api/chat/message", "ann", body)
        assert again.status_code == 200 and again.json() == accepted.json()
        await service.post("/api/chat/message", "ann", {"message": "the end"})
        await one.frame("message")
        assert len(one.of_type("chat_stream_end")) == 1


async def test_wl8_an_answer_told_as_events_ends_also_when_the_service_does(
    start_service: Any, dynamo_tables: Settings
) -> None:
    service = await start_service(dynamo_tables.replace(responder=STEERED, grace_s=1))
    await service.room("c1")
    for chat, word in (("c1", "fail later"), ("c1", "wait")):
        await service.post("/api/chat/message", "ann", {"chat_id": chat, "message": word})
    await until(lambda: len(chat_responders.CALLS) == 2, "both have begun")
    await service.stop()
    next_one = await start_service(dynamo_tables)
    async with next_one.stream("ann", "/api/streams?topic=user:ann") as stream:
        cursor = stream.frames[0].id
    epoch = cursor.partition("-")[0]
    async with next_one.stream("ann", "/api/streams?topic=user:ann", cursor=f"{epoch}-0") as stream:
        await stream.frame("chat_stream_end", 2)
        assert [json.loads(f.data)["data"]["status"] for f in stream.of_type("chat_stream_end")] == ["failed"] * 2


async def test_chat_id_goes_alone(memory_api: Any) -> None:
    await memory_api.room("c1", "ann")
    for extra in ({"conversationId": "c1"}, {"with": "bob"}, {"userName": "A"}, {"message": ""}):
        body = {"chat_id": "c1", "message": "x", **extra}
        assert (await memory_api.post("/api/chat/message", "ann", body)).status_code == 400
    assert (await memory_api.post("/api/chat/message", "ann", {"message": "x", "message_id": "m"})).status_code == 400


async def test_the_assistants_answer_in_a_direct_conversation_has_its_room(service: Any) -> None:
    """A client files messages by roomId; the pair of the assistant and one of the two is no room."""
    sent = (await service.post("/api/chat/send", "ann", {"with": "bob", "message": "hi"})).json()
    said = await service.post(f"/chat/{quote(sent['conversationId'], safe='')}/stream", "ann", {"message": "hello"})
    assert said.status_code == 200
    for user, other in (("ann", "bob"), ("bob", "ann")):
        page = (await service.get(f"/api/chat/history/direct?with={other}", user)).json()
        rows = [(row["senderEmail"], row["roomId"]) for row in page["messages"]]
        assert rows == [("assistant", "ann#bob"), ("ann", "ann#bob"), ("ann", "ann#bob")]
