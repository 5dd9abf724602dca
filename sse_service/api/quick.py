"""POST /api/events without the framework, for the plain case: nothing but a success is answered here.

A path operation costs several times what publishing an event does. Here a request is looked at before it becomes one
for the application: where everything about it is ordinary and right, it is published and answered at once. Whatever
else it is (a fault of any kind, an idempotency key, a conversation to be made, a log that takes its time) it goes
the way of every request, which then does and says what it always does. So nothing is decided here that api/routes.py
would decide otherwise; tests/sse_service/test_quick_publish.py compares the two.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from sse_service.api.context import REQUEST_ID
from sse_service.auth import SCOPE_PUBLISH, Principal, require_publishable
from sse_service.errors import InvalidInputError, RequestError
from sse_service.events import RESERVED_TYPES, Draft, EventId, Topic, check_event_type, check_name, parse_topic
from sse_service.services import Services
from sse_service.wire import compact_json

__all__ = ["LOOKED_AT", "PATH", "Head", "QuickPublish"]

access_logger = logging.getLogger("sse_service.access")

PATH = b"/api/events"
LOOKED_AT = "quick"
"""In the extension of the connection: the server has tried already."""
MAX_EVENTS = 500
REMEMBERED = 1024
MAX_REMEMBERED_BYTES = 2048
MAX_HEADERS = 40
MAX_HEADER_BYTES = 8 << 10
MAX_DIGITS = 15
"""Of a length: Python refuses to read numbers of thousands of them."""
# What `json.loads` calls between two regular expressions for white space around the text.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

# Each of them changes how a request is read or answered.
_UNUSUAL = frozenset(
    {b"expect", b"transfer-encoding", b"connection", b"upgrade", b"content-encoding", b"origin", b"x-user-id"}
)


class Head(NamedTuple):
    """What the head of a plain request says."""

    token: str
    request_id: bytes  # b"": it has none
    body_bytes: int


class QuickPublish:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._publisher = services.chat.publishing.publisher
        self._max_event_bytes = services.settings.max_event_bytes
        self._max_body_bytes = services.settings.max_body_bytes
        self._answered = services.metrics.requests.labels("POST", "201")
        kinds = services.settings.topic_kinds
        self._topic: Callable[[str], Topic] = lru_cache(maxsize=8192)(lambda topic: parse_topic(topic, kinds))
        self.heads: dict[bytes, Head] = {}
        self._server_headers: Sequence[tuple[bytes, bytes]] | None = None
        self._start = b""
        self._ids = count()
        self._id_start = secrets.token_hex(8).encode()

    def head(self, headers: Sequence[tuple[bytes, bytes]]) -> Head | None:
        """None: not for here."""
        found = dict(headers)
        request_id = found.get(b"x-request-id", b"")
        length = found.get(b"content-length", b"")
        scheme, _, token = found.get(b"authorization", b"").partition(b" ")
        if (
            scheme != b"Bearer"
            or not token.isascii()
            or b" " in token
            or found.get(b"content-type") != b"application/json"
            or not length.isdigit()
            or len(length) > MAX_DIGITS
            or int(length) > self._max_body_bytes
            or not _UNUSUAL.isdisjoint(found)
            or len(found) != len(headers)  # one of them twice
            or len(headers) > MAX_HEADERS
            or sum(map(len, found)) + sum(map(len, found.values())) > MAX_HEADER_BYTES
        ):
            return None
        if request_id and not REQUEST_ID.fullmatch(request_id):
            return None
        return Head(token.decode(), request_id, int(length))

    def remember(self, raw: bytes, head: Head) -> None:
        """The bytes of a request's head that was parsed: the same bytes mean the same."""
        if len(raw) <= MAX_REMEMBERED_BYTES:
            if len(self.heads) >= REMEMBERED:
                self.heads.clear()
            self.heads[raw] = head

    def publish(self, head: Head, body: bytes) -> tuple[bytes, bytes] | None:
        """The answer's request id and body, or None: nothing was done."""
        began = time.perf_counter()
        services = self._services
        now = services.clock()
        try:
            principal = services.verifier.verify(head.token, now)
            drafts = self._drafts(principal, body, now)
            if drafts is None or not self._publisher.is_immediate:
                return None
            services.rates.publish(principal, len(drafts))
            ids = self._publisher.publish_now(principal.tenant, drafts)
        except (RequestError, ValueError, RecursionError, StopIteration):
            return None
        self._answered.inc()
        request_id = head.request_id or b"%b%016x" % (self._id_start, next(self._ids))
        if access_logger.isEnabledFor(logging.INFO):
            access_logger.info(
                "%s %s %s",
                "POST",
                PATH.decode(),
                201,
                extra={
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                    "status": 201,
                    "requestId": request_id.decode(),
                    "userId": principal.user,
                },
            )
        return request_id, _body(ids)

    def answer(self, head: Head, body: bytes, server_headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """The whole response, or None: nothing was done."""
        found = self.publish(head, body)
        if found is None:
            return None
        request_id, shown = found
        if server_headers is not self._server_headers:  # another list every second
            self._server_headers = server_headers
            own = b"".join([b"%b: %b\r\n" % header for header in server_headers])
            self._start = b"HTTP/1.1 201 Created\r\n" + own + b"content-length: "
        return b"%b%d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n%b" % (
            self._start,
            len(shown),
            request_id,
            shown,
        )

    def _drafts(self, principal: Principal, body: bytes, now: float) -> list[Draft] | None:
        """Raises RequestError, ValueError, RecursionError, StopIteration where the other way says what is wrong."""
        principal.require(SCOPE_PUBLISH)
        text = body.decode()
        request, end = _scan(text, 0)
        if end != len(text) or type(request) is not dict or len(request) != 1:
            return None
        items = request.get("events")
        if type(items) is not list or not 1 <= len(items) <= MAX_EVENTS:
            return None
        drafts = []
        for item in items:
            draft = self._draft(principal, item, now)
            if draft is None:
                return None
            drafts.append(draft)
        return drafts

    def _draft(self, principal: Principal, item: Any, now: float) -> Draft | None:
        if type(item) is not dict:
            return None
        topic, kind, origin = item.get("topic"), item.get("type"), item.get("origin", "")
        # All that it needs, and nothing else.
        if "data" not in item or len(item) != (4 if "origin" in item else 3):
            return None
        if type(topic) is not str or type(kind) is not str or type(origin) is not str:
            return None
        if not _is_type(kind) or ("origin" in item and not _is_origin(origin)):
            return None
        checked = self._topic(topic)
        require_publishable(principal, checked)
        data = compact_json(item["data"])
        # A character has at most four bytes.
        if len(data) * 4 > self._max_event_bytes and len(data.encode()) > self._max_event_bytes:
            return None
        return Draft(checked, kind, data, now, origin or principal.user[:64])


@lru_cache(maxsize=1024)
def _is_type(kind: str) -> bool:
    try:
        return check_event_type(kind) not in RESERVED_TYPES
    except InvalidInputError:
        return False


@lru_cache(maxsize=1024)
def _is_origin(origin: str) -> bool:
    try:
        check_name("origin", origin, 64)
    except InvalidInputError:
        return False
    return True


def _body(ids: Sequence[EventId]) -> bytes:
    """As the path operation writes it, byte for byte."""
    shown = [f"{epoch}-{seq}" for epoch, seq in ids]
    listed = '","'.join(shown)
    events = '","duplicate":false},{"id":"'.join(shown)
    return f'{{"ids":["{listed}"],"events":[{{"id":"{events}","duplicate":false}}]}}'.encode()
