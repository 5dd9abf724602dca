"""DynamoDB: the connection, the tables, and what its errors mean. The only file that imports aiobotocore.

The stores built on it are in dynamodb_log.py and dynamodb_stores.py.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from sse_service.errors import SseServiceError, StartupError, UnavailableError
from sse_service.settings import Settings

__all__ = ["ConditionFailedError", "Dynamo", "TableSpec", "table_specs"]

logger = logging.getLogger("sse_service.dynamodb")

Item = dict[str, dict[str, Any]]

TRANSIENT = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "LimitExceededException",
        "TransactionConflictException",
        "TransactionInProgressException",
        "InternalServerError",
        "InternalFailure",
        "ServiceUnavailable",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
"""Answers that repeating may cure. Source: DynamoDB developer guide, "Error handling with DynamoDB"."""


TRANSACTION_ATTEMPTS = 8
MAX_BATCH_GET = 100


class ConditionFailedError(SseServiceError):
    """A conditional write found something else than it demanded."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """partition, sort: (name, DynamoDB type). ttl: the attribute whose time has come, or ""."""

    name: str
    partition: tuple[str, str]
    sort: tuple[str, str] | None = None
    ttl: str = ""


def table_specs(settings: Settings) -> list[TableSpec]:
    """The tables this service owns. A messages table that is shared belongs to somebody else."""
    prefix = settings.table_prefix
    # ChatUserQueue of the source document: who reads which queue (sqs_registry.py).
    queues = [TableSpec(f"{prefix}-user-queues", ("tenant", "S"), ("userId", "S"))] if settings.broker == "sqs" else []
    return [
        *queues,
        TableSpec(f"{prefix}-events", ("tenant", "S"), ("seq", "N"), "expires_at"),
        TableSpec(f"{prefix}-claims", ("claim", "S"), None, "expires_at"),
        TableSpec(f"{prefix}-conversations", ("pk", "S"), ("sk", "S"), "expires_at"),
        TableSpec(settings.own_messages_table, ("conversationId", "S"), ("timestamp", "N")),
    ]


class Dynamo:
    """A client, and one place where its exceptions become ours."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def connect(self) -> None:
        """Make the client. Raises StartupError."""
        if self._client is not None:
            return
        config = AioConfig(
            connect_timeout=2,
            read_timeout=3,
            max_pool_connections=64,
            # One repeat, after a second at most: what is throttled for longer is said to the caller, who comes back.
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        try:
            self._client = await self._stack.enter_async_context(
                get_session().create_client(
                    "dynamodb",
                    region_name=self._settings.region,
                    endpoint_url=self._settings.aws_endpoint_url or None,
                    config=config,
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise StartupError(
                f"no DynamoDB client: {error}", "check AWS_REGION, AWS_ENDPOINT_URL and the credentials"
            ) from None

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One request. Raises ConditionFailedError, UnavailableError."""
        try:
            answer: dict[str, Any] = await self._method(operation)(**arguments)
            return answer
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ConditionalCheckFailedException":
                raise ConditionFailedError(code) from None
            if code in TRANSIENT:
                logger.warning("DynamoDB %s: %s", operation, code)
            else:
                # A wrong permission or a missing table: nothing the caller can do, much to be read here.
                table = arguments.get("TableName")
                logger.error("DynamoDB %s on %s: %s", operation, table, error)  # noqa: TRY400
            raise UnavailableError("the store did not take the request") from error
        except BotoCoreError as error:
            logger.warning("DynamoDB %s: %s", operation, error)
            raise UnavailableError("the store is out of reach") from error

    async def transact(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """All of the writes or none. One that meets another's is tried again.

        Raises ConditionFailedError, UnavailableError. Source: DynamoDB API reference, TransactWriteItems, "Errors".
        """
        token = uuid.uuid4().hex  # the SDK's own repeats are one request
        for attempt in range(TRANSACTION_ATTEMPTS):
            try:
                await self._method("transact_write_items")(TransactItems=list(actions), ClientRequestToken=token)
                return
            except ClientError as error:
                reasons = {reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])}
                code = error.response.get("Error", {}).get("Code", "")
                if "ConditionalCheckFailed" in reasons:
                    raise ConditionFailedError(code) from None
                if "TransactionConflict" not in reasons and code not in TRANSIENT:
                    logger.error("DynamoDB transaction: %s", error)  # noqa: TRY400 - nothing in the traceback
                    raise UnavailableError("the store did not take the request") from error
                logger.warning("DynamoDB transaction: %s", code)
            except BotoCoreError as error:
                logger.warning("DynamoDB transaction: %s", error)
                raise UnavailableError("the store is out of reach") from error
            # Full jitter, so that those that met once do not meet again.
            await asyncio.sleep(random.random() * 0.02 * 2**attempt)  # noqa: S311 - jitter
            token = uuid.uuid4().hex
        raise UnavailableError("the store is busy")

    async def batch_get(self, table: str, keys: Sequence[Item]) -> list[Item]:
        """Those of the items that exist, read consistently. Raises UnavailableError."""
        found: list[Item] = []
        for at in range(0, len(keys), MAX_BATCH_GET):
            left: Mapping[str, Any] = {table: {"Keys": list(keys[at : at + MAX_BATCH_GET]), "ConsistentRead": True}}
            for attempt in range(TRANSACTION_ATTEMPTS):
                answer = await self.call("batch_get_item", RequestItems=left)
                found += answer.get("Responses", {}).get(table, [])
                left = answer.get("UnprocessedKeys") or {}
                if not left:
                    break
                await asyncio.sleep(random.random() * 0.02 * 2**attempt)  # noqa: S311 - jitter
            else:
                raise UnavailableError("the store is busy")
        return found

    def _method(self, operation: str) -> Callable[..., Awaitable[Any]]:
        if self._client is None:
            raise UnavailableError("the store is not connected")
        method: Callable[..., Awaitable[Any]] = getattr(self._client, operation)
        return method

    async def query(self, **arguments: Any) -> list[Item]:
        """All pages of a query with consistent reads."""
        items: list[Item] = []
        start: Mapping[str, Any] | None = None
        while True:
            paging = {"ExclusiveStartKey": start} if start else {}
            answer = await self.call("query", ConsistentRead=True, **arguments, **paging)
            items += answer.get("Items", [])
            start = answer.get("LastEvaluatedKey")
            if not start:
                return items

    async def check_tables(self) -> None:
        """Raises StartupError naming every table that is missing."""
        names = [spec.name for spec in table_specs(self._settings)]
        if self._settings.shares_messages_table:
            names.append(self._settings.messages_table)
        found = await asyncio.gather(*(self._exists(name) for name in names))
        missing = [name for name, exists in zip(names, found, strict=True) if not exists]
        if missing:
            raise StartupError(f"no such table: {', '.join(missing)}", "`sse-service create-tables` makes them")

    async def _exists(self, name: str) -> bool:
        try:
            await self._method("describe_table")(TableName=name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ResourceNotFoundException":
                return False
            raise StartupError(f"table {name}: {code}", "check region, credentials and permissions") from None
        except BotoCoreError as error:
            raise StartupError(
                f"DynamoDB is out of reach: {error}", "check AWS_ENDPOINT_URL, AWS_REGION and the credentials"
            ) from None
        return True

    async def create_tables(self) -> list[str]:
        """Make what is missing, billed on demand, with TTL. Returns the names of the tables made."""
        made = []
        for spec in table_specs(self._settings):
            if not await self._exists(spec.name):
                await self._create(spec)
                made.append(spec.name)
            if spec.ttl:
                await self._enable_ttl(spec)
        return made

    async def _create(self, spec: TableSpec) -> None:
        keys = [(*spec.partition, "HASH")] + ([(*spec.sort, "RANGE")] if spec.sort else [])
        try:
            await self._method("create_table")(
                TableName=spec.name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind, _ in keys],
                KeySchema=[{"AttributeName": name, "KeyType": role} for name, _, role in keys],
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code != "ResourceInUseException":  # somebody else makes it at this moment
                raise StartupError(f"table {spec.name}: {code}", "check the permissions") from None
        await self._client.get_waiter("table_exists").wait(
            TableName=spec.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )

    async def _enable_ttl(self, spec: TableSpec) -> None:
        answer = await self.call("describe_time_to_live", TableName=spec.name)
        status = answer.get("TimeToLiveDescription", {}).get("TimeToLiveStatus", "DISABLED")
        if status == "DISABLED":
            await self.call(
                "update_time_to_live",
                TableName=spec.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": spec.ttl},
            )
