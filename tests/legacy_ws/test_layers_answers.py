"""legacy_ws.apps.layers.jobs and .stream (WL6): what travels between the functions. until phase 3"""

from __future__ import annotations

import json
from typing import Any

import pytest

from legacy_ws.apps.layers.jobs import Job, answer_body, parse_answer, parse_job
from legacy_ws.apps.layers.stream import MAX_CHUNK_BYTES, MAX_PARTS, stream_of
from legacy_ws.errors import MalformedEventError, ResponderError
from legacy_ws.frames import MAX_FRAME_BYTES
from legacy_ws.responder import Progress, Result, Text

URL = "https://abc123.execute-api.ap-northeast-1.amazonaws.com/prod"


def job(feature: Any = "chat", **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "feature": feature,
        "id": "m1",
        "input": {"chat_id": "c1", "agent_id": "a1", "library_id": "l1"},
        "user_id": "ann",
        "tenant_id": "acme",
        "connection_id": "conn=",
        "management_url": URL,
        "request_id": "r1",
    }
    return Job(**(fields | changes))


def frames(one: Job, *outputs: Any, failed: bool = False) -> list[dict[str, Any]]:
    stream = stream_of(one, "2026-11-22T03:15:52.123456Z")
    parts = [*stream.begin(), *(part for output in outputs for part in stream.take(output))]
    return [part.frame for part in (*parts, *stream.finish(failed=failed))]


def test_a_job_survives_the_way_to_processing() -> None:
    one = job(input={"chat_id": "c", "message": "\uffff 😀 \u0000"})
    assert parse_job(json.loads(one.encode())) == one


@pytest.mark.parametrize(
    "change",
    [
        {"feature": "chess"},
        {"feature": None},
        {"input": "text"},
        {"id": ""},
        {"id": 5},
        {"user_id": None},
        {"tenant_id": ""},
        {"connection_id": None},
        {"request_id": None},
        {"management_url": "http://abc.execute-api.ap-northeast-1.amazonaws.com/prod"},
        {"management_url": "https://user:pw@example.com/prod"},
        {"management_url": "https://example.com/prod/@connections"},
        {"management_url": "https://example.com/prod?x=1"},
        {"management_url": "https://example.com"},
        {"management_url": "file:///etc/passwd"},
    ],
)
def test_what_is_no_job_and_no_answer_is_refused(change: dict[str, Any]) -> None:
    """The address to post to comes out of a queue: only its form is believed, and it must have that."""
    raw = json.loads(job().encode()) | change
    with pytest.raises(MalformedEventError):
        parse_job(raw)
    if set(change) <= {"user_id", "tenant_id", "connection_id", "management_url"}:
        body = json.loads(answer_body(job(), {"type": "x"})) | change
        with pytest.raises(MalformedEventError):
            parse_answer(json.dumps(body))


@pytest.mark.parametrize("raw", [None, [], "x", 5])
def test_a_payload_of_another_shape_is_refused(raw: object) -> None:
    with pytest.raises(MalformedEventError):
        parse_job(raw)


@pytest.mark.parametrize("body", ["", "nope", "[]", "[" * 100_000, '{"frame": 5}', '{"frame": {}, "audience": "all"}'])
def test_a_message_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(MalformedEventError):
        parse_answer(body)


def test_an_answer_holds_no_character_that_sqs_refuses() -> None:
    frame = {"type": "x", "text": "\ufffe\uffff\u0000\u001f\u007f😀"}
    body = answer_body(job(), frame)
    assert not set(body) & {"\ufffe", "\uffff", "\u0000", "\u001f"}
    assert parse_answer(body).frame == frame


