"""What the tee sends, read back: one record per invocation of a legacy Lambda. Pure. until phase 3"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from migrate.errors import MigrateError

__all__ = ["MalformedRecordError", "Post", "TeeRecord", "parse_record"]

VERSION = 1


class MalformedRecordError(MigrateError):
    """A record of the tee that cannot be read.

    Attributes:
        reason: what is wrong with it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"a record of the tee cannot be read: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Post:
    """One payload posted during an invocation, with everybody it was posted to.

    Attributes:
        data: the payload; text, or base64 when `base64` is set.
        at: when the first of the posts began, epoch seconds.
        ok, gone, failed: connection ids by outcome (2xx, 410, anything else).
    """

    data: str
    base64: bool
    at: float
    ok: tuple[str, ...]
    gone: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True)
class TeeRecord:
    """One invocation of a legacy Lambda: what entered, and what it posted (see `layer/ws2sse_tee.py`).

    Attributes:
        request_id: of the invocation; the parts of a large record have the same.
        at: when the invocation began, epoch seconds.
        body: what entered; None when nothing did, or in a part that does not carry it.
        truncated: a payload is missing: it is beyond what API Gateway accepts, or came from a stream.
        dropped_before: records of the same worker that were lost since the one before this.
        posts: what was posted, in order of the first post of each payload. A payload that went to very many connections
            may be there several times, in one part after the other, with other connections each time.
        part, parts: which message of the record this is, from 1, and how many there are. Each can be read on its own.
        base64: whether the body is.
        status: statusCode of the handler's answer, None without one: a refused handshake is no connection.
        env, number, waiting: name of the worker, the record's number in it from 1, and how many messages it still had
            to send behind this one; empty and 0 from a tee that did not say them.
    """

    request_id: str
    api_id: str
    stage: str
    route_key: str
    event_type: str
    connection_id: str
    user: str | None
    tenant: str | None
    at: float
    body: str | None
    failed: bool
    truncated: bool
    dropped_before: int
    posts: tuple[Post, ...]
    part: int = 1
    parts: int = 1
    status: int | None = None
    env: str = ""
    number: int = 0
    waiting: int = 0
    base64: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether it is of a function that posts without standing behind a route."""
        return self.event_type == "ANSWER"


def parse_record(text: str) -> TeeRecord:
    """Read one record.

    Raises: MalformedRecordError: it is no JSON object, of another version, or lacks a field.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise MalformedRecordError("it is not JSON") from error
    if not isinstance(raw, dict):
        raise MalformedRecordError("it is not an object")
    if raw.get("v") != VERSION:
        raise MalformedRecordError(f"version {raw.get('v')!r}, this program reads version {VERSION}")
    try:
        return TeeRecord(
            request_id=str(raw["request_id"]),
            api_id=str(raw["api_id"]),
            stage=str(raw["stage"]),
            route_key=str(raw["route_key"]),
            event_type=str(raw["event_type"]),
            connection_id=str(raw["connection_id"]),
            user=_optional(raw["user"]),
            tenant=_optional(raw["tenant"]),
            at=float(raw["at"]),
            body=_unpacked(raw["body"], raw.get("body_packed")),
            failed=bool(raw["failed"]),
            truncated=bool(raw.get("truncated", False)),
            dropped_before=int(raw["dropped_before"]),
            posts=tuple(_post(post) for post in raw["posts"]),
            part=int(raw.get("part", 1)),
            parts=int(raw.get("parts", 1)),
            status=None if raw.get("status") is None else int(raw["status"]),
            env=str(raw.get("env", "")),
            number=int(raw.get("n", 0)),
            waiting=int(raw.get("waiting", 0)),
            base64=bool(raw.get("base64", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRecordError(f"{type(error).__name__} at {error}") from error


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _unpacked(value: object, packed: object) -> str | None:
    if not packed:
        return _optional(value)
    return base64.b64decode(str(value), validate=True).decode("utf-8", "surrogatepass")


def _post(raw: Mapping[str, object]) -> Post:
    return Post(
        data=_unpacked(raw["data"], raw.get("packed")) or "",
        base64=bool(raw["base64"]),
        at=float(str(raw["at"])),
        ok=_ids(raw["ok"]),
        gone=_ids(raw["gone"]),
        failed=_ids(raw["failed"]),
    )


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("a list of connection ids was expected")
    return tuple(str(item) for item in value)
