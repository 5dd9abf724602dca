"""The `@connections` API: POST, GET and DELETE on one connection, answered as API Gateway does.

Sources: "Use @connections commands in your backend service" (apigateway-how-to-call-websocket-api-connections.html);
the API Gateway Management API model (GoneException 410, LimitExceededException 429, PayloadTooLargeException 413,
ForbiddenException 403; POST 200, GET 200, DELETE 204). An id that has not the form of one is a bad request: "Invalid
connectionId" (dherault/serverless-offline issue 749). A 410 has no body (aws-sdk-java issue 2200).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from sse_service.connections.events import is_id
from sse_service.connections.throttle import TokenBucket
from sse_service.errors import TooLargeError, UnavailableError
from sse_service.ports import Clock
from sse_service.virtual.errors import GoneError, WindowFullError
from sse_service.virtual.flows import new_id
from sse_service.virtual.handlers import Connections
from sse_service.virtual.sigv4 import SignatureError, SignedRequest, verify

__all__ = ["COLLECTION", "Answer", "Elsewhere", "ManagementApi"]

COLLECTION = "@connections"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Elsewhere(Protocol):
    """The @connections API of another gateway. Raises GoneError, WindowFullError, TooLargeError, UnavailableError."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def post(self, connection_id: str, data: str | bytes) -> None: ...

    async def describe(self, connection_id: str) -> dict[str, Any]: ...

    async def delete(self, connection_id: str) -> None: ...


class ManagementApi:
    """secrets: by access key. rate: requests a second, 0 for no limit. elsewhere: who is asked about connections that
    are not here, while a team's clients are on both."""

    def __init__(
        self,
        connections: Connections,
        secrets: dict[str, str],
        *,
        rate: float,
        clock: Clock,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._connections = connections
        self._elsewhere = elsewhere
        self._secrets = secrets
        self._clock = clock
        self._bucket = TokenBucket(rate, max(rate, 1.0), clock()) if rate else None

    async def answer(self, request: SignedRequest, connection_id: str, *, is_trusted: bool) -> Answer:
        """is_trusted: who asks need not show a signature."""
        request_id = new_id()
        if not is_trusted:
            try:
                verify(request, self._secrets, self._clock())
            except SignatureError as error:
                return _error(HTTPStatus.FORBIDDEN, error.error_type, request_id, error.message)
        if self._bucket is not None and not self._bucket.take(self._clock()):
            return _error(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", request_id)
        if not is_id(connection_id):
            message = f"Invalid connectionId: {connection_id}"
            return _error(HTTPStatus.BAD_REQUEST, "BadRequestException", request_id, message, connection_id)
        try:
            try:
                return await self._do(self._connections, request, connection_id, request_id)
            except GoneError:
                if self._elsewhere is None:
                    raise
                return await self._do(self._elsewhere, request, connection_id, request_id)
        except GoneError:
            return _error(HTTPStatus.GONE, "GoneException", request_id)
        except WindowFullError:
            return _error(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", request_id)
        except TooLargeError:
            return _error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "PayloadTooLargeException",
                request_id,
                "Message too long",
                connection_id,
            )
        except UnavailableError:
            return _error(
                HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableException", request_id, "Service Unavailable"
            )

    async def _do(
        self, where: Connections | Elsewhere, request: SignedRequest, connection_id: str, request_id: str
    ) -> Answer:
        if request.method == "POST":
            await where.post(connection_id, request.body)
            return Answer(HTTPStatus.OK, b"", _headers(request_id))
        if request.method == "GET":
            body = json.dumps(await where.describe(connection_id)).encode()
            return Answer(HTTPStatus.OK, body, _headers(request_id))
        if request.method == "DELETE":
            await where.delete(connection_id)
            return Answer(HTTPStatus.NO_CONTENT, b"", _headers(request_id))
        return _error(HTTPStatus.FORBIDDEN, "MissingAuthenticationTokenException", request_id)


def _headers(request_id: str) -> tuple[tuple[str, str], ...]:
    return (("content-type", "application/json"), ("x-amzn-requestid", request_id))


def _error(
    status: int, error_type: str, request_id: str, message: str | None = None, connection_id: str | None = None
) -> Answer:
    body: dict[str, str] = {}
    if message is not None:
        body["message"] = message
    if connection_id is not None:
        body.update(connectionId=connection_id, requestId=request_id)
    return Answer(
        status, json.dumps(body).encode() if body else b"", (*_headers(request_id), ("x-amzn-errortype", error_type))
    )
