"""Frames become calls and rows by the rules of migrate.toml. until phase 3 (MG6)"""

from __future__ import annotations

import json

import pytest
from shadow_support import record

from migrate.compare.deliveries import canonical
from migrate.config.model import Feature, Replay
from migrate.config.templates import MissingFieldError
from migrate.shadow.translate import Cause, Translator, frame_of, moment
from migrate.tee.records import Post
from migrate.up.configs import FEATURES

ROOMS = Translator(FEATURES["rooms"], "demo")
DIRECT = Translator(FEATURES["direct"], "demo")
LAYERS = Translator(FEATURES["layers"], "demo")
MESSAGE = {
    "type": "message",
    "roomId": "main",
    "messageId": "m-1",
    "userName": "Ann",
    "message": "hi",
    "timestamp": 7.5,
}


def test_a_room_message_is_sent_as_its_user_once() -> None:
    """MG6: the room it left out, the name its connection has, the request id as the key that makes repeats harmless."""
    entered = record(body={"action": "sendMessage", "message": "hi"}, posts=[(MESSAGE, 1000.1, ["c-ann"], [])])
    frame = json.loads(entered.body or "")
    feature = ROOMS.entering(frame)
    assert feature is not None
    call = ROOMS.call(feature, frame, entered)
    assert (call.method, call.path, call.room) == ("POST", "/api/chat/send", "main")
    assert call.body == {"conversationId": "main", "message": "hi", "userName": "Ann", "idempotencyKey": "r-1"}
    # With and without the room's name it is the same room, and so the same order.
    assert call.lane == ROOMS.call(feature, {**frame, "roomId": "main"}, entered).lane


def test_what_the_stack_named_itself_has_the_same_name_on_the_other_side() -> None:
    """MG6: run ids are made by the server where the client gives none; its receipt tells them."""
    receipt = {"type": "agent_run_response", "run_id": "run-7", "status": "accepted"}
    entered = record(body=None, posts=[(receipt, 1000.1, ["c-ann"], [])])
    frame = {"type": "agent_run", "agent_id": "a", "input": {"deep": [1]}}
    feature = LAYERS.entering(frame)
    assert feature is not None
    call = LAYERS.call(feature, frame, entered)
    assert call.body == {"agent_id": "a", "input": {"deep": [1]}, "run_id": "run-7"}


def test_frames_of_a_shape_of_their_own_are_published_by_a_back_end() -> None:
    """MG6: a list in the body, nulls in it left out, the old stack's id where it gave one, scopes of a back end."""
    data = {"mid": "{$out.mid|$requestId}", "words": "{words}", "by": "{nick?}"}
    body = {"events": [{"topic": "room:h", "data": data}]}
    feature = Feature(
        name="shouts", types=("shout",), type_field="do", frames=("shouted",), frame_type_field="event",
        replay=Replay(path="/api/events", scopes=("events:publish",), body=body),
    )  # fmt: skip
    translator, frame = Translator((feature,), "demo"), {"do": "shout", "words": "hi"}
    call = translator.call(feature, frame, record(posts=[({"event": "shouted", "mid": "m-1"}, 1000.1, ["c"], [])]))
    assert call.body == {"events": [{"topic": "room:h", "data": {"mid": "m-1", "words": "hi"}}]}
    assert call.scopes == ("events:publish",)
    assert translator.call(feature, frame, record()).body["events"][0]["data"]["mid"] == "r-1"


def test_a_frame_without_a_needed_field_is_no_call() -> None:
    """MG6: what the legacy stack refuses is not sent as something else."""
    feature = DIRECT.entering({"action": "sendMessage"})
    assert feature is not None
    with pytest.raises(MissingFieldError):
        DIRECT.call(feature, {"action": "sendMessage", "message": "to whom?"}, record())


def test_every_connection_that_was_posted_to_is_a_row() -> None:
    """MG6: with its outcome, and the same numbers however often the record is read."""
    entered = record(
        posts=[(MESSAGE, 1000.1, ["c-ann", "c-ben", "c-ben"], ["c-old"]), ({"type": "pong"}, 1, ["x"], [])]
    )
    cause = Cause("r-1", "ann", "demo", 1000.0)
    found = [(connection, row.outcome, row.seq) for connection, _, _, row in ROOMS.rows(entered, cause)]
    first = int(1000.1 * 1e6)
    assert found == [
        ("c-ann", "ok", first),
        ("c-ben", "ok", first),
        ("c-ben", "ok", first + 1),
        ("c-old", "gone", first),
    ]
    rows = [row for _, _, _, row in ROOMS.rows(entered, cause)]
    assert {(row.feature, row.stream, row.cause, row.sender, row.sent_at) for row in rows} == {
        ("chat", "main", "r-1", "ann", 7.5)
    }


def test_the_senders_own_copy_does_not_count_where_the_old_stack_sends_none() -> None:
    """MG6: a direct message shows on the sender's other devices only on the new stack."""
    frame = {"type": "message", "senderEmail": "a@x", "receiverEmail": "b@x", "message": "hi"}
    args = (json.dumps(frame), "demo", 3, 5.0, None)
    assert DIRECT.event_row(frame, args[0], "a@x", *args[1:]) is None
    row = DIRECT.event_row(frame, args[0], "b@x", *args[1:])
    assert row is not None
    assert (row.stack, row.recipient, row.sender, row.seq) == ("sse", "b@x", "a@x", 3)


def test_frames_of_no_feature_are_nobodys() -> None:
    """MG6: pongs, histories and errors are not compared."""
    assert ROOMS.entering({"action": "getHistory"}) is None
    assert ROOMS.leaving({"type": "history"}) is None
    assert ROOMS.leaving("no object") is None
    assert ROOMS.event_row({"type": "conversation"}, "{}", "ann", "demo", 1, 1.0, None) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1718700020.5, 1718700020.5),
        (1718700020500, 1718700020.5),
        ("2024-06-18T08:40:20.500000Z", 1718700020.5),
        ("yesterday", None),
        (True, None),
        (None, None),
    ],
)
def test_times_of_either_shape(value: object, seconds: float | None) -> None:
    """MG6: rooms say seconds, direct messages ISO 8601, others milliseconds."""
    assert moment(value) == seconds


def test_a_frame_nested_beyond_all_measure_stops_nobody() -> None:
    """One user's 100,000 brackets made the worker do the same batch for ever."""
    deep = "[" * 60_000 + "]" * 60_000
    assert frame_of(Post(deep, False, 0.0, (), (), ())) is None
    assert canonical(deep) == f'"{deep}"'
