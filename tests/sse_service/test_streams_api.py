"""Streams over real sockets: what arrives, in what order, and what is said when it cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.integration


async def test_rc3_sq1_a_message_reaches_sender_and_others_as_the_rooms_frame(any_service: Any) -> None:
    """What is sent over REST arrives as the frame that clients of the other stack get, with the event's id."""
    await any_service.room()
    async with any_service.stream("ann") as ann, any_service.stream("bob") as bob:
        sent = await any_service.say("ann", "hi")
        for stream in (ann, bob):
            frame = await stream.frame("message")
            assert frame.json == {
                "type": "message",
                "roomId": "main",
                "messageId": sent["messageId"],
                "userName": "ann",
                "message": "hi",
                "timestamp": sent["timestamp"],
            }
            assert frame.id.split("-")[1] != "0"
    history = (await any_service.get("/api/chat/history?conversationId=main", "bob")).json()
    row = dict(frame.json)
    del row["type"]
    assert history == {"conversationId": "main", "messages": [row], "before": None}


async def test_the_first_event_says_where_the_stream_stands(any_service: Any) -> None:
    async with any_service.stream("ann") as ann:
        ready = ann.frames[0]
        assert ready.type == "ready"
        assert ready.json == {"recovered": False, "position": ready.id, "reason": "fresh"}
        assert ann.reader.retry_ms is not None and ann.reader.retry_ms >= 1000


async def test_resume_replays_exactly_what_was_missed(any_service: Any) -> None:
    await any_service.room()
    async with any_service.stream("ann") as ann:
        await any_service.say("bob", "1")
        seen = await ann.frame("message")
    for text in ("2", "3", "4"):
        await any_service.say("bob", text)
    async with any_service.stream("ann", cursor=seen.id) as ann:
        assert ann.frames[0].json == {"recovered": True, "position": seen.id, "reason": "resumed"}
        await ann.frame("message", 3)
        await any_service.say("bob", "5")
        await ann.frame("message", 4)
        assert [frame.json["message"] for frame in ann.of_type("message")] == ["2", "3", "4", "5"]


async def test_last_event_id_in_the_query_resumes_as_well(any_service: Any) -> None:
    await any_service.room()
    async with any_service.stream("ann") as ann:
        position = ann.frames[0].id
    await any_service.say("bob", "missed")
    async with any_service.stream("ann", f"/api/chat/stream?lastEventId={position}") as ann:
        assert (await ann.frame("message")).json["message"] == "missed"


@pytest.mark.parametrize("cursor", ["garbage", "1", "0-", "zzz-5", "a" * 4000, "%00-1", "x-99999999999999999999"])
async def test_a_garbage_cursor_gets_a_reset_and_the_stream_goes_on(any_service: Any, cursor: str) -> None:
    await any_service.room()
    async with any_service.stream("ann", cursor=cursor) as ann:
        ready = ann.frames[0]
        assert ready.json["recovered"] is False
        reset = await ann.frame("reset")
        assert reset.json["reason"] in {"invalid_id", "unknown_log"}
        assert reset.id == ready.id == reset.json["position"]
        await any_service.say("bob", "on we go")
        await ann.frame("message")


async def test_a_cursor_ahead_of_the_log_gets_a_reset(any_service: Any) -> None:
    async with any_service.stream("ann") as ann:
        epoch = ann.frames[0].id.split("-")[0]
    async with any_service.stream("ann", cursor=f"{epoch}-4711") as ann:
        assert (await ann.frame("reset")).json["reason"] == "ahead"


async def test_many_publishers_many_streams_same_order_everywhere(any_service: Any) -> None:
    await any_service.room()
    async with any_service.stream("ann") as ann, any_service.stream("bob") as bob:
        await asyncio.gather(*(any_service.say(f"u{n % 5}", str(n)) for n in range(60)))
        await ann.frame("message", 60)
        await bob.frame("message", 60)
        assert [f.id for f in ann.of_type("message")] == [f.id for f in bob.of_type("message")]
        assert sorted(int(f.json["message"]) for f in ann.of_type("message")) == list(range(60))
        numbers = [int(f.id.split("-")[1]) for f in ann.of_type("message")]
        assert numbers == list(range(numbers[0], numbers[0] + 60))
