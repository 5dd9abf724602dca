"""text/event-stream: how an event becomes bytes. Pure.

Every field is checked before it is written: a CR or LF would begin a field of the sender's choice, and a NUL
makes browsers ignore an id. Data is JSON on one line, so it needs no splitting and survives a lone CR.
Source: HTML standard, "Server-sent events", 9.2.5 (parsing) and 9.2.6 (interpreting an event stream).
"""

from __future__ import annotations

import json

from sse_service.events import Event, EventId

__all__ = [
    "HEARTBEAT",
    "MEDIA_TYPE",
    "compact_json",
    "control_frame",
    "envelope_frame",
    "event_frame",
    "frame",
]

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": hb\n\n"
"""A comment: keeps proxies and half-dead connections honest, invisible to scripts."""

_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def compact_json(value: object) -> str:
    """JSON text on one line. Raises ValueError for NaN, infinities and halves of surrogate pairs."""
    text = _compact(value)
    text.encode()  # UnicodeEncodeError is a ValueError
    return text


def frame(event_id: str, event_type: str, data: str, retry_ms: int | None = None) -> bytes:
    """One block: `id`, `event`, optional `retry`, `data`.

    Raises ValueError when a field contains CR, LF or NUL, or when type or data is empty (a browser would drop
    the event without a word).
    """
    for name, value in (("id", event_id), ("event", event_type), ("data", data)):
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"{name} contains CR, LF or NUL")
    if not event_type or not data:
        raise ValueError("event and data must not be empty")
    head = f"id: {event_id}\n" if event_id else ""
    retry = f"retry: {retry_ms:d}\n" if retry_ms is not None else ""
    return f"{head}event: {event_type}\n{retry}data: {data}\n\n".encode()


def event_frame(event: Event) -> bytes:
    """The frame of an event on a user's stream. Raises ValueError as `frame` does."""
    (epoch, seq), kind, data = event.id, event.type, event.data
    text = f"id: {epoch}-{seq}\nevent: {kind}\ndata: {data}\n\n"
    # All fields in one look: there are the line breaks of the frame and no others.
    if text.count("\n") != 4 or "\r" in text or "\0" in text or not kind or not data:
        return frame(f"{epoch}-{seq}", kind, data)
    return text.encode()


def envelope_frame(event: Event) -> bytes:
    """The frame of an event on a back end's stream: all stored fields in one JSON object.

    data: {"id","topic","type","origin","key","time" (s), "until" (s) and "exclude" where it has them,
    "data": <the event's own JSON>}
    """
    facts: dict[str, object] = {
        "id": str(event.id),
        "topic": event.topic,
        "type": event.type,
        "origin": event.origin,
        "key": event.key,
        "time": event.time,
    }
    if event.until:
        facts["until"] = event.until
    if event.exclude:
        facts["exclude"] = event.exclude
    fields = compact_json(facts)
    return frame(str(event.id), event.type, f'{fields[:-1]},"data":{event.data}}}')


def control_frame(
    event_type: str, position: EventId | None, facts: dict[str, object], retry_ms: int | None = None
) -> bytes:
    """What the service itself says on a stream: ready, reset, rotate, farewell."""
    return frame(str(position) if position else "", event_type, compact_json(facts), retry_ms)
