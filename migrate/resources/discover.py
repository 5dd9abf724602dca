"""What of the old stack is there, as the AWS APIs tell it. until phase 3

Sources: AWS Lambda API reference (GetFunction, GetPolicy, ListEventSourceMappings, ListFunctions), API Gateway v2 API
reference (GetApis, GetIntegrations, GetDomainNames, GetApiMappings), CloudWatch API reference (DescribeAlarms), IAM API
reference (GetRole, ListRolePolicies, ListAttachedRolePolicies).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.aws import is_missing, stage_traffic
from migrate.config import Config
from migrate.control.journal import digest
from migrate.errors import MigrateError
from migrate.resources.model import Seen
from migrate.tee.function_configuration import HANDLER
from migrate.tee.install import functions_of_api

__all__ = ["asking", "discover", "traffic"]


def discover(config: Config) -> Seen:
    """Look at the stack.

    Raises: MigrateError: something could not be read; a plan without it could delete what is used.
    """
    with asking():
        return _Discovery(config).run()


@contextmanager
def asking() -> Iterator[None]:
    """Raises: MigrateError: AWS did not answer, or refused."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise MigrateError(
            f"{error.operation_name} failed with {code}", "planning needs to read every part of the stack"
        ) from error
    except BotoCoreError as error:
        raise MigrateError(
            f"AWS could not be asked: {type(error).__name__}", "check network and credentials"
        ) from error


def traffic(config: Config, hours: float, now: float) -> dict[str, float]:
    """See `migrate.aws.stage_traffic`.

    Raises: MigrateError: it could not be read; that is not quiet.
    """
    with asking():
        return stage_traffic(config, hours, now)


