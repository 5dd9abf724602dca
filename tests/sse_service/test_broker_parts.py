"""The pure parts of the brokers: notices, what waits to be sent, who follows what, names of queues."""

from __future__ import annotations

import dataclasses
import json
import random
from math import inf
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.brokers.backoff import Backoff
from sse_service.brokers.interest import Interest
from sse_service.brokers.notice import SMALL_BYTES, Notice, decode, encode
from sse_service.brokers.outbox import Outbox
from sse_service.brokers.routing import (
    MAX_ID,
    MAX_NAME,
    Mailbox,
    audience_of,
    fifo_ids,
    instance_queue_name,
    one_by_one,
    queue_name,
)
from sse_service.errors import SettingsError
from sse_service.events import Event, EventId
from sse_service.ports import Batch
from sse_service.settings import Secret, Settings


def batch(first: int, count: int = 1, *, tenant: str = "demo", size: int = 1, topic: str = "room:a") -> Batch:
    events = tuple(
        Event(EventId("e1", first + i), tenant, topic, "m", json.dumps("x" * size), 1.5) for i in range(count)
    )
    return Batch(tenant, events, "", 100.0)


# Notices ------------------------------------------------------------------------------------------------------


def test_every_field_of_an_event_survives() -> None:
    """A field that events get later must come along: another instance's streams show it."""
    values: dict[str, Any] = {}
    for number, (name, kind) in enumerate(get_type_hints(Event).items()):
        values[name] = 7.25 + number if kind is float else f'"日本\ufffe {number}"'
    values |= {"id": EventId("e1", 41), "tenant": "demo"}
    sent = Notice.of(Batch("demo", (Event(**values),), "", 12.5))
    received = decode(encode(sent, "me", 99.0))
    assert received.notice == sent and received.origin == "me" and received.sent_at == 99.0


def test_a_log_without_expiry_survives() -> None:
    sent = Notice.of(dataclasses.replace(batch(3, 2), trusted_until=inf))
    assert decode(encode(sent, "me", 1.0)).notice == sent


def test_what_is_large_is_told_as_a_position() -> None:
    for large in (batch(1, 1, size=SMALL_BYTES), batch(1, 100, size=1000)):
        text = encode(Notice.of(large), "me", 1.0)
        assert len(text) < 200
        assert decode(text).notice == Notice("demo", large.end)


