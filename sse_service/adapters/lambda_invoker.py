"""Invokes Lambda functions as API Gateway does: synchronously, with its own time limit, never twice.

Source: Lambda API reference, "Invoke": RequestResponse, X-Amz-Function-Error, TooManyRequestsException (429).
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from sse_service.errors import StartupError
from sse_service.settings import Settings
from sse_service.virtual.calls import Invoked
from sse_service.virtual.errors import CallError, FailureKind

__all__ = ["LambdaInvoker"]

POOL = 1000
"""Invocations under way at once: the account's default concurrency (Lambda quotas)."""


class LambdaInvoker:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def start(self) -> None:
        """Make the client; nothing is asked of the network. Raises StartupError."""
        if self._client is not None:
            return
        config = AioConfig(
            connect_timeout=3,
            read_timeout=self._settings.virtual_integration_s + 5,
            max_pool_connections=POOL,
            # A repeat would run a handler twice. API Gateway does not either.
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        try:
            self._client = await self._stack.enter_async_context(
                get_session().create_client(
                    "lambda",
                    region_name=self._settings.region,
                    endpoint_url=self._settings.aws_endpoint_url or None,
                    config=config,
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise StartupError(
                f"no Lambda client: {error}", "check AWS_REGION, AWS_ENDPOINT_URL and the credentials"
            ) from None

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def invoke(self, target: str, payload: bytes, timeout_s: float) -> Invoked:
        """Raises CallError when the function gave no answer."""
        if self._client is None:
            raise CallError(FailureKind.EXECUTION, "Lambda is not connected")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.invoke(FunctionName=target, Payload=payload)
                return Invoked(await answer["Payload"].read(), "FunctionError" in answer)
        except TimeoutError:
            raise CallError(FailureKind.TIMEOUT, f"no answer within {timeout_s:g} s") from None
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise CallError(FailureKind.EXECUTION, f"Lambda: {code}") from error
        except BotoCoreError as error:
            raise CallError(FailureKind.EXECUTION, f"Lambda: {type(error).__name__}") from error
