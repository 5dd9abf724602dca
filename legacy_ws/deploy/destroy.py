"""Removing a stack: exactly what carries its tag, in order of dependency. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from legacy_ws.aws import AWS_ERRORS, AwsSession, explain
from legacy_ws.deploy import tables
from legacy_ws.deploy.inventory import Resource, gone
from legacy_ws.deploy.steps import wait_until
from legacy_ws.errors import StepFailedError

__all__ = ["Removed", "destroy"]

Removed = Callable[[Resource, float, int, int], None]
"""Called after each removal with the seconds it took, its number (from 1) and how many there are."""

_TABLE_GONE_S = 180.0


def destroy(session: AwsSession, owned: Sequence[Resource], removed: Removed) -> None:
    """Delete the resources, in their order: the API first, so that nothing new comes in; the data last.

    What has gone in the meantime counts as deleted. Raises: StepFailedError: stopped; run it again to
    continue.
    """
    for number, resource in enumerate(owned, 1):
        started = time.monotonic()
        try:
            _delete(session, resource)
        except AWS_ERRORS as error:
            if not gone(error):
                why = explain(error)
                raise StepFailedError(f"{resource.kind} {resource.name}", why.message) from None
        removed(resource, time.monotonic() - started, number, len(owned))
    _delete_late_logs(session, owned)


def _delete_late_logs(session: AwsSession, owned: Sequence[Resource]) -> None:
    """Lambda makes a group again for what a function wrote last, and such a group, without a tag, would be taken for
    somebody's by the next deployment."""
    logs = session.client("logs")
    for resource in owned:
        if resource.kind == "log group":
            with suppress(logs.exceptions.ResourceNotFoundException):
                logs.delete_log_group(logGroupName=resource.id)


def _delete(session: AwsSession, resource: Resource) -> None:
    match resource.kind:
        case "api":
            # Routes, integrations, authorizers, deployments and stages go with it.
            session.client("apigatewayv2").delete_api(ApiId=resource.id)
        case "event source":
            session.client("lambda").delete_event_source_mapping(UUID=resource.id)
        case "function":
            session.client("lambda").delete_function(FunctionName=resource.id)
        case "log group":
            session.client("logs").delete_log_group(logGroupName=resource.id)
        case "role":
            _delete_role(session.client("iam"), resource.id)
        case "queue":
            session.client("sqs").delete_queue(QueueUrl=resource.id)
        case "user pool":
            session.client("cognito-idp").delete_user_pool(UserPoolId=resource.id)
        case "table":
            client = session.client("dynamodb")
            client.delete_table(TableName=resource.id)
            wait_until(
                lambda: tables.describe(client, resource.id) is None,
                f"table {resource.name}",
                timeout_s=_TABLE_GONE_S,
            )
        case kind:
            raise AssertionError(f"nobody deletes a {kind}")


def _delete_role(client: Any, name: str) -> None:
    """A role goes only when it is empty: policies of its own first, then attached ones are let go."""
    for page in client.get_paginator("list_role_policies").paginate(RoleName=name):
        for policy in page["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
    for page in client.get_paginator("list_attached_role_policies").paginate(RoleName=name):
        for policy in page["AttachedPolicies"]:
            client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    client.delete_role(RoleName=name)
