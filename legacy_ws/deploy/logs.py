"""Ensure-step of log groups. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from legacy_ws.deploy.spec import TAG, StackNames
from legacy_ws.deploy.steps import Action
from legacy_ws.errors import RefusedError

__all__ = ["ensure_log_group"]


def ensure_log_group(client: Any, names: StackNames, name: str, retention_days: int, *, ours: bool) -> Action:
    """The log group exists, belongs to the stack and does not grow for ever.

    Args:
        ours: what writes there is this stack's, so that a group without a tag is too.
    Raises: RefusedError: the group is somebody else's.
    """
    groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    found = next((group for group in groups if group["logGroupName"] == name), None)
    if found is None:
        try:
            client.create_log_group(logGroupName=name, tags=names.tags)
        except client.exceptions.ResourceAlreadyExistsException:
            return ensure_log_group(client, names, name, retention_days, ours=ours)
        client.put_retention_policy(logGroupName=name, retentionInDays=retention_days)
        return "created"
    arn = found["arn"].removesuffix(":*")
    changed = False
    owner = client.list_tags_for_resource(resourceArn=arn)["tags"].get(TAG)
    if owner != names.stack:
        # Lambda itself makes the group of a function that writes while it has none. Any other group with logs in it
        # is somebody's: once tagged, `destroy` would delete it.
        if owner is not None or not (ours or _is_empty(client, found)):
            raise RefusedError(
                f"log group {name} exists and is not part of stack {names.stack}",
                "choose another stack name, or delete the group if nobody needs its logs",
            )
        client.tag_resource(resourceArn=arn, tags=names.tags)
        changed = True
    if found.get("retentionInDays") != retention_days:
        client.put_retention_policy(logGroupName=name, retentionInDays=retention_days)
        changed = True
    return "updated" if changed else "unchanged"


def _is_empty(client: Any, group: Mapping[str, Any]) -> bool:
    """Whether nothing was ever logged there. `storedBytes` alone lags behind."""
    streams = client.describe_log_streams(logGroupName=group["logGroupName"], limit=1)["logStreams"]
    return not streams and not group.get("storedBytes")
