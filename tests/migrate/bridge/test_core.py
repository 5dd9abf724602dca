"""What crosses the bridge, and as what (MG8)."""

import json
from typing import Any

from migrate.bridge.core import BridgeRule, frame_for_legacy, publications
from migrate.tee.records import Post, TeeRecord

RULE = BridgeRule()
MESSAGE = {"type": "message", "roomId": "main", "messageId": "m-1", "userName": "alice", "message": "hi"}


def record(*frames: Any, tenant: str | None = "acme") -> TeeRecord:
    posts = tuple(
        Post(
            data=frame if isinstance(frame, str) else json.dumps(frame),
            base64=False,
            at=float(index),
            ok=("c1",),
            gone=(),
            failed=(),
        )
        for index, frame in enumerate(frames)
    )
    return TeeRecord(
        request_id="r", api_id="a", stage="prod", route_key="sendMessage", event_type="MESSAGE", connection_id="c1",
        user="alice", tenant=tenant, at=0.0, body=None, failed=False, truncated=False, dropped_before=0, posts=posts,
    )  # fmt: skip


def test_a_room_message_becomes_one_event_of_its_room() -> None:
    """MG8: topic, key and payload are those of the WebSocket frame, the origin is legacy."""
    [publication] = publications(record(MESSAGE), RULE, "demo")
    assert (publication.tenant, publication.topic, publication.key) == ("acme", "room:main", "m-1")
    body = publication.body()
    assert body["data"] == MESSAGE
    assert body["origin"] == "legacy"
    assert body["ensureConversation"] == {"conversationId": "main", "open": True}


def test_a_message_posted_twice_crosses_once() -> None:
    """MG8: once each, also when the Lambda posted again."""
    assert len(publications(record(MESSAGE, MESSAGE), RULE, "demo")) == 1


def test_messages_of_one_invocation_keep_their_order() -> None:
    """MG8: first posted, first published."""
    second = {**MESSAGE, "messageId": "m-2"}
    assert [p.key for p in publications(record(second, MESSAGE), RULE, "demo")] == ["m-2", "m-1"]


def test_answers_to_one_client_do_not_cross() -> None:
    """MG8: history, errors, broken and foreign frames stay where they are."""
    frames = (
        {"type": "history", "roomId": "main", "messages": []},
        {"type": "error", "code": "bad_request"},
        "no json",
        "[1]",
        {**MESSAGE, "roomId": 7},
    )
    assert publications(record(*frames), RULE, "demo") == []


def test_a_sender_without_tenant_belongs_to_the_default() -> None:
    """MG8: stacks without tenants have one."""
    assert publications(record(MESSAGE, tenant=None), RULE, "demo")[0].tenant == "demo"


def envelope(**changes: Any) -> dict[str, Any]:
    return {
        "id": "e-1",
        "topic": "room:main",
        "type": "message",
        "origin": "rest",
        "data": MESSAGE,
        **changes,
    }


def test_an_event_of_the_service_becomes_the_same_frame() -> None:
    """MG8: WebSocket clients see the payload SSE clients see."""
    text = frame_for_legacy(envelope(), RULE)
    assert text is not None
    assert json.loads(text) == MESSAGE


def test_nothing_echoes() -> None:
    """MG8: what came from the legacy stack does not go back there."""
    assert frame_for_legacy(envelope(origin="legacy"), RULE) is None


def test_other_types_and_topics_stay() -> None:
    """MG8: only what the rule names crosses."""
    assert frame_for_legacy(envelope(type="conversation.created"), RULE) is None
    assert frame_for_legacy(envelope(topic="user:alice"), RULE) is None
