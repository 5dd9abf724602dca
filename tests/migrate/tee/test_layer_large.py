"""Everything that API Gateway accepts gets through the tee, however large. until phase 3 (MG6, MG8)"""

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from migrate.bridge.applications import DELIVER
from migrate.bridge.core import Rules, publications
from migrate.config.model import Feature
from migrate.tee.records import Post, TeeRecord, parse_record

LARGEST = 128 * 1024
SQS_LIMIT = 262_144


def copied(tee: Any, event: Any, posts: Sequence[tuple[str, Any]], monkeypatch: Any) -> list[TeeRecord]:
    """What arrives of an invocation that posted `posts`: (connection id, payload)."""
    module, queue = tee
    monkeypatch.setenv("WS2SSE_TEE_TIMEOUT_S", "30")  # how long it takes on a busy machine is no matter here

    def application(event: Any, context: Any) -> str:
        for connection_id, data in posts:
            request: dict[str, Any] = {}
            module._remember_params({"ConnectionId": connection_id, "Data": data}, request)
            module._note(request, "ok")
        return "the answer"

    monkeypatch.setattr(module, "_application", application)
    assert module.handler(event, None) == "the answer"
    bodies = [message["MessageBody"] for message in queue.sent]
    assert all(len(body.encode("utf-8")) <= SQS_LIMIT for body in bodies)
    records = [parse_record(body) for body in bodies]
    assert [record.part for record in records] == list(range(1, len(records) + 1))
    assert {(record.request_id, record.parts) for record in records} == {("r-1", len(records))}
    assert [message["MessageDeduplicationId"] for message in queue.sent] == [f"r-1-{r.part}" for r in records]
    assert {message["MessageGroupId"] for message in queue.sent} == {"sender"}
    return records


def filled(character: str) -> str:
    """A room message of 128 KiB exactly."""
    frame = {"type": "message", "roomId": "main", "messageId": "m-1", "message": ""}
    empty = len(json.dumps(frame, ensure_ascii=False))
    width = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    frame["message"] = character * ((LARGEST - empty) // width)
    return json.dumps(frame, ensure_ascii=False)


@pytest.mark.parametrize("character", ["x", '"', "\x01", "日", "😀", "\uffff"])
def test_the_largest_message_crosses_whole(
    tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    """MG8: a frame of 128 KiB in and out reaches the bridge, also where JSON takes six bytes for one."""
    text = filled(character)
    event = {**message_event(), "body": text}
    records = copied(tee, event, [("a", text.encode()), ("b", text.encode())], monkeypatch)
    rules = Rules([Feature(name="chat", deliver=DELIVER["rooms"]["chat"])], "demo")
    [publication] = [found for record in records for found in publications(record, rules)]
    assert publication.data == json.loads(text)
    assert [record.body for record in records if record.body is not None] == [text]
    assert [post.ok for record in records for post in record.posts] == [("a", "b")]
    assert not any(record.truncated for record in records)


def test_a_post_to_very_many_connections_is_split(
    tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: every recipient is recorded once, in order, each part with the payload it belongs to."""
    ids = [f"connection-{number:06}=" for number in range(20_000)]
    records = copied(tee, message_event(), [(name, b"hi") for name in ids], monkeypatch)
    # The digits of the time decide whether the frame that entered fits beside the first part.
    assert len(records) in (2, 3)
    assert [name for record in records for post in record.posts for name in post.ok] == ids
    assert {post.data for record in records for post in record.posts} == {"hi"}


def test_many_large_posts_are_split_in_order(tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG6: posts that fit only one by one become as many parts."""
    payloads = [str(number) + "x" * (LARGEST - 1) for number in range(4)]
    records = copied(tee, message_event(), [("a", payload) for payload in payloads], monkeypatch)
    assert [post.data for record in records for post in record.posts] == payloads


def test_binary_payloads_of_the_largest_size_fit(tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG6: bytes that are no text are base64."""
    [record] = copied(tee, message_event(), [("a", b"\xff" * LARGEST)], monkeypatch)
    [post] = record.posts
    assert post.base64 is True
    assert record.truncated is False


def test_a_payload_beyond_the_limit_of_api_gateway_is_said_to_be_missing(
    tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: API Gateway refuses it too; who it was for is still recorded."""
    [record] = copied(tee, message_event(), [("a", "x" * 400_000)], monkeypatch)
    assert record.truncated is True
    assert (record.posts[0].data, record.posts[0].ok) == ("", ("a",))


def test_a_payload_from_a_file_is_copied_and_left_where_it_was(
    tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: PostToConnection takes file objects as well; the application's own reading is not disturbed."""
    stream = io.BytesIO(b"skipped|sent")
    stream.seek(8)
    [record] = copied(tee, message_event(), [("a", stream)], monkeypatch)
    assert record.posts == (Post(data="sent", base64=False, at=record.posts[0].at, ok=("a",), gone=(), failed=()),)
    assert stream.read() == b"sent"


def test_characters_that_the_queue_refuses_are_escaped(
    tee: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: SQS takes no U+FFFE, U+FFFF and half surrogates; the bridge reads them nevertheless."""
    _, queue = tee
    event = {**message_event(), "body": "\ud800\ufffe\uffff\x00"}
    [record] = copied(tee, event, [("a", "\uffff")], monkeypatch)
    assert not set(queue.sent[0]["MessageBody"]) & set("\ud800\ufffe\uffff\x00")
    assert (record.body, record.posts[0].data) == ("\ud800\ufffe\uffff\x00", "\uffff")