def test_the_largest_frame_fits_into_a_message_of_the_queue() -> None:
    """256 KiB, the default of an SQS queue."""
    frame = {"type": "x", "text": "あ" * ((MAX_FRAME_BYTES - 30) // 3)}
    assert len(answer_body(job(user_id="u" * 1024, tenant_id="t" * 1024), frame).encode()) < 256 * 1024


def test_groups_and_deduplication_ids_are_as_sqs_wants_them_whatever_the_client_calls_its_message() -> None:
    """At most 128 letters, digits and punctuation marks."""
    one = job(id="ひ" * 40 + " \n")
    for text in (one.group, one.deduplication("start"), one.deduplication(str(MAX_PARTS))):
        assert len(text) <= 128
        assert text.isascii() and text.replace("-", "").isalnum()


def test_repeats_of_one_request_are_dropped_and_nothing_else() -> None:
    """A client may retry with the id it had; another user with the same id is another user."""
    first = job().deduplication("0")
    assert job().deduplication("0") == first
    others = [
        job().deduplication("1"),
        job(request_id="r2").deduplication("0"),
        job(user_id="bob").deduplication("0"),
        job(tenant_id="other").deduplication("0"),
        job("agent_run").deduplication("0"),
        job(user_id="anna", tenant_id="cme").deduplication("0"),
    ]
    assert len({first, *others}) == len(others) + 1
    assert job().group == job(request_id="r2").group
    assert job().group != job(tenant_id="other").group


def test_a_chat_answer_is_a_stream() -> None:
    """WL1: chat_stream_start, chat_stream_chunk, chat_stream_end."""
    ids = {"chat_id": "c1", "message_id": "m1"}
    assert frames(job(), Text("You "), Text(""), Text("said")) == [
        {"type": "chat_stream_start", **ids, "timestamp": "2026-11-22T03:15:52.123456Z"},
        {"type": "chat_stream_chunk", **ids, "index": 0, "text": "You "},
        {"type": "chat_stream_chunk", **ids, "index": 1, "text": "said"},
        {"type": "chat_stream_end", **ids, "chunks": 2, "status": "completed"},
    ]
    assert frames(job(), Text("You "), failed=True)[-1] == {
        "type": "chat_stream_end",
        **ids,
        "chunks": 1,
        "status": "failed",
    }


@pytest.mark.parametrize("character", ["a", "é", "あ", "😀", "\u0000"])
def test_a_long_text_comes_in_several_chunks_within_their_limit(character: str) -> None:
    text = character * 40_000
    chunks = [frame["text"] for frame in frames(job(), Text(text)) if frame["type"] == "chat_stream_chunk"]
    assert "".join(chunks) == text
    assert all(0 < len(chunk.encode()) <= MAX_CHUNK_BYTES for chunk in chunks)


def test_an_agent_run_tells_how_far_it_is() -> None:
    """WL8"""
    head = {"type": "agent_run_notification", "run_id": "m1", "agent_id": "a1"}
    assert frames(job("agent_run"), Progress(25, "plan"), Progress(60), Result({"x": 1})) == [
        {**head, "status": "running", "progress": 25, "step": "plan", "index": 0},
        {**head, "status": "running", "progress": 60, "index": 1},
        {**head, "status": "completed", "progress": 100, "result": {"x": 1}, "index": 2},
    ]
    assert frames(job("agent_run"), Progress(25, "plan"), failed=True)[-1] == {
        **head,
        "status": "failed",
        "progress": 25,
        "index": 1,
    }


def test_a_library_job_names_its_documents() -> None:
    """WL8"""
    head = {"type": "library_processing_notification", "job_id": "m1", "library_id": "l1"}
    assert frames(job("library_processing"), Progress(100, "a.pdf")) == [
        {**head, "status": "running", "progress": 100, "document": "a.pdf", "index": 0},
        {**head, "status": "completed", "progress": 100, "index": 1},
    ]


def test_a_librarys_news_are_for_the_tenant_the_rest_for_the_user() -> None:
    """WL9"""
    assert [job(feature).audience for feature in ("chat", "agent_run", "library_processing")] == [
        "user",
        "user",
        "tenant",
    ]


@pytest.mark.parametrize(
    ("feature", "outputs"),
    [
        ("chat", [Progress(5)]),
        ("agent_run", [Text("x")]),
        ("agent_run", [Result(1), Result(2)]),
        ("agent_run", [Result(1), Progress(5)]),
        ("agent_run", [Result("x" * MAX_FRAME_BYTES)]),
        ("chat", [Text("x")] * (MAX_PARTS + 1)),
        ("agent_run", [Progress(5)] * (MAX_PARTS + 1)),
    ],
    ids=lambda value: "outputs" if isinstance(value, list) else value,
)
def test_what_breaks_the_contract_or_a_limit_is_refused(feature: str, outputs: list[Any]) -> None:
    with pytest.raises(ResponderError):
        frames(job(feature), *outputs)
