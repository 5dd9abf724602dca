"""The Lambda Runtime API for one worker, on a port of its own. until phase 3

Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes"
(docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): GET …/runtime/invocation/next, POST
…/invocation/ID/response, …/invocation/ID/error, …/runtime/init/error, answered with 202.

A protocol on httptools instead of a web framework: one invocation is two requests of a runtime client, and a
framework would cost more than the client itself.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

__all__ = ["MAX_PAYLOAD_BYTES", "RuntimeApi", "RuntimeEvents"]

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024 + 100
"""Largest synchronous request and response, bytes (6,291,556, as AWS's error message says)."""

_PREFIX = b"/2018-06-01/runtime/"
_ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'


def _refusal(status: bytes, error_type: bytes, message: bytes) -> bytes:
    body = b'{"errorType":"' + error_type + b'","errorMessage":"' + message + b'"}'
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


_NOT_FOUND = _refusal(b"404 Not Found", b"InvalidRequestPath", b"No such resource")
_BAD_REQUEST_ID = _refusal(b"400 Bad Request", b"InvalidRequestID", b"Invalid request ID")
_TOO_LARGE = _refusal(
    b"413 Payload Too Large", b"RequestEntityTooLarge", b"Exceeded maximum allowed payload size (6291556 bytes)."
)


class RuntimeEvents(Protocol):
    """What a runtime client reports; `worker.py` answers."""

    def runtime_waits(self, connection: RuntimeApi) -> None:
        """GET next: the client is ready; `connection.hand_over` answers it, now or later."""
        ...

    def runtime_responded(self, request_id: str, body: bytes, size: int) -> bool:
        """The handler's result (`body` is empty when `size` is over the limit). False: unknown request id."""
        ...

    def runtime_failed(self, request_id: str, body: bytes, error_type: str) -> bool:
        """The handler's error. False: unknown request id."""
        ...

    def runtime_init_failed(self, body: bytes, error_type: str) -> None:
        """The function could not be loaded."""
        ...


class RuntimeApi(asyncio.Protocol):
    """One connection of a runtime client."""

    def __init__(self, events: RuntimeEvents) -> None:
        self._events = events
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._body: list[bytes] = []
        self._size = 0
        self._error_type = ""

    def hand_over(self, head: bytes, payload: bytes) -> None:
        """Answer the waiting GET next with an invocation."""
        if self._transport is not None:
            self._transport.write(head + payload)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"lambda-runtime-function-error-type":
            self._error_type = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MAX_PAYLOAD_BYTES:
            self._body.append(body)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        answer = self._answer(self._parser.get_method(), self._url)
        if answer and self._transport is not None:
            self._transport.write(answer)

    def _answer(self, method: bytes, url: bytes) -> bytes:
        if not url.startswith(_PREFIX):
            return _NOT_FOUND
        rest = url[len(_PREFIX) :]
        if method == b"GET":
            if rest != b"invocation/next":
                return _NOT_FOUND
            self._events.runtime_waits(self)
            return b""
        body = b"".join(self._body)
        if rest == b"init/error":
            self._events.runtime_init_failed(body, self._error_type)
            return _ACCEPTED
        parts = rest.split(b"/")
        if method != b"POST" or len(parts) != 3 or parts[0] != b"invocation":
            return _NOT_FOUND
        request_id = parts[1].decode("latin-1")
        if parts[2] == b"response":
            if not self._events.runtime_responded(request_id, body, self._size):
                return _BAD_REQUEST_ID
            return _TOO_LARGE if self._size > MAX_PAYLOAD_BYTES else _ACCEPTED
        if parts[2] == b"error":
            return _ACCEPTED if self._events.runtime_failed(request_id, body, self._error_type) else _BAD_REQUEST_ID
        return _NOT_FOUND
