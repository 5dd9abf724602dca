"""The `@connections` API of API Gateway, for connections that are not here: clients that have not moved yet.

The service's role needs `execute-api:ManageConnections` on that API. Source: API Gateway Management API reference,
PostToConnection, GetConnection, DeleteConnection: GoneException 410, LimitExceededException 429,
PayloadTooLargeException 413.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from sse_service.errors import StartupError, TooLargeError, UnavailableError
from sse_service.settings import Settings
from sse_service.virtual.errors import GoneError, WindowFullError

__all__ = ["ForwardedConnections"]

logger = logging.getLogger("sse_service.virtual")


class ForwardedConnections:
    """See Elsewhere (virtual/management.py)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def start(self) -> None:
        """Make the client; nothing is asked of the network. Raises StartupError."""
        if self._client is not None:
            return
        # A repeat could deliver twice: whoever asked decides.
        config = AioConfig(
            connect_timeout=2,
            read_timeout=10,
            max_pool_connections=200,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        try:
            self._client = await self._stack.enter_async_context(
                get_session().create_client(
                    "apigatewaymanagementapi",
                    region_name=self._settings.region,
                    endpoint_url=self._settings.virtual_management_forward_url,
                    config=config,
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise StartupError(
                f"no API Gateway client: {error}", "check SSE_VIRTUAL_MANAGEMENT_FORWARD_URL, AWS_REGION, credentials"
            ) from None

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def post(self, connection_id: str, data: str | bytes) -> None:
        await self._call("post_to_connection", ConnectionId=connection_id, Data=data)

    async def describe(self, connection_id: str) -> dict[str, Any]:
        answer = await self._call("get_connection", ConnectionId=connection_id)
        raw = {"connectedAt": "ConnectedAt", "identity": "Identity", "lastActiveAt": "LastActiveAt"}
        found = {name: answer[key] for name, key in raw.items() if key in answer}
        for name in ("connectedAt", "lastActiveAt"):
            if hasattr(found.get(name), "isoformat"):
                found[name] = found[name].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if "identity" in found:
            found["identity"] = {
                "sourceIp": found["identity"].get("SourceIp", ""),
                "userAgent": found["identity"].get("UserAgent", ""),
            }
        return found

    async def delete(self, connection_id: str) -> None:
        await self._call("delete_connection", ConnectionId=connection_id)

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if self._client is None:
            raise UnavailableError("API Gateway is not connected")
        try:
            answer: dict[str, Any] = await getattr(self._client, operation)(**arguments)
            return answer
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 410:
                raise GoneError from None
            if status == 429:
                raise WindowFullError from None
            if status == 413:
                raise TooLargeError("a message", self._settings.virtual_message_bytes) from None
            logger.error("%s elsewhere: %s", operation, error)  # noqa: TRY400 - the reason, not the way to it
            raise UnavailableError("API Gateway did not take the request") from error
        except BotoCoreError as error:
            logger.warning("%s elsewhere: %s", operation, type(error).__name__)
            raise UnavailableError("API Gateway is out of reach") from error
