"""uvicorn's HTTP protocol class with plain publishes answered at once (api/quick.py).

What is touched of uvicorn 0.54 beside what transport_uvicorn.py names: of `HttpToolsProtocol` `on_response_complete`,
`timeout_keep_alive_handler`, `shutdown`, and its attributes `url`, `loop`, `timeout_keep_alive`,
`timeout_keep_alive_task`, `server_state.default_headers`; of `FlowControl` `write_paused`.
tests/sse_service/test_quick_publish.py and test_transport.py notice a change.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from sse_service.api.quick import LOOKED_AT, PATH, Head, QuickPublish
from sse_service.response import CONNECTION_EXTENSION
from sse_service.transport_uvicorn import StreamProtocol

__all__ = ["PublishProtocol"]

_PUBLISH = b"POST " + PATH + b" HTTP/1.1\r\n"


class Answers:
    """What is to be written of one iteration of the loop, in one go at its end (see fanout)."""

    def __init__(self) -> None:
        self._waiting: dict[PublishProtocol, bytes] = {}

    def soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called before a publish, so that answers are not behind the deliveries that it causes."""
        if not self._waiting:
            loop.call_soon(self._write)

    def add(self, protocol: PublishProtocol, answer: bytes) -> None:
        self._waiting[protocol] = answer
        protocol.is_answered = False

    def write_now(self, protocol: PublishProtocol) -> None:
        """Something else is about to happen on this connection."""
        protocol.is_answered = True
        answer = self._waiting.pop(protocol)
        if not protocol.transport.is_closing():
            protocol.transport.write(answer)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for protocol, answer in waiting.items():
            protocol.is_answered = True
            if not protocol.transport.is_closing():
                protocol.transport.write(answer)


class PublishProtocol(StreamProtocol):
    """`quick` is set in a subclass by server.make_server.

    held: a plain publish whose body is on its way; the application knows nothing of it. is_answered: no answer of ours
    waits to be written.
    """

    __slots__ = ("held", "is_answered", "is_refused", "raw_head", "used_at")

    quick: ClassVar[QuickPublish]
    answers: ClassVar[Answers]
    held: tuple[Head, list[bytes]] | None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.held = None
        self.raw_head = b""
        self.is_refused = False
        self.is_answered = True
        self.used_at = 0.0
        super().connection_made(transport)

    # A request that came in one piece, behind a head whose bytes were seen before ----------------------

    def data_received(self, data: bytes) -> None:
        if not self.is_answered:
            self.answers.write_now(self)  # a pipelined request
        if self.in_message or not data.startswith(_PUBLISH):
            super().data_received(data)
            return
        end = data.find(b"\r\n\r\n") + 4
        head = self.quick.heads.get(data[:end])
        if head is not None and len(data) - end == head.body_bytes and self._is_turn():
            self.answers.soon(self.loop)
            answer = self.quick.answer(head, data[end:], self.server_state.default_headers)
            if answer is not None:
                self.server_state.total_requests += 1
                self.used_at = self.loop.time()
                self.answers.add(self, answer)
                if self.timeout_keep_alive_task is None:
                    self._wait_for_request(self.timeout_keep_alive)
                return
            self.is_refused = True
        self.raw_head = data[:end] if end > 3 else b""
        super().data_received(data)
        self.raw_head, self.is_refused = b"", False

    def timeout_keep_alive_handler(self) -> None:
        # Requests that were answered above have left the timer alone.
        left_s = self.used_at + self.timeout_keep_alive - self.loop.time()
        if left_s > 0 and self._is_turn():
            self._wait_for_request(left_s)
        else:
            super().timeout_keep_alive_handler()

    # A request that is parsed ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"][CONNECTION_EXTENSION][LOOKED_AT] = True

    def on_headers_complete(self) -> None:
        self.held = None
        raw_head, self.raw_head = self.raw_head, b""  # of the first request in what was received, of no later one
        is_refused, self.is_refused = self.is_refused, False
        if self.url == PATH and not is_refused and self._is_free():
            head = self.quick.head(self.headers)
            if head is not None:
                self._head_bytes = -1
                self._has_come()
                self.held = head, []
                if raw_head:
                    self.quick.remember(raw_head, head)
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.held is None:
            super().on_body(body)
        else:
            self.held[1].append(body)

    def on_message_complete(self) -> None:
        if self.held is None:
            super().on_message_complete()
            return
        self.in_message = False
        self._has_come()
        head, parts = self.held
        answer = None
        if self._is_free():
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            answer = self.quick.answer(head, body, self.server_state.default_headers)
        if answer is None:
            self._let_go()
            super().on_message_complete()
            return
        self.held = None
        self.transport.write(answer)
        self.on_response_complete()

    def shutdown(self) -> None:
        if not self.is_answered:
            self.answers.write_now(self)
        self._let_go()
        super().shutdown()

    def _is_free(self) -> bool:
        """May the request that is being parsed be answered at once?"""
        return (
            self._is_turn()
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        )

    def _is_unseen(self) -> bool:
        return self.held is not None or super()._is_unseen()

    def _is_turn(self) -> bool:
        """Is nothing else being answered, and is the client reading?"""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _let_go(self) -> None:
        """Give the application the request after all, as far as it has come."""
        if self.held is not None:
            _, parts = self.held
            self.held = None
            super().on_headers_complete()
            for part in parts:
                super().on_body(part)
