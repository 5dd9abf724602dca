"""What an application consists of: tables, functions, routes and who may do what. until phase 3

Pure. One `AppSpec` per application; `apps.py` lists them. Resource names are made here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from legacy_ws.errors import UsageError

__all__ = [
    "APP_TAG",
    "CLOUDFORMATION_TAG",
    "TAG",
    "AppSpec",
    "FunctionSpec",
    "Grant",
    "QueueSpec",
    "StackNames",
    "TableSpec",
]

TAG = "ws2sse:stack"
"""Tag of everything a stack owns; its value is the stack's name. `destroy` removes nothing without it."""

APP_TAG = "ws2sse:app"
"""Tag of a stack's API and tables; its value is the application's name. The next deployment reads it."""

CLOUDFORMATION_TAG = "aws:cloudformation:stack-name"
"""CloudFormation puts it on everything it makes (user guide, "Resource tags"): such a stack is changed there only."""

_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")


@dataclass(frozen=True)
class Grant:
    """Permission of one function: `actions` on what `on` names.

    Args:
        on: "management" (`@connections`: post), "close" (`@connections`: end a connection), or the name of a table, a
            queue or another function of the application.
    """

    on: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class TableSpec:
    """One DynamoDB table; `keys` are (attribute, type) pairs: partition key, then perhaps the sort key.

    Args:
        name: short name, as grants and the JSON output call it.
        suffix: the table is called `{stack}-{suffix}`.
        env: environment variable that tells the functions its name.
        ttl: TTL attribute.
        indexes: index name -> its (attribute, type) pairs; everything is projected.
    """

    name: str
    suffix: str
    env: str
    keys: tuple[tuple[str, str], ...]
    ttl: str | None = None
    indexes: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueSpec:
    """One SQS queue with its dead-letter queue; names of FIFO queues end in `.fifo`.

    Args:
        name: short name, as grants and the JSON output call it.
        suffix: the queue is called `{stack}-{suffix}`, the dead-letter queue `{stack}-{suffix}-dead`; both end in
            `.fifo` when they are FIFO, whether the suffix does or not.
        env: environment variable that tells functions with a grant on it its URL.
        fifo: order per message group, duplicates dropped for five minutes.
        visibility_s: seconds a received message is hidden; at least six times the consumer's timeout (Lambda developer
            guide, "Using Lambda with Amazon SQS").
        max_receives: deliveries before a message goes to the dead-letter queue.
        retention_s: seconds a message is kept.
    """

    name: str
    suffix: str
    env: str
    fifo: bool = False
    visibility_s: int = 180
    max_receives: int = 5
    retention_s: int = 4 * 24 * 3600


@dataclass(frozen=True)
class FunctionSpec:
    """One Lambda function, called `{stack}-{name}`.

    Args:
        handler: module and attribute, as Lambda wants them.
        routes: route keys it serves.
        grants: what it may do.
        authorizer: it authorizes `$connect` (and gets the settings of its kind of authorization).
        consumes: name of the queue whose messages it is called with, in batches with partial failures.
        env: environment variable that tells functions with a grant on this one its name.
        settings: more environment variables of this function.
        timeout_s, memory_mb: of the function.
    """

    name: str
    handler: str
    routes: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    authorizer: bool = False
    consumes: str | None = None
    env: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 10
    memory_mb: int = 256


@dataclass(frozen=True)
class AppSpec:
    """One application.

    Args:
        auth: "jwt" (HS256 by a shared secret, or RS256 by JWKS when its address is given), or "cognito" (GetUser of a
            user pool).
    """

    name: str
    tables: tuple[TableSpec, ...]
    functions: tuple[FunctionSpec, ...]
    queues: tuple[QueueSpec, ...] = ()
    route_selection: str = "$request.body.action"
    auth: Literal["jwt", "cognito"] = "jwt"


