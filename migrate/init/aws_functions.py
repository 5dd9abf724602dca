"""Reads Lambda functions: environment, what their roles allow, log group, other sources. until phase 3 (MG1)"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from migrate.init.aws_sources import SourceReader
from migrate.init.facts import FunctionFact
from migrate.init.sources import queue_stand_ins

__all__ = ["FunctionReader", "function_name", "statements"]

_ARN = re.compile(r":function:([A-Za-z0-9_-]+|\$\{[^}]+\})(?::[A-Za-z0-9_$-]+)?(?:/invocations)?$")


def function_name(uri: str) -> str:
    """The function in an integration's or authorizer's URI or an ARN; empty for anything else."""
    found = _ARN.search(uri)
    return found.group(1) if found else ""


def statements(document: Any) -> Iterator[tuple[str, str]]:
    """(action, resource) pairs that a policy document allows."""
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document) if document.lstrip().startswith("%") else document)
        except ValueError:
            return
    for statement in _listed((document or {}).get("Statement")):
        if statement.get("Effect") == "Allow":
            for action in _listed(statement.get("Action")):
                for resource in _listed(statement.get("Resource")):
                    yield str(action), str(resource)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


class FunctionReader:
    """Functions of a region; roles are read once each.

    Args:
        client: makes a boto3 client of a service.
        problems: gets what could not be read.
    """

    def __init__(self, client: Callable[[str], Any], problems: list[str]) -> None:
        self._lambda, self._iam, self._logs = client("lambda"), client("iam"), client("logs")
        self._problems = problems
        self._sources = SourceReader(client, function_name, problems)
        self._roles: dict[str, tuple[tuple[str, str], ...]] = {}

    def read(self, name: str) -> FunctionFact | None:
        """A function by its name."""
        try:
            configuration = self._lambda.get_function_configuration(FunctionName=name)
        except (ClientError, BotoCoreError) as error:
            self._problems.append(f"function {name}: {_said(error)}")
            return None
        return self._fact(configuration)

    def others(
        self, api_id: str, tables: set[str], known: set[str], seen: Iterable[FunctionFact], pool: Executor
    ) -> list[FunctionFact]:
        """Functions that stand behind none of the API's routes: those that name the API or its tables in their
        environment, and those that may post and are fed by a queue of the functions `seen` or by a table's stream.
        """
        try:
            every = [
                one for page in self._lambda.get_paginator("list_functions").paginate() for one in page["Functions"]
            ]
        except (ClientError, BotoCoreError) as error:
            self._problems.append(f"functions could not be listed ({_said(error)}): those behind no route are missing")
            return []
        named, fed = [], []
        queues = set(_queues(seen))
        for one in every:
            if one["FunctionName"] in known:
                continue
            values = one.get("Environment", {}).get("Variables", {}).values()
            if any(api_id in value or value in tables or value.rpartition("table/")[2] in tables for value in values):
                named.append(one)
            elif self._is_fed(one["FunctionName"], queues, tables):
                fed.append(one)
        # Who is only fed by them may do anything with it, such as sending mail: posting makes it one of the stack's.
        return [*pool.map(self._fact, named), *(one for one in pool.map(self._fact, fed) if one.posts)]

    def _is_fed(self, name: str, queues: set[str], tables: set[str]) -> bool:
        sources = (fact.source for fact in self._sources.mapped.get(name, ()))
        return any(one.name in {"sqs": queues, "dynamodb": tables}.get(one.type, ()) for one in sources)

    def _fact(self, configuration: dict[str, Any]) -> FunctionFact:
        name = configuration["FunctionName"]
        group = configuration.get("LoggingConfig", {}).get("LogGroup", "") or f"/aws/lambda/{name}"
        env = configuration.get("Environment", {}).get("Variables", {})
        sources = tuple(self._sources.of(name, configuration.get("FunctionArn", "")))
        return FunctionFact(
            name=name,
            env=env,
            actions=self._allowed(configuration.get("Role", "")),
            log_group=group,
            retention_days=self._retention(group),
            sources=sources,
            unread=frozenset(self._sources.unread),
            stand_ins=queue_stand_ins({key: one for key, one in env.items() if not key.startswith("WS2SSE_")}),
            runtime=configuration.get("Runtime", ""),
            handler=configuration.get("Handler", ""),
            timeout_s=int(configuration.get("Timeout", 0)),
        )

    def _allowed(self, role_arn: str) -> tuple[tuple[str, str], ...]:
        role = role_arn.rpartition("/")[2]
        if role not in self._roles:
            try:
                self._roles[role] = tuple(dict.fromkeys(self._policies(role)))
            except (ClientError, BotoCoreError) as error:
                self._problems.append(f"role {role}: {_said(error)}")
                self._roles[role] = ()
        return self._roles[role]

    def _policies(self, role: str) -> Iterator[tuple[str, str]]:
        for name in self._iam.list_role_policies(RoleName=role)["PolicyNames"]:
            yield from statements(self._iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for attached in self._iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            policy = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
            yield from statements(policy["PolicyVersion"]["Document"])

    def _retention(self, group: str) -> int | None:
        try:
            for found in self._logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
                if found["logGroupName"] == group:
                    return int(found.get("retentionInDays", 0))
        except (ClientError, BotoCoreError):
            return None
        return None


def _queues(functions: Iterable[FunctionFact]) -> Iterator[str]:
    """Names of queues that functions may send to, as environments and policies have them."""
    for function in functions:
        for value in function.env.values():
            yield value.rpartition("/")[2].rpartition(":")[2]
        for action, resource in function.actions:
            if action.lower() in {"sqs:sendmessage", "sqs:sendmessagebatch", "sqs:*"} and "*" not in resource:
                yield resource.rpartition(":")[2]


def _said(error: ClientError | BotoCoreError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
