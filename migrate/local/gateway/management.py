"""The @connections API: POST, GET and DELETE on one connection, answered at once. Until phase 3.

Sources: "Use @connections commands in your backend service"
(apigateway-how-to-call-websocket-api-connections.html); the API Gateway Management API model (GoneException
410, LimitExceededException 429, PayloadTooLargeException 413, ForbiddenException 403; POST 200, GET 200,
DELETE 204; data at most 131072 bytes); Knowledge Center "410-gone-api-gateway" ("A message was posted to the
WebSocket API before the connection was established"). An id that has not the form of one is a bad request:
"Invalid connectionId" (dherault/serverless-offline issue 749). A 410 has no body: SDKs report it without a
message (aws-sdk-java issue 2200, laravel-echo-api-gateway issue 9).
"""

import codecs
import json
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from migrate.local.gateway.connection import Connection
from migrate.local.gateway.http11 import Request, Response
from sse_service.connections.events import is_id
from sse_service.connections.lifecycle import CloseCause, State
from sse_service.connections.throttle import TokenBucket

COLLECTION = "@connections"


class ConnectionBook(Protocol):
    """Where connections are found, and which stages there are."""

    def find(self, connection_id: str) -> Connection | None: ...

    def knows_stage(self, name: str, api_id: str | None = None) -> bool: ...

    def on_posted(self, connection: Connection, size: int, request_id: str) -> None:
        """A message was given to a connection."""


class ManagementApi:
    """Answers @connections requests of every API of this gateway."""

    def __init__(
        self,
        book: ConnectionBook,
        *,
        max_bytes: int,
        client_buffer_bytes: int,
        rate: float | None,
        clock: Callable[[], float],
        epoch_ms: Callable[[], int],
    ) -> None:
        self._book = book
        self._max_bytes = max_bytes
        self._client_buffer_bytes = client_buffer_bytes
        self._clock = clock
        self._epoch_ms = epoch_ms
        self._bucket = None if rate is None else TokenBucket(rate, max(rate, 1.0), clock())

    @staticmethod
    def handles(path: list[str]) -> bool:
        """Whether a path is one of ours: `/{stage}/@connections/{id}`, an API id may stand in front."""
        return COLLECTION in path[:3]

    def answer(self, request: Request, path: list[str], host_api: str | None, request_id: str) -> Response:
        """Answer one request. `host_api` is the API named by the Host header, if any."""
        place = path.index(COLLECTION)
        if place == 0 or len(path) != place + 2:
            return _error(HTTPStatus.FORBIDDEN, "ForbiddenException", request_id, message="Forbidden")
        if not _is_signed(request):
            return _error(
                HTTPStatus.FORBIDDEN,
                "MissingAuthenticationTokenException",
                request_id,
                message="Missing Authentication Token",
            )
        if self._bucket is not None and not self._bucket.take(self._clock()):
            return _error(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", request_id)
        api_id = path[0] if place == 2 else host_api
        return self._dispatch(request, path[place - 1], path[-1], api_id, request_id)

    def _dispatch(
        self, request: Request, stage: str, connection_id: str, api_id: str | None, request_id: str
    ) -> Response:
        connection = self._book.find(connection_id)
        if connection is None:
            if not self._book.knows_stage(stage, api_id):
                return _error(HTTPStatus.FORBIDDEN, "ForbiddenException", request_id, message="Forbidden")
            if not is_id(connection_id):
                return _error(
                    HTTPStatus.BAD_REQUEST,
                    "BadRequestException",
                    request_id,
                    message=f"Invalid connectionId: {connection_id}",
                    connection_id=connection_id,
                )
            return _error(HTTPStatus.GONE, "GoneException", request_id)
        facts = connection.facts
        if facts.stage != stage or api_id not in (None, facts.api_id):
            return _error(HTTPStatus.FORBIDDEN, "ForbiddenException", request_id, message="Forbidden")
        if connection.state is not State.OPEN:
            return _error(HTTPStatus.GONE, "GoneException", request_id)
        if request.method == "POST":
            return self._post(connection, request.body, request_id)
        if request.method == "GET":
            return _describe(connection, request_id)
        if request.method == "DELETE":
            connection.close(CloseCause.DELETED)
            return Response(HTTPStatus.NO_CONTENT, headers=_headers(request_id))
        return _error(HTTPStatus.FORBIDDEN, "MissingAuthenticationTokenException", request_id)

    def _post(self, connection: Connection, data: bytes, request_id: str) -> Response:
        if len(data) > self._max_bytes:
            return _error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "PayloadTooLargeException",
                request_id,
                message="Message too long",
                connection_id=connection.connection_id,
            )
        if connection.buffered() > self._client_buffer_bytes:
            return _error(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", request_id)
        connection.last_active_ms = self._epoch_ms()
        connection.send_text(as_text(data), self._clock())
        self._book.on_posted(connection, len(data), request_id)
        return Response(HTTPStatus.OK, headers=_headers(request_id))


def as_text(data: bytes) -> bytes:
    """Posted data as the payload of a text frame, the only kind there is: what is no UTF-8 is replaced."""
    try:
        codecs.utf_8_decode(data, "strict", True)
    except UnicodeDecodeError:
        return data.decode("utf-8", errors="replace").encode()
    return data


def _is_signed(request: Request) -> bool:
    """Whether a signature is there at all; it is not verified."""
    authorization = request.header("Authorization")
    if authorization is not None:
        return authorization.startswith("AWS4-")
    return "X-Amz-Signature=" in request.query


def _describe(connection: Connection, request_id: str) -> Response:
    facts = connection.facts
    body = {
        "connectedAt": _iso(facts.connected_at_ms),
        "identity": {"sourceIp": facts.source_ip, "userAgent": facts.user_agent or ""},
        "lastActiveAt": _iso(connection.last_active_ms),
    }
    return Response(HTTPStatus.OK, json.dumps(body).encode(), _headers(request_id))


def _iso(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _headers(request_id: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", "application/json"), ("x-amzn-RequestId", request_id))


def _error(
    status: int,
    error_type: str,
    request_id: str,
    *,
    message: str | None = None,
    connection_id: str | None = None,
) -> Response:
    body: dict[str, str] = {}
    if message is not None:
        body["message"] = message
    if connection_id is not None:
        body.update(connectionId=connection_id, requestId=request_id)
    return Response(
        status,
        json.dumps(body).encode() if body else b"",
        (*_headers(request_id), ("x-amzn-ErrorType", error_type)),
    )
