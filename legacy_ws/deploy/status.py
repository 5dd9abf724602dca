"""The state of a stack's parts, as AWS tells it. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import tables
from legacy_ws.deploy.api import listed
from legacy_ws.deploy.deployed import deployed_apps
from legacy_ws.deploy.functions import configuration
from legacy_ws.deploy.inventory import Resource, take
from legacy_ws.deploy.spec import StackNames
from legacy_ws.deploy.urls import management_url, websocket_url

__all__ = ["Part", "StackStatus", "status_of"]


@dataclass(frozen=True)
class Part:
    """One part and its state."""

    kind: str
    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class StackStatus:
    """A stack as it is: `complete` when there is an API with a stage, and every function and table can be
    used.

    Args:
        app: name of the application; None where nothing tells which it is.
        template: the CloudFormation stack that made it.
    """

    stack: str
    app: str | None
    template: str | None
    region: str
    complete: bool
    api_id: str | None
    stages: Mapping[str, str]
    management_urls: Mapping[str, str]
    routes: Mapping[str, str]
    parts: list[Part]


_USABLE = ("available", "Active", "ACTIVE", "Enabled")


def status_of(session: AwsSession, names: StackNames) -> StackStatus | None:
    """The state of one stack; None when nothing carries its tag."""
    inventory = take(session, names)
    owned = inventory.owned
    if not owned:
        return None
    parts = [part for resource in owned if (part := _part(session, resource)) is not None]
    api_id = next((resource.id for resource in owned if resource.kind == "api"), None)
    stages: dict[str, str] = {}
    management: dict[str, str] = {}
    routes: dict[str, str] = {}
    if api_id is not None:
        gateway = session.client("apigatewayv2")
        endpoint = gateway.get_api(ApiId=api_id)["ApiEndpoint"]
        targets = {
            f"integrations/{one['IntegrationId']}": _function_of(one.get("IntegrationUri", ""))
            for one in listed(gateway, "get_integrations", ApiId=api_id)
        }
        for stage in listed(gateway, "get_stages", ApiId=api_id):
            stages[stage["StageName"]] = websocket_url(endpoint, stage["StageName"])
            management[stage["StageName"]] = management_url(endpoint, stage["StageName"])
        for route in listed(gateway, "get_routes", ApiId=api_id):
            routes[route["RouteKey"]] = targets.get(route.get("Target", ""), "nothing")
    complete = bool(stages) and bool(routes) and all(part.state in _USABLE for part in parts)
    apps = deployed_apps(session, names)
    app = next(iter(apps)) if len(apps) == 1 else None
    return StackStatus(
        names.stack, app, inventory.template, session.region, complete, api_id, stages, management, routes, parts
    )


def _part(session: AwsSession, resource: Resource) -> Part | None:
    """One part with its state; None when it has gone since it was found."""
    if resource.kind == "table":
        found = tables.describe(session.client("dynamodb"), resource.id)
        if found is None:
            return None
        # DynamoDB counts items about every six hours.
        return Part("table", resource.name, found["TableStatus"], f"about {found['ItemCount']} items")
    if resource.kind == "function":
        current = configuration(session.client("lambda"), resource.id)
        if current is None:
            return None
        return Part("function", resource.name, _function_state(current), str(current["Runtime"]))
    if resource.kind == "event source":
        return _event_source(session.client("lambda"), resource)
    if resource.kind == "queue":
        return _queue(session.client("sqs"), resource)
    detail = resource.id if resource.id != resource.name else ""
    return Part(resource.kind, resource.name, "available", detail)


def _event_source(client: Any, resource: Resource) -> Part | None:
    try:
        current = client.get_event_source_mapping(UUID=resource.id)
    except client.exceptions.ResourceNotFoundException:
        return None
    return Part(resource.kind, resource.name, current["State"], str(current.get("LastProcessingResult", "")))


def _queue(client: Any, resource: Resource) -> Part | None:
    wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    try:
        found = client.get_queue_attributes(QueueUrl=resource.id, AttributeNames=wanted).get("Attributes", {})
    except client.exceptions.QueueDoesNotExist:
        return None
    waiting, taken = (found.get(name, "0") for name in wanted)
    return Part(resource.kind, resource.name, "available", f"about {waiting} waiting, {taken} taken")


def _function_state(current: Mapping[str, Any]) -> str:
    if current.get("LastUpdateStatus") in ("InProgress", "Failed"):
        return f"update {current['LastUpdateStatus']}"
    return str(current.get("State", "Active"))


def _function_of(uri: str) -> str:
    """The function's name in an invocation URI or an ARN."""
    arn = uri.removesuffix("/invocations").rpartition("/functions/")[2]
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn or "nothing"