@dataclass(frozen=True)
class StackNames:
    """Names and ARNs of one stack in one account and region; `app` is the application's name where it is known.

    Raises: UsageError: the stack's name does not fit into the names made of it.
    """

    stack: str
    region: str
    account: str
    partition: str = "aws"
    app: str | None = None

    def __post_init__(self) -> None:
        if not _STACK_NAME.fullmatch(self.stack):
            raise UsageError(
                f"{self.stack!r} is no stack name",
                "use a letter, then up to 31 letters, digits and hyphens",
            )

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every resource of the stack."""
        return {TAG: self.stack}

    @property
    def app_tags(self) -> dict[str, str]:
        """Tags of the API and the tables, which say what application the stack is."""
        return self.tags | ({APP_TAG: self.app} if self.app else {})

    @property
    def prefix(self) -> str:
        """Tables, queues and functions begin with it."""
        return f"{self.stack}-"

    @property
    def role_path(self) -> str:
        """IAM path of the stack's roles. IAM is global, so the region is part of it and of the names."""
        return f"/ws2sse/{self.stack}/{self.region}/"

    def table(self, table: TableSpec) -> str:
        """Name of a table."""
        return f"{self.stack}-{table.suffix}"

    def table_arn(self, table: TableSpec) -> str:
        """ARN of a table."""
        return f"arn:{self.partition}:dynamodb:{self.region}:{self.account}:table/{self.table(table)}"

    def index_arn(self, table: TableSpec, index: str) -> str:
        """ARN of one of a table's indexes."""
        return f"{self.table_arn(table)}/index/{index}"

    def queue(self, queue: QueueSpec) -> str:
        """Name of a queue."""
        return self._queue(queue, "")

    def dead_queue(self, queue: QueueSpec) -> str:
        """Name of a queue's dead-letter queue; FIFO like the queue itself, as SQS demands."""
        return self._queue(queue, "-dead")

    def queue_arn(self, queue: QueueSpec) -> str:
        """ARN of a queue."""
        return self._sqs_arn(self.queue(queue))

    def dead_queue_arn(self, queue: QueueSpec) -> str:
        """ARN of a queue's dead-letter queue."""
        return self._sqs_arn(self.dead_queue(queue))

    def _queue(self, queue: QueueSpec, more: str) -> str:
        return f"{self.stack}-{queue.suffix.removesuffix('.fifo')}{more}" + (".fifo" if queue.fifo else "")

    def _sqs_arn(self, name: str) -> str:
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{name}"

    @property
    def user_pool(self) -> str:
        """Name of the stack's own Cognito user pool."""
        return f"{self.stack}-users"

    @property
    def user_pool_client(self) -> str:
        """Name of the client of the stack's own user pool."""
        return f"{self.stack}-client"

    def function(self, function: FunctionSpec) -> str:
        """Name of a function."""
        return f"{self.stack}-{function.name}"

    def function_arn(self, function: FunctionSpec) -> str:
        """ARN of a function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function(function)}"

    def role(self, function: FunctionSpec) -> str:
        """Name of a function's role."""
        return f"{self.stack}-{function.name}-{self.region}"

    def log_group(self, function: FunctionSpec) -> str:
        """Where Lambda writes a function's output."""
        return f"/aws/lambda/{self.function(function)}"

    def log_group_arn(self, function: FunctionSpec) -> str:
        """ARN of a function's log group."""
        return self._logs_arn(self.log_group(function))

    @property
    def access_log(self) -> str:
        """Log group of the stage's access log."""
        return f"/aws/apigateway/{self.stack}"

    @property
    def access_log_arn(self) -> str:
        """ARN of the access log's group."""
        return self._logs_arn(self.access_log)

    def _logs_arn(self, group: str) -> str:
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{group}"

    def api_arn(self, api_id: str) -> str:
        """ARN of an API as a resource that carries tags."""
        return f"arn:{self.partition}:apigateway:{self.region}::/apis/{api_id}"

    def execute_api_arn(self, api_id: str, tail: str) -> str:
        """ARN of a part of an API, `tail` being `{stage}/{route}` or `authorizers/{id}`."""
        return f"arn:{self.partition}:execute-api:{self.region}:{self.account}:{api_id}/{tail}"

    def invocation_uri(self, function_arn: str) -> str:
        """How API Gateway wants a Lambda function named."""
        return (
            f"arn:{self.partition}:apigateway:{self.region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"
        )