class _Discovery:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._lambda = config.client("lambda")
        self._gateway = config.client("apigatewayv2")
        self._seen = Seen()

    def run(self) -> Seen:
        self._seen.account = self._account()
        self._api()
        self._functions()
        self._event_sources()
        self._others()
        self._roles()
        self._tables()
        self._logs()
        self._alarms()
        return self._seen

    def _account(self) -> str:
        try:
            return str(self._config.client("sts").get_caller_identity()["Account"])
        except (ClientError, BotoCoreError):
            return ""

    def _api(self) -> None:
        api_id = self._config.api.id
        api = _or_none(lambda: self._gateway.get_api(ApiId=api_id))
        if api is None:
            return
        self._seen.api = {key: api.get(key) for key in ("ApiId", "Name", "ProtocolType", "RouteSelectionExpression")}
        for domain in _pages(self._gateway, "get_domain_names"):
            for mapping in _or_none(partial(_mappings, self._gateway, domain["DomainName"])) or ():
                if mapping["ApiId"] == api_id:
                    self._seen.mappings.append({"DomainName": domain["DomainName"], **_plain(mapping)})

    def _functions(self) -> None:
        for function in self._config.functions:
            found = _or_none(partial(self._lambda.get_function_configuration, FunctionName=function.name))
            if found is not None:
                keys = ("FunctionName", "FunctionArn", "Role", "Handler", "Runtime", "CodeSha256")
                # As a digest: environments hold secrets. When it was last changed is no fact of it: a function that
                # was restored is the same one.
                rest = ("Description", "Timeout", "MemorySize", "Environment", "Layers")
                self._seen.functions[function.name] = {
                    **{key: found.get(key) for key in keys},
                    "configuration": digest({key: _plain(found.get(key)) for key in rest}),
                    "tee": found.get("Handler") == HANDLER,
                }

    def _event_sources(self) -> None:
        sqs = self._config.client("sqs")
        for name in self._seen.functions:
            for mapping in _pages(self._lambda, "list_event_source_mappings", FunctionName=name):
                source = {
                    "UUID": mapping["UUID"], "FunctionName": name, "EventSourceArn": mapping.get("EventSourceArn", ""),
                    "BatchSize": mapping.get("BatchSize"),
                    "FunctionResponseTypes": mapping.get("FunctionResponseTypes") or [],
                    "MaximumBatchingWindowInSeconds": mapping.get("MaximumBatchingWindowInSeconds"),
                }  # fmt: skip
                self._seen.sources.append(source)
                if ":sqs:" in source["EventSourceArn"]:
                    self._queue(sqs, source["EventSourceArn"])

    def _queue(self, sqs: Any, arn: str) -> None:
        name = arn.rsplit(":", 1)[-1]
        url = _or_none(lambda: sqs.get_queue_url(QueueName=name)["QueueUrl"])
        if url is None:
            return
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self._seen.queues[name] = _queue_facts(attributes)
        others = {
            str(mapping["FunctionArn"]).rsplit(":", 1)[-1]
            for mapping in _pages(self._lambda, "list_event_source_mappings", EventSourceArn=arn)
        } - set(self._seen.functions)
        self._seen.users[f"queue:{name}"] = [f"function {one} reads it" for one in sorted(others)]
        self._dead_letters(sqs, name, attributes)

    def _dead_letters(self, sqs: Any, name: str, attributes: dict[str, str]) -> None:
        """The queue that takes what could not be handled, when no other queue has it as well."""
        target = str(json.loads(attributes.get("RedrivePolicy") or "{}").get("deadLetterTargetArn", ""))
        dead = target.rsplit(":", 1)[-1]
        url = _or_none(lambda: sqs.get_queue_url(QueueName=dead)["QueueUrl"]) if dead else None
        if url is None:
            return
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self._seen.queues[dead] = {**_queue_facts(found), "dead_letters_of": name}
        others = [one.rsplit("/", 1)[-1] for one in sqs.list_dead_letter_source_queues(QueueUrl=url)["queueUrls"]]
        users = [f"queue {one} has it as well" for one in others if one != name]
        waiting = int(found.get("ApproximateNumberOfMessages", 0))
        if waiting:
            users.append(f"{waiting} messages are in it, which nobody has dealt with")
        self._seen.users[f"queue:{dead}"] = users

    def _others(self) -> None:
        """Who else calls our functions, or shares their roles."""
        ours = {str(one["FunctionArn"]): name for name, one in self._seen.functions.items()}
        for api in _pages(self._gateway, "get_apis"):
            if api["ApiId"] == self._config.api.id:
                continue
            called = _or_none(partial(functions_of_api, self._gateway, api["ApiId"])) or ()
            for arn in called:
                name = ours.get(arn)
                if name is not None:
                    self._use(f"function:{name}", f"API {api['ApiId']} ({api.get('Name', '')}) calls it")
        for name in self._seen.functions:
            self._callers(name)
        roles: dict[str, list[str]] = {}
        for function in _pages(self._lambda, "list_functions"):
            if function["FunctionName"] not in self._seen.functions:
                roles.setdefault(str(function.get("Role")), []).append(str(function["FunctionName"]))
        for one in self._seen.functions.values():
            for other in roles.get(str(one["Role"]), ()):
                self._use(f"role:{_last(one['Role'])}", f"function {other} has it as well")

    def _callers(self, name: str) -> None:
        """Statements of the function's policy that let something else than this API call it."""
        policy = _or_none(lambda: self._lambda.get_policy(FunctionName=name)["Policy"])
        for statement in json.loads(policy)["Statement"] if policy else ():
            source = str(statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn", ""))
            principal = statement.get("Principal")
            service = principal.get("Service", principal) if isinstance(principal, dict) else principal
            if service == "apigateway.amazonaws.com" and (self._config.api.id in source or not source):
                continue
            self._use(f"function:{name}", f"its policy lets {service} call it ({source or 'from anywhere'})")

    def _roles(self) -> None:
        iam = self._config.client("iam")
        for name in sorted({_last(one["Role"]) for one in self._seen.functions.values()}):
            role = _or_none(partial(_part, "Role", iam.get_role, RoleName=name))
            if role is None:
                continue
            trust = role["AssumeRolePolicyDocument"]
            inline = _or_none(partial(_part, "PolicyNames", iam.list_role_policies, RoleName=name)) or []
            attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
            self._seen.roles[name] = {
                "Path": role.get("Path", "/"),
                "AssumeRolePolicyDocument": trust if isinstance(trust, dict) else json.loads(trust),
                "inline": {
                    policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                    for policy in sorted(inline)
                },
                "attached": sorted(str(one["PolicyArn"]) for one in attached),
            }
            principals = json.dumps(self._seen.roles[name]["AssumeRolePolicyDocument"])
            if "lambda.amazonaws.com" not in principals or principals.count("Principal") > 1:
                self._use(f"role:{name}", "others than Lambda may take it")

    def _tables(self) -> None:
        dynamodb = self._config.client("dynamodb")
        for table in self._config.tables:
            found = _or_none(partial(_part, "Table", dynamodb.describe_table, TableName=table.name))
            if found is None:
                continue
            keys = (
                "TableName", "KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "LocalSecondaryIndexes",
                "BillingModeSummary", "StreamSpecification", "SSEDescription",
            )  # fmt: skip
            facts = {key: _plain(found[key]) for key in keys if found.get(key)}
            for index in facts.get("GlobalSecondaryIndexes", ()):
                for gone in ("IndexStatus", "IndexSizeBytes", "ItemCount", "IndexArn", "WarmThroughput"):
                    index.pop(gone, None)
            facts["role"] = table.role
            self._seen.tables[table.name] = facts
            if found.get("LatestStreamArn") and found.get("StreamSpecification", {}).get("StreamEnabled"):
                for mapping in _pages(
                    self._lambda, "list_event_source_mappings", EventSourceArn=found["LatestStreamArn"]
                ):
                    reader = str(mapping["FunctionArn"]).rsplit(":", 1)[-1]
                    if reader not in self._seen.functions:
                        self._use(f"table:{table.name}", f"function {reader} reads its stream")

    def _logs(self) -> None:
        logs = self._config.client("logs")
        for function in self._config.functions:
            name = function.log_group or f"/aws/lambda/{function.name}"
            for group in _pages(logs, "describe_log_groups", logGroupNamePrefix=name):
                if group["logGroupName"] == name:
                    self._seen.logs[name] = {"retentionInDays": group.get("retentionInDays")}

    def _alarms(self) -> None:
        cloudwatch = self._config.client("cloudwatch")
        names = {
            self._config.api.id,
            *self._seen.functions,
            *(t.name for t in self._config.tables if t.role == "connections"),
        }
        if self._seen.api:
            names.add(str(self._seen.api["Name"]))
        for alarm in _pages(cloudwatch, "describe_alarms"):
            dimensions = [*alarm.get("Dimensions", ()), *_inner(alarm)]
            if any(one["Value"] in names and one["Name"] in _OURS for one in dimensions):
                self._seen.alarms[alarm["AlarmName"]] = _definition(alarm)

    def _use(self, what: str, who: str) -> None:
        known = self._seen.users.setdefault(what, [])
        if who not in known:
            known.append(who)


_OURS = {"ApiId", "ApiName", "FunctionName", "TableName"}
_STATE = {
    "AlarmArn", "AlarmConfigurationUpdatedTimestamp", "StateValue", "StateReason", "StateReasonData",
    "StateUpdatedTimestamp", "StateTransitionedTimestamp", "EvaluationState", "Tags",
}  # fmt: skip


def _definition(alarm: dict[str, Any]) -> dict[str, Any]:
    """What PutMetricAlarm takes."""
    return {key: _plain(value) for key, value in alarm.items() if key not in _STATE and value not in (None, [])}


def _inner(alarm: dict[str, Any]) -> Iterator[dict[str, str]]:
    for metric in alarm.get("Metrics", ()):
        yield from metric.get("MetricStat", {}).get("Metric", {}).get("Dimensions", ())


def _or_none(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def _part(name: str, ask: Callable[..., Any], **arguments: str) -> Any:
    return ask(**arguments)[name]


def _mappings(gateway: Any, domain: str) -> list[dict[str, Any]]:
    return list(gateway.get_api_mappings(DomainName=domain)["Items"])


_ITEMS = {
    "get_domain_names": "Items", "get_apis": "Items", "list_event_source_mappings": "EventSourceMappings",
    "list_functions": "Functions", "describe_log_groups": "logGroups", "describe_alarms": "MetricAlarms",
}  # fmt: skip


def _pages(client: Any, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[_ITEMS[operation]]


def _last(arn: object) -> str:
    return str(arn).rsplit("/", 1)[-1]


def _queue_facts(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Numbers and times that change by themselves, or when it is made again, are no facts of a queue."""
    changing = ("Approximate", "CreatedTimestamp", "LastModified")
    return {key: value for key, value in attributes.items() if not key.startswith(changing)}


def _plain(value: Any) -> Any:
    """As JSON holds it."""
    return json.loads(json.dumps(value, default=str))
