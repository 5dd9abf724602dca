"""What was seen of a stack, wherever it was seen. Pure. until phase 3 (MG1)

Environments of functions and sampled items are kept for guessing only and are never shown or written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.init.sources import SourceFact

__all__ = ["FunctionFact", "RouteFact", "StackFacts", "TableFact"]

Keys = tuple[tuple[str, str], ...]
"""(attribute, type) of the partition key, then perhaps of the sort key; type S, N or B."""


@dataclass(frozen=True)
class RouteFact:
    """A route.

    Args:
        kind: AWS_PROXY, AWS, HTTP, HTTP_PROXY, MOCK, or empty without an integration.
        function: name of the Lambda function behind it, or empty.
        uri: of any other integration, without its query.
        authorizer: name of the Lambda function that authorizes it; AWS_IAM; or empty.
        two_way: it has a route response: what the integration answers goes to the client.
        binary: frames are converted to binary or text (ContentHandlingStrategy).
    """

    key: str
    kind: str = ""
    function: str = ""
    uri: str = ""
    authorizer: str = ""
    two_way: bool = False
    binary: bool = False


@dataclass(frozen=True)
class FunctionFact:
    """A Lambda function.

    Args:
        env: its environment; never shown.
        actions: (action, resource) of what its role allows; both may be patterns.
        log_group: empty for the default.
        retention_days: of the log group; 0 for ever; None when not known.
        sources: what invokes it besides the API: queues, streams, schedules.
        unread: types of sources of which nothing could be said.
        stand_ins: for what of its environment is no secret (addresses of queues), as `env` of migrate.toml has them.
        names_api: its environment names the API, and what its role allows is not known.
        runtime, handler, timeout_s: as deployed; empty and 0 when not known.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    actions: tuple[tuple[str, str], ...] = ()
    log_group: str = ""
    retention_days: int | None = None
    sources: tuple[SourceFact, ...] = ()
    unread: frozenset[str] = frozenset()
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    names_api: bool = False
    runtime: str = ""
    handler: str = ""
    timeout_s: int = 0

    @property
    def posts(self) -> bool:
        """Whether its role may post to connections."""
        return any(action.lower() in {"execute-api:manageconnections", "execute-api:*"} for action, _ in self.actions)


@dataclass(frozen=True)
class TableFact:
    """A DynamoDB table.

    Args:
        indexes: keys by index.
        samples: a few items as DynamoDB gives them; never shown.
        certain: whether the name is the deployed one (a template may make it at deployment).
    """

    name: str
    keys: Keys
    indexes: Mapping[str, Keys] = field(default_factory=dict)
    ttl: str = ""
    samples: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    certain: bool = True


@dataclass(frozen=True, kw_only=True)
class StackFacts:
    """A stack with one WebSocket API.

    Args:
        origin: where this was read, for comments: `AWS, API a1b2`, `serverless.yml`.
        stages: names of the API's stages.
        management_url, ws_url: with `{stage}` in the stage's place; empty: AWS's own.
        alarms: names of CloudWatch alarms on it.
        problems: what could not be read, each a sentence.
    """

    origin: str
    name: str = ""
    api_id: str = ""
    stages: tuple[str, ...] = ()
    region: str = ""
    endpoint_url: str = ""
    management_url: str = ""
    ws_url: str = ""
    hosts: tuple[str, ...] = ()
    route_selection: str = ""
    routes: tuple[RouteFact, ...] = ()
    functions: tuple[FunctionFact, ...] = ()
    tables: tuple[TableFact, ...] = ()
    alarms: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def function(self, name: str) -> FunctionFact | None:
        return next((one for one in self.functions if one.name == name), None)