@given(st.text(max_size=200))
def test_any_text_is_sent_in_characters_that_sqs_takes(text: str) -> None:
    """SQS API reference, SendMessage: #x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD #x10000-#x10FFFF."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    event = Event(EventId("e", 1), text or "t", text, "m", json.dumps(text, ensure_ascii=False), 1.0, text, text)
    encoded = encode(Notice.of(Batch(text or "t", (event,), "", 1.0)), "me", 1.0)
    assert all(c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff" for c in encoded)
    notice = decode(encoded).notice
    assert notice.batch is not None and notice.batch.events == (event,)


GOOD = json.loads(encode(Notice.of(batch(5)), "me", 1.0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        b"\xff",
        *(json.dumps({**GOOD, name: wrong}) for name in GOOD for wrong in ({}, [], -1, True) if wrong != GOOD[name]),
        json.dumps({**GOOD, "end": 0}),
        json.dumps({**GOOD, "events": [GOOD["events"][0]] * 6}),
        json.dumps({**GOOD, "events": [["room:a"]]}),
        json.dumps({**GOOD, "events": [[1, *GOOD["events"][0][1:]]]}),
        json.dumps({**GOOD, "sent": float("nan")}),
    ],
    ids=lambda text: repr(text)[:70],
)
def test_what_is_no_notice_is_refused(text: str | bytes) -> None:
    if text == json.dumps({**GOOD, "sent": -1}) or text == json.dumps({**GOOD, "until": -1}):
        assert decode(text)  # odd, and harmless
        return
    with pytest.raises(ValueError):
        decode(text)


# The outbox ----------------------------------------------------------------------------------------------------


def test_batches_that_follow_each_other_go_out_as_one() -> None:
    outbox = Outbox()
    for made in (batch(1, 2), batch(7, tenant="other"), batch(3, 1), batch(5, 1)):
        assert outbox.put(made)
    notices = outbox.take()
    assert [(n.tenant, n.position.seq, len(n.batch.events)) for n in notices if n.batch] == [
        ("demo", 3, 3),
        ("other", 7, 1),
        ("demo", 5, 1),
    ]
    assert not outbox


def test_without_room_the_position_is_kept() -> None:
    outbox = Outbox(max_batches=2)
    assert [outbox.put(batch(n, tenant=f"t{n % 2}")) for n in range(1, 7)] == [True, True, False, False, False, False]
    notices = outbox.take()
    assert [(n.tenant, n.position.seq, n.batch is None) for n in notices[:2]] == [("t1", 1, False), ("t0", 2, False)]
    assert {(n.tenant, n.position.seq, n.batch) for n in notices[2:]} == {("t1", 5, None), ("t0", 6, None)}


def test_its_bytes_are_bounded() -> None:
    outbox = Outbox(max_bytes=10_000)
    kept = sum(outbox.put(batch(n, size=2_000)) for n in range(1, 100))
    assert kept == 4
    outbox.take()
    assert outbox.put(batch(200, size=2_000))


@given(st.lists(st.tuples(st.sampled_from(["put", "take", "fail"]), st.integers(1, 4)), max_size=60))
def test_the_last_position_of_a_tenant_is_never_forgotten(steps: list[tuple[str, int]]) -> None:
    """Whatever is dropped or fails: in the end somebody was told how far each log has come."""
    outbox, seq, told = Outbox(max_batches=3), 0, 0
    for what, count in steps:
        if what == "put":
            outbox.put(batch(seq + 1, count))
            seq += count
        else:
            notices = outbox.take(count)
            if what == "fail":
                outbox.restore(notices)
            else:
                told = max([told, *(n.position.seq for n in notices)])
    while outbox:
        told = max([told, *(n.position.seq for n in outbox.take())])
    assert told == seq


# Who follows, how long to wait -----------------------------------------------------------------------------------


def test_what_is_followed_again_in_time_is_kept() -> None:
    interest: Interest[str] = Interest(10)
    assert interest.follow("a") and not interest.follow("a")
    interest.unfollow("a", now=0)
    interest.unfollow("a", now=5)
    assert interest.drop_idle(14) == [] and "a" in interest
    assert not interest.follow("a")
    assert interest.drop_idle(100) == []
    interest.unfollow("a", now=100)
    assert interest.drop_idle(110) == ["a"] and "a" not in interest
    assert interest.follow("a")


def test_waits_grow_are_bounded_and_differ() -> None:
    one, two = Backoff(random.Random(1)), Backoff(random.Random(2))
    waits = [[backoff.next_s() for _ in range(12)] for backoff in (one, two)]
    assert waits[0] != waits[1]
    assert all(0 < wait <= 5.0 for some in waits for wait in some) and max(waits[0][:2]) <= 0.2
    one.reset()
    assert one.next_s() <= 0.1


# Names and routes ------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_a_queue_has_a_name_that_sqs_takes_and_no_other_mailbox_has(tenant: str, user: str) -> None:
    for pattern in ("{prefix}-user-{hash}", "{prefix}-{tenant}-{user}", "{tenant}_{user}_" + "x" * 90):
        try:
            name = queue_name(pattern, "chat", Mailbox(tenant, user))
        except UnicodeEncodeError:
            return
        assert len(name) <= MAX_NAME and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
    assert queue_name("{hash}", "c", Mailbox(tenant, user)) != queue_name("{hash}", "c", Mailbox(tenant))
    assert queue_name("{hash}", "c", Mailbox(tenant + "x", user)) != queue_name("{hash}", "c", Mailbox(tenant, user))


def test_names_that_somebody_provisions_can_be_read() -> None:
    assert queue_name("{prefix}-{tenant}-{user}", "chat", Mailbox("demo", "ann")) == "chat-demo-ann"
    assert queue_name("{prefix}-{user}", "chat", Mailbox("demo", "ann@example.org")).startswith("chat-")
    assert instance_queue_name("{prefix}-instance-{slot}", "chat", 3, is_fifo=False) == "chat-instance-3"
    assert instance_queue_name("{prefix}-{slot}.fifo", "chat", 0, is_fifo=True) == "chat-0.fifo"


def test_an_event_is_a_fifo_message_of_its_topic() -> None:
    """SQ4: MessageGroupId is the topic, the deduplication id the event's."""
    singles = one_by_one([Notice.of(batch(4, 2, topic="user:ann")), Notice("demo", EventId("e1", 9))])
    assert [fifo_ids(one) for one in singles] == [
        ("demo/user:ann", "e1-4"),
        ("demo/user:ann", "e1-5"),
        ("demo/%2A", "e1-9"),
    ]
    group, _ = fifo_ids(Notice.of(batch(1, topic="room:" + "長" * 200)))
    assert len(group) <= MAX_ID and group.isascii()


def test_the_audience_of_a_batch() -> None:
    topics = ("user:ann", "room:a", "room:b:c")
    events = [batch(1, topic=topic).events[0] for topic in topics]
    found = audience_of(events)
    assert (found.users, found.rooms, found.is_everybody) == ({"ann"}, {"a", "b:c"}, False)
    assert audience_of(batch(1, topic="tenant:demo").events).is_everybody
    assert audience_of(batch(1, topic="prices:eur").events).is_everybody


# Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"broker": "kafka"}, "SSE_BROKER"),
        ({"broker": "redis"}, "SSE_REDIS_URL"),
        ({"broker": "redis", "redis_url": Secret("http://:hunter2hunter2@host")}, "SSE_REDIS_URL"),
        ({"broker": "redis", "redis_url": Secret("redis://:hunter2hunter2@host:port")}, "SSE_REDIS_URL"),
        ({"broker": "sqs", "sqs_mode": "queue"}, "SSE_SQS_MODE"),
        ({"sqs_user_queue": "{prefix}-users"}, "SSE_SQS_USER_QUEUE"),
        ({"sqs_user_queue": "{prefix}-{slot}"}, "SSE_SQS_USER_QUEUE"),
        ({"sqs_instance_queue": "{prefix}-{"}, "SSE_SQS_INSTANCE_QUEUE"),
        ({"sqs_visibility_s": 600}, "SSE_SQS_VISIBILITY_S"),
        ({"ingest_queue_url": "ingest"}, "SSE_INGEST_QUEUE_URL"),
    ],
)
def test_wrong_settings_are_said_by_their_name_and_without_the_password(changes: Any, variable: str) -> None:
    settings = Settings(log="dynamodb", jwt_secret=Secret("x" * 32))
    with pytest.raises(SettingsError) as caught:
        settings.replace(**changes)
    assert any(problem.startswith(variable) for problem in caught.value.problems)
    assert "hunter2" not in str(caught.value)


def test_several_instances_need_a_shared_log() -> None:
    with pytest.raises(SettingsError, match="SSE_LOG=dynamodb"):
        Settings(jwt_secret=Secret("x" * 32)).replace(broker="redis", redis_url=Secret("redis://127.0.0.1"))
