"""Ensure-steps of SQS queues and of what Lambda takes from them. until phase 3

Source: Amazon SQS API reference (CreateQueue, SetQueueAttributes); AWS Lambda API reference
(CreateEventSourceMapping).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from legacy_ws.aws import error_code
from legacy_ws.deploy.shapes import EVENT_SOURCE
from legacy_ws.deploy.spec import TAG, StackNames
from legacy_ws.deploy.steps import Action, wait_until
from legacy_ws.errors import RefusedError, StepFailedError

__all__ = ["ensure_event_source", "ensure_queue", "event_sources", "queue_tags", "source_arn"]

# "You must wait 60 seconds after deleting a queue before you can create another queue with the same name."
_NAME_FREE_S = 70.0
_ENABLED_S = 120.0
# IAM is eventually consistent: Lambda looks whether the function's role may receive from the queue.
_ROLE_PROPAGATION_S = 60.0


def ensure_queue(
    client: Any,
    names: StackNames,
    name: str,
    shape: Mapping[str, object],
    found: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Action:
    """The queue exists with these attributes and belongs to the stack; its URL goes to `found`.

    Raises: RefusedError: there is such a queue, but it is not this stack's.
    """
    wanted = {key: _as_text(value) for key, value in shape.items()}
    url = _url(client, name)
    if url is None:
        found(_create(client, name, wanted, names.tags, sleep))
        return "created"
    if queue_tags(client, url).get(TAG) != names.stack:
        raise RefusedError(f"queue {name} exists and is not part of stack {names.stack}", "choose another stack name")
    found(url)
    now = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
    if all(_same(now.get(key), value) for key, value in wanted.items()):
        return "unchanged"
    # That a queue is FIFO is said by its name, and cannot be set again.
    client.set_queue_attributes(QueueUrl=url, Attributes={k: v for k, v in wanted.items() if k != "FifoQueue"})
    return "updated"


def ensure_event_source(
    client: Any, names: StackNames, queue_arn: str, function: str, *, sleep: Callable[[float], None] = time.sleep
) -> Action:
    """The function is called with the queue's messages.

    Raises: RefusedError: somebody else has connected the two.
    """
    current = next(event_sources(client, EventSourceArn=queue_arn, FunctionName=function), None)
    if current is not None and current["State"] == "Deleting":
        uuid = current["UUID"]
        wait_until(lambda: _event_source(client, uuid) is None, f"event source {uuid}", timeout_s=_ENABLED_S)
        current = None
    if current is None:
        created = _connect(client, names, queue_arn, function, sleep)
        _wait_enabled(client, created["UUID"])
        return "created"
    if client.list_tags(Resource=source_arn(names, current)).get("Tags", {}).get(TAG) != names.stack:
        raise RefusedError(
            f"event source mapping {current['UUID']} of {function} exists and is not part of stack {names.stack}",
            f"delete it; or, to take it over, tag it {TAG}={names.stack}",
        )
    wrong = any(current.get(key) != value for key, value in EVENT_SOURCE.items())
    if wrong or current["State"] in ("Disabled", "Disabling"):
        _wait_settled(client, current["UUID"])
        client.update_event_source_mapping(UUID=current["UUID"], Enabled=True, **EVENT_SOURCE)
        _wait_enabled(client, current["UUID"])
        return "updated"
    _wait_enabled(client, current["UUID"])
    return "unchanged"


def event_sources(client: Any, **of: str) -> Iterator[dict[str, Any]]:
    """Event source mappings of a function, a queue or both."""
    for page in client.get_paginator("list_event_source_mappings").paginate(**of):
        yield from page["EventSourceMappings"]


def source_arn(names: StackNames, source: Mapping[str, Any]) -> str:
    """ARN of an event source mapping; older control planes do not tell it."""
    made = f"arn:{names.partition}:lambda:{names.region}:{names.account}:event-source-mapping:{source['UUID']}"
    return str(source.get("EventSourceMappingArn") or made)


def queue_tags(client: Any, url: str) -> dict[str, str]:
    """The queue's tags; empty when it has just gone."""
    try:
        tags: dict[str, str] = client.list_queue_tags(QueueUrl=url).get("Tags", {})
    except client.exceptions.QueueDoesNotExist:
        return {}
    return tags


def _url(client: Any, name: str) -> str | None:
    try:
        return str(client.get_queue_url(QueueName=name)["QueueUrl"])
    except client.exceptions.QueueDoesNotExist:
        return None


def _create(
    client: Any, name: str, attributes: Mapping[str, str], tags: Mapping[str, str], sleep: Callable[[float], None]
) -> str:
    made: list[str] = []

    def create() -> bool:
        try:
            made.append(client.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"])
        except client.exceptions.QueueDeletedRecently:
            return False
        return True

    wait_until(create, f"queue {name}: its name is free again after a deletion", timeout_s=_NAME_FREE_S, sleep=sleep)
    return made[0]


def _connect(
    client: Any, names: StackNames, queue_arn: str, function: str, sleep: Callable[[float], None]
) -> dict[str, Any]:
    waited_s, pause_s = 0.0, 0.5
    while True:
        try:
            created: dict[str, Any] = client.create_event_source_mapping(
                EventSourceArn=queue_arn, FunctionName=function, Tags=names.tags, **EVENT_SOURCE
            )
        except client.exceptions.InvalidParameterValueException as error:
            if "execution role" not in str(error) or waited_s >= _ROLE_PROPAGATION_S:
                raise
            sleep(pause_s)
            waited_s += pause_s
            pause_s = min(pause_s * 2, 8.0)
        else:
            return created


def _event_source(client: Any, uuid: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
    except client.exceptions.ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise
    return found


def _wait_enabled(client: Any, uuid: str) -> None:
    _wait_for(client, uuid, ("Enabled",))


def _wait_settled(client: Any, uuid: str) -> None:
    """Lambda refuses a change while the one before is in progress."""
    _wait_for(client, uuid, ("Enabled", "Disabled"))


def _wait_for(client: Any, uuid: str, states: tuple[str, ...]) -> None:
    def there() -> bool:
        now = _event_source(client, uuid)
        if now is None:
            raise StepFailedError(f"event source {uuid}", "it has gone while it was waited for")
        return now["State"] in states

    wait_until(there, f"event source {uuid}", timeout_s=_ENABLED_S)


def _as_text(value: object) -> str:
    """SQS wants every attribute as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def _same(now: str | None, wanted: str) -> bool:
    if now is None or not wanted.startswith("{"):
        return now == wanted
    there = {key: str(value) for key, value in json.loads(now).items()}
    return there == {key: str(value) for key, value in json.loads(wanted).items()}
