"""Times of messages: ISO 8601 text in UTC with exactly microseconds. until phase 3

Pure. As text of one length they sort like the times they mean, which is what DynamoDB does with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from legacy_ws.frames import bad_request

__all__ = ["EARLIEST", "LATEST", "iso_time", "time_field"]

EARLIEST = "0001-01-01T00:00:00.000000Z"
LATEST = "9999-12-31T23:59:59.999999Z"

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the offset is written as Z, not as +00:00
# Three digits are what JavaScript's toISOString gives, which other writers of such a table may have used.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(?:\d{3}|\d{6})Z", re.ASCII)


def iso_time(microseconds: int) -> str:
    """Microseconds since the epoch as "2026-11-22T03:15:52.123456Z"."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds") + "Z"


def time_field(frame: Mapping[str, object], name: str) -> str | None:
    """A time in a frame, as a `timestamp` or a `before` had it; null counts as absent.

    Raises: ClientInputError (bad_request): no such time.
    """
    value = frame.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _is_time(value):
        raise bad_request(f'"{name}" must be a time such as "2026-11-22T03:15:52.123456Z".')
    return value


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:  # the 31st of February
        return False
    return True
