"""The event stream format, after the HTML Standard's rules and its web platform tests. until phase 3"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.clients.sse_parser import EventTooLargeError, ParsedEvent, SseParser


def parse(stream: bytes, *, size: int | None = None) -> list[ParsedEvent]:
    parser = SseParser()
    if size is None:
        return parser.feed(stream)
    events = []
    for at in range(0, len(stream), size):
        events += parser.feed(stream[at : at + size])
    return events


CASES = [
    ("one event", b"data: hi\n\n", [("message", "hi", "")]),
    ("several data lines", b"data: a\ndata: b\n\n", [("message", "a\nb", "")]),
    ("only one space is dropped", b"data:  a\n\n", [("message", " a", "")]),
    ("no space", b"data:a\n\n", [("message", "a", "")]),
    ("field without colon", b"data\n\n", [("message", "", "")]),
    ("empty data is an event", b"data:\n\n", [("message", "", "")]),
    ("no data is no event", b"event: x\nid: 1\n\n", []),
    ("its id counts all the same", b"id: 1\n\ndata: a\n\n", [("message", "a", "1")]),
    ("event type", b"event: chat\ndata: a\n\ndata: b\n\n", [("chat", "a", ""), ("message", "b", "")]),
    ("comment", b": ping\n\ndata: a\n:x\n\n", [("message", "a", "")]),
    ("BOM", b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
    ("only the first BOM", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    ("CR", b"data: a\rid: 1\r\rdata: b\r\r", [("message", "a", "1"), ("message", "b", "1")]),
    ("CRLF", b"data: a\r\nid: 1\r\n\r\n", [("message", "a", "1")]),
    ("mixed line ends", b"data: a\r\ndata: b\rdata: c\n\r\n", [("message", "a\nb\nc", "")]),
    ("a lone CR inside cuts the line", b"data: a\rb\n\n", [("message", "a", "")]),
    ("NUL in an id", b"id: 1\n\nid: a\0b\ndata: x\n\n", [("message", "x", "1")]),
    (
        "an empty id clears",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [("message", "a", "1"), ("message", "b", "")],
    ),
    ("unknown fields", b"foo: 1\nDATA: no\ndata: a\n\n", [("message", "a", "")]),
    ("unfinished event", b"data: a\n", []),
    ("wrong UTF-8", b"data: \xff\n\n", [("message", "\ufffd", "")]),
    ("other scripts", "data: こんにちは 안녕\n\n".encode(), [("message", "こんにちは 안녕", "")]),
    (
        "other line separators are text",
        "data: a\u2028b\x0bc\x85d\n\n".encode(),
        [("message", "a\u2028b\x0bc\x85d", "")],
    ),
]


@pytest.mark.parametrize("size", [None, 1, 2, 3])
@pytest.mark.parametrize(("stream", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_format(stream: bytes, expected: list[tuple[str, str, str]], size: int | None) -> None:
    """Every rule holds however the bytes are cut into chunks."""
    assert [(e.type, e.data, e.last_event_id) for e in parse(stream, size=size)] == expected


def test_event_is_there_at_its_cr() -> None:
    """A stream that ends lines with CR alone is not held back until the next chunk."""
    parser = SseParser()
    assert [e.data for e in parser.feed(b"data: a\r\r")] == ["a"]
    assert [e.data for e in parser.feed(b"\ndata: b\r\n\r")] == ["b"]
    assert parser.feed(b"\n") == []


def test_inherited_id_names_no_event() -> None:
    """Two events under one inherited id are two events: only an id of its own names an event."""
    events = parse(b"id: 1\ndata: a\n\ndata: b\n\n")
    assert [(e.last_event_id, e.has_id) for e in events] == [("1", True), ("1", False)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"retry: 1500", 1500),
        (b"retry: 1.5", None),
        (b"retry: -1", None),
        (b"retry:", None),
        ("retry: ١".encode(), None),
    ],
)
def test_retry(line: bytes, expected: int | None) -> None:
    """`retry` counts only when it is all ASCII digits."""
    parser = SseParser()
    parser.feed(line + b"\n\n")
    assert parser.retry_ms == expected


def test_endless_retry_is_no_crash() -> None:
    """A number with more digits than int() takes is cut, not an exception."""
    parser = SseParser()
    parser.feed(b"retry: " + b"9" * 10_000 + b"\n\n")
    assert parser.retry_ms == 999_999_999_999


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: xxxxxxxxxx\n" * 20, b":" + b"x" * 200])
def test_event_without_end(stream: bytes) -> None:
    """A server that never ends a line or an event does not fill the memory."""
    with pytest.raises(EventTooLargeError):
        SseParser(max_event_chars=100).feed(stream)


@given(
    st.lists(
        st.sampled_from([b"data: a", b"data", b"id: 7", b"id", b"event: e", b":c", b"", b"retry: 1", b"\xe3\x81\x82"])
    ),
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=1),
    st.integers(1, 7),
)
def test_chunks_do_not_matter(lines: list[bytes], ends: list[bytes], size: int) -> None:
    """Any cut gives the same events as the whole."""
    stream = b"".join(line + ends[i % len(ends)] for i, line in enumerate(lines))
    assert parse(stream, size=size) == parse(stream)
