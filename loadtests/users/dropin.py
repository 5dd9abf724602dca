"""The drop-in client's way: a virtual connection over SSE and POST."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from gevent.lock import RLock

from loadtests.users.connections import Connection, patiently
from loadtests.users.wire import ClosedError, Posts, RefusedError, event_stream

__all__ = ["DropIn"]

# The virtual connection is gone: drop-in-client.md, "On the wire".
GONE = frozenset({401, 403, 404, 410})


class DropIn(Connection):
    """The drop-in client's protocol: docs/guides/drop-in-client.md, "On the wire".

    Args:
        url: of the API, such as https://host/prod.
    """

    def __init__(self, url: str, query: Mapping[str, str], posts: Posts, **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._query = query
        self._posts = posts
        self._opened: dict[str, Any] = {}
        self._streamed = False
        self._last = self._seq = 0
        self._lock = RLock()

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Connection {self._opened['secret']}"}

    def open(self) -> None:
        if self._opened:
            try:
                self._stream()
            except RefusedError as error:
                if error.status not in GONE:
                    raise
                # An application would see `close` with 1006 here, and connect anew.
                self._opened = {}
                self.counts["resets"] += 1
            else:
                self.counts["resumed"] += self._streamed
                self._streamed = True
                return
        body = {"query": urlencode(self._query), "protocols": []}
        self._opened = self._posts.post(urlsplit(self._url).path or "/", body, {})
        self._last = self._seq = 0
        self._streamed = False
        self._stream()
        self._streamed = True

    def _stream(self) -> None:
        parts = urlsplit(self._url)
        self._sock, self._reader, self._events = event_stream(
            f"{parts.scheme}://{parts.netloc}{self._opened['streamPath']}",
            {**self._headers, "Last-Event-ID": str(self._last)},
            self.pace,
            self.receive_buffer,
        )

    def send(self, frame: Mapping[str, Any]) -> None:
        """One POST in flight; repeated until it is acknowledged. Raises RefusedError, OSError."""
        with self._lock:
            self._seq += 1
            message = {"seq": self._seq, "text": json.dumps(frame)}
            patiently(
                lambda: self._posts.post(
                    self._opened["sendPath"], {"messages": [message], "received": self._last}, self._headers
                )
            )

    def receive(self) -> Iterator[dict[str, Any]]:
        for identity, kind, data in self._events:
            if identity:
                number = int(identity)
                if number <= self._last:
                    self.counts["dropped"] += 1
                    continue
                if number > self._last + 1:
                    # The client closes with 1006: drop-in-client.md, "On the wire".
                    self._opened = {}
                    self.counts["resets"] += 1
                    raise ClosedError("an event is missing")
                self._last = number
            if kind == "text":
                yield json.loads(json.loads(data))
            elif kind == "close":
                self._opened = {}
                raise ClosedError(f"closed with {json.loads(data).get('code')}")
        raise ClosedError("the stream has ended")

    def close(self) -> None:
        if self._opened:
            parts = self._opened["streamPath"].rpartition("/")[0]
            with contextlib.suppress(OSError):
                self._posts.delete(parts, {"code": 1000, "reason": "", "seq": self._seq}, self._headers)
        super().close()
