"""What a stack owns, found by its tag and not by what somebody remembers. until phase 3"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from legacy_ws.aws import AwsSession, error_code
from legacy_ws.deploy import tables
from legacy_ws.deploy.api import listed
from legacy_ws.deploy.queues import event_sources, queue_tags, source_arn
from legacy_ws.deploy.spec import CLOUDFORMATION_TAG, TAG, StackNames
from legacy_ws.deploy.user_pool import user_pools

__all__ = ["Inventory", "Resource", "gone", "stacks", "take"]


@dataclass(frozen=True)
class Resource:
    """One thing of a stack: `kind` is "api", "event source", "function", "log group", "role", "queue", "table" or
    "user pool"; `id` is what AWS calls it by.
    """

    kind: str
    name: str
    id: str


@dataclass(frozen=True)
class Inventory:
    """What carries a stack's tag, in the order in which it can be deleted, and what only looks like it.

    Args:
        template: the CloudFormation stack that made some of it, and has to delete it; None when there is none.
    """

    owned: list[Resource]
    foreign: list[Resource]
    template: str | None = None


def take(session: AwsSession, names: StackNames) -> Inventory:
    """Everything of one stack in one region."""
    owned: list[Resource] = []
    foreign: list[Resource] = []
    template: str | None = None
    for resource, tags in _candidates(session, names):
        if tags.get(TAG) == names.stack:
            owned.append(resource)
            template = template or tags.get(CLOUDFORMATION_TAG)
        # What another stack owns is none of our business; names of APIs and pools are not unique and mean nothing.
        elif TAG not in tags and resource.kind not in ("api", "user pool"):
            foreign.append(resource)
    return Inventory(owned, foreign, template)


def stacks(session: AwsSession) -> list[str]:
    """Names of the stacks that have something in this region."""
    found = {
        api.get("Tags", {}).get(TAG)
        for api in listed(session.client("apigatewayv2"), "get_apis")
        if api.get("ProtocolType") == "WEBSOCKET"
    }
    dynamodb = session.client("dynamodb")
    # A stack whose deployment stopped early has tables and no API yet.
    for name in _table_names(dynamodb, ""):
        description = tables.describe(dynamodb, name)
        if description is not None:
            found.add(tables.table_tags(dynamodb, description["TableArn"]).get(TAG))
    return sorted(name for name in found if name)


def _candidates(session: AwsSession, names: StackNames) -> Iterator[tuple[Resource, dict[str, str]]]:
    for api in listed(session.client("apigatewayv2"), "get_apis"):
        if api.get("ProtocolType") == "WEBSOCKET":
            yield Resource("api", api["Name"], api["ApiId"]), api.get("Tags", {})
    yield from _event_sources(session.client("lambda"), names)
    yield from _functions(session.client("lambda"), names)
    yield from _log_groups(session.client("logs"), names)
    yield from _roles(session.client("iam"), names)
    yield from _queues(session.client("sqs"), names)
    dynamodb = session.client("dynamodb")
    for name in _table_names(dynamodb, names.prefix):
        description = tables.describe(dynamodb, name)
        if description is not None and description["TableStatus"] != "DELETING":
            yield Resource("table", name, name), tables.table_tags(dynamodb, description["TableArn"])
    for pool, tags in user_pools(session.client("cognito-idp"), names):
        yield Resource("user pool", names.user_pool, pool), tags


def _functions(client: Any, names: StackNames) -> Iterator[tuple[Resource, dict[str, str]]]:
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name = function["FunctionName"]
            if name.startswith(names.prefix):
                try:
                    tags = client.list_tags(Resource=function["FunctionArn"]).get("Tags", {})
                except client.exceptions.ResourceNotFoundException:
                    continue
                yield Resource("function", name, name), tags


def _event_sources(client: Any, names: StackNames) -> Iterator[tuple[Resource, dict[str, str]]]:
    # Not function by function: an event source outlives its function.
    for source in event_sources(client):
        # arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
        function = (source["FunctionArn"].split(":") + [""] * 7)[6]
        if source["State"] == "Deleting" or not function.startswith(names.prefix):
            continue
        try:
            tags = client.list_tags(Resource=source_arn(names, source)).get("Tags", {})
        except client.exceptions.ResourceNotFoundException:
            continue
        queue = str(source.get("EventSourceArn", "")).rpartition(":")[2]
        yield Resource("event source", f"{queue} -> {function}", source["UUID"]), tags


def _queues(client: Any, names: StackNames) -> Iterator[tuple[Resource, dict[str, str]]]:
    for page in client.get_paginator("list_queues").paginate(QueueNamePrefix=names.prefix):
        for url in page.get("QueueUrls", []):
            yield Resource("queue", url.rpartition("/")[2], url), queue_tags(client, url)


def _log_groups(client: Any, names: StackNames) -> Iterator[tuple[Resource, dict[str, str]]]:
    pages = client.get_paginator("describe_log_groups")
    for prefix in (f"/aws/lambda/{names.prefix}", names.access_log):
        for group in pages.paginate(logGroupNamePrefix=prefix).search("logGroups[]"):
            name = group["logGroupName"]
            if prefix == names.access_log and name != prefix:
                continue
            try:
                tags = client.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
            except client.exceptions.ResourceNotFoundException:
                continue
            yield Resource("log group", name, name), tags


def _roles(client: Any, names: StackNames) -> Iterator[tuple[Resource, dict[str, str]]]:
    for page in client.get_paginator("list_roles").paginate(PathPrefix=names.role_path):
        for role in page["Roles"]:
            name = role["RoleName"]
            try:
                tags = client.list_role_tags(RoleName=name)["Tags"]
            except client.exceptions.NoSuchEntityException:
                continue
            yield Resource("role", name, name), {tag["Key"]: tag["Value"] for tag in tags}


def _table_names(client: Any, prefix: str) -> Iterator[str]:
    for page in client.get_paginator("list_tables").paginate():
        yield from (name for name in page["TableNames"] if name.startswith(prefix))


def gone(error: BaseException) -> bool:
    """Does this error say that the thing is not there (any more)?"""
    return error_code(error) in _GONE


_GONE = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchEntity",
    "NotFoundException",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
}
