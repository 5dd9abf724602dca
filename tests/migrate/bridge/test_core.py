"""What crosses the bridge, and as what. until phase 3 (MG8)"""

import json
from typing import Any

from migrate.bridge.applications import COLLECT, DELIVER
from migrate.bridge.core import NOBODY, Owner, Rules, crossing, publications
from migrate.config.model import Collect, Deliver, Feature
from migrate.tee.records import Post, TeeRecord

MESSAGE = {"type": "message", "roomId": "main", "messageId": "m-1", "userName": "alice", "message": "hi"}


def rules_of(application: str) -> Rules:
    field = "type" if application == "layers" else "action"
    names = DELIVER[application]
    return Rules(
        [
            Feature(name=name, type_field=field, deliver=names[name], collect=COLLECT[application][name])
            for name in names
        ],
        "demo",
    )


RULES = rules_of("rooms")


def record(*frames: Any, tenant: str | None = "acme", to: tuple[str, ...] = ("c1",), **changes: Any) -> TeeRecord:
    posts = tuple(
        Post(
            data=frame if isinstance(frame, str) else json.dumps(frame),
            base64=False,
            at=float(index),
            ok=to,
            gone=(),
            failed=(),
        )
        for index, frame in enumerate(frames)
    )
    fields: dict[str, Any] = {
        "request_id": "r", "api_id": "a", "stage": "prod", "route_key": "sendMessage", "event_type": "MESSAGE",
        "connection_id": "c1", "user": "alice", "tenant": tenant, "at": 0.0, "body": None, "failed": False,
        "truncated": False, "dropped_before": 0, "posts": posts,
    }  # fmt: skip
    return TeeRecord(**{**fields, **changes})


def test_a_room_message_becomes_one_event_of_its_room() -> None:
    """MG8: topic, key and payload are those of the WebSocket frame, the origin is legacy."""
    [publication] = publications(record(MESSAGE), RULES)
    assert (publication.tenant, publication.topic, publication.key) == ("acme", "room:main", "m-1")
    body = publication.body()
    assert body["data"] == MESSAGE
    assert body["origin"] == "legacy"
    assert body["ensureConversation"] == {"conversationId": "main", "open": True}


def test_a_message_posted_twice_crosses_once() -> None:
    """MG8: once each, also when the Lambda posted again."""
    assert len(publications(record(MESSAGE, MESSAGE), RULES)) == 1


def test_messages_of_one_invocation_keep_their_order() -> None:
    """MG8: first posted, first published."""
    second = {**MESSAGE, "messageId": "m-2"}
    assert [p.key for p in publications(record(second, MESSAGE), RULES)] == ["m-2", "m-1"]


def test_answers_to_one_client_do_not_cross() -> None:
    """MG8: history, errors, broken and foreign frames stay where they are."""
    frames = (
        {"type": "history", "roomId": "main", "messages": []},
        {"type": "error", "code": "bad_request"},
        "no json",
        "[1]",
        {**MESSAGE, "roomId": ["main"]},
        {**MESSAGE, "roomId": ""},
    )
    assert publications(record(*frames), RULES) == []


def test_a_sender_without_tenant_belongs_to_the_default() -> None:
    """MG8: stacks without tenants have one."""
    assert publications(record(MESSAGE, tenant=None), RULES)[0].tenant == "demo"


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
    [found] = crossing(envelope(), RULES, "acme")
    assert (found.frame, found.to, found.room) == (MESSAGE, "all", "main")


def test_nothing_echoes() -> None:
    """MG8: what came from the legacy stack does not go back there."""
    assert crossing(envelope(origin="legacy"), RULES, "acme") == []


def test_other_types_and_topics_stay() -> None:
    """MG8: only what the rules name crosses."""
    assert crossing(envelope(type="conversation.created"), RULES, "acme") == []
    assert crossing(envelope(topic="user:alice"), RULES, "acme") == []
    assert crossing(envelope(data=[1]), RULES, "acme") == []


DIRECT = {
    "type": "message", "roomId": "a@x#b@x", "messageId": "m-1", "senderEmail": "a@x", "receiverEmail": "b@x",
    "message": "hi", "timestamp": "2026-11-22T03:45:42.784000Z", "read": False,
}  # fmt: skip


def test_a_direct_message_reaches_its_receiver_wherever_they_are() -> None:
    """MG8, DC2: nobody is posted to when the receiver has left the old stack; the sender's receipt tells of it."""
    rules = rules_of("direct")
    sent = {**DIRECT, "type": "messageSent", "delivered": 0, "failed": 0}
    for frames in ([sent], [DIRECT, sent], [sent, DIRECT]):
        [publication] = publications(record(*frames), rules)
        assert (publication.topic, publication.key, publication.data) == ("user:b@x", "m-1", DIRECT)
        assert "ensureConversation" not in publication.body()
    [found] = crossing(envelope(topic="room:direct:a@x#b@x", data=DIRECT), rules, "acme")
    assert (found.to, found.room) == ("user:b@x", None)


def test_a_tenants_chat_crosses_also_when_nobody_else_is_on_the_old_stack() -> None:
    """MG8, WL9: what the tenant would have heard is made of the frame that entered and of its answer."""
    rules = rules_of("layers")
    response = {"type": "chat_response", "chat_id": "c", "message_id": "m", "status": "accepted", "timestamp": "T"}
    said = {
        "type": "chat_message",
        "chat_id": "c",
        "message_id": "m",
        "user_id": "alice",
        "message": "hé",
        "timestamp": "T",
    }
    body = json.dumps({"type": "chat", "chat_id": "c", "message": "hé"})
    for frames in ([response], [response, said]):
        [publication] = publications(record(*frames, body=body), rules)
        assert (publication.tenant, publication.topic, publication.data) == ("acme", "room:c", said)


def test_an_answer_goes_to_the_user_whose_connections_got_it() -> None:
    """MG8, WL6: a function behind no route tells neither user nor tenant; its connections' rows do."""
    rules = rules_of("layers")
    chunk = {"type": "chat_stream_chunk", "chat_id": "c", "message_id": "m", "index": 1, "text": "x"}
    owners = {"c1": Owner("ann", "t1"), "c2": Owner("ann", "t1"), "c3": NOBODY}
    answer = record(chunk, to=("c3", "c1", "c2"), tenant=None, user=None, event_type="ANSWER")
    [publication] = publications(answer, rules, lambda one: owners[one])
    assert (publication.tenant, publication.topic, publication.key) == ("t1", "user:ann", "m/1")
    [found] = crossing(envelope(type="chat_stream_chunk", topic="user:ann", data=chunk), rules, "t1")
    assert (found.to, found.frame) == ("user:ann", chunk)


def test_a_frame_that_enters_may_cross_by_itself() -> None:
    """MG8: what is posted to nobody when nobody else is connected, unless the application failed at it."""
    rule = Deliver(
        frame="chat_typing", on="enters", topic="tenant:{$tenant}", event="chat_typing", key="{$user}/{$at}", ttl_s=6
    )
    rules = Rules([Feature(name="typing", type_field="type", deliver=(rule,))], "demo")
    body = json.dumps({"type": "chat_typing", "chat_id": "c"})
    [publication] = publications(record(body=body), rules)
    assert (publication.topic, publication.key) == ("tenant:acme", "alice/1970-01-01T00:00:00.000000Z")
    assert publication.body()["ttlSeconds"] == 6
    assert publications(record(body=body, failed=True), rules) == []


def test_a_rule_may_make_another_frame_of_an_event() -> None:
    rule = Collect(topic="tenant:*", to="tenant:{$name}", frame={"kind": "{type}", "who": "{$tenant}", "gone": "{x?}"})
    rules = Rules([Feature(name="f", collect=(rule,))], "demo")
    [found] = crossing(envelope(topic="tenant:acme"), rules, "acme")
    assert (found.frame, found.to) == ({"kind": "message", "who": "acme", "gone": None}, "tenant:acme")


def test_a_frame_nested_beyond_all_measure_is_no_message() -> None:
    deep = "[" * 100_000
    posts = record(deep)
    assert publications(posts, RULES) == []
