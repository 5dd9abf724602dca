"""Carries out a plan, step by step; can be stopped anywhere and run again, also on another machine. until phase 3

Each step: the checkpoint says that it begins, what is there is written to the export (and flushed), then it is deleted,
then the checkpoint says so. A step that was cut off is repeated: what is gone already counts as done, and what was kept
stays kept.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from migrate.aws import is_missing
from migrate.config import Config
from migrate.control.checkpoints import Checkpoints
from migrate.control.locks import Lease
from migrate.errors import MigrateError, RefusedError
from migrate.resources.discover import traffic
from migrate.resources.functions import read_function
from migrate.resources.model import Plan, Step, job_of
from migrate.tables.dynamojson import encode
from migrate.tables.export import Export

__all__ = ["Applied", "apply_plan", "done_of"]

PAGE = 200
CODE_S = 60.0
BUSY = {
    "ResourceInUseException",
    "ResourceConflictException",
    "ConflictException",
    "DeleteConflict",
    "TooManyRequestsException",
}
BUSY_S = 60.0

Applied = Callable[[Step, str], None]
"""Told of each step: `done`, `gone already` or `done before`."""


def done_of(kept: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Ids of the steps that are done, of a job's checkpoints; the others of them were cut off."""
    return {name for name, value in kept.items() if value.get("done")}


def apply_plan(
    config: Config, plan: Plan, export: Export, checkpoints: Checkpoints, lease: Lease, told: Applied, *, final: bool
) -> list[Step]:
    """Do what is not done yet.

    Args:
        final: whether steps that cannot be taken back are done; without it, it ends before the first of them.

    Returns: the steps that are left.
    Raises: RefusedError: traffic came back, or the lock was lost. MigrateError: a step failed; those before are done.
    """
    job = job_of(plan.digest)
    done = done_of(checkpoints.all(job))
    worker = _Worker(config, export)
    for number, step in enumerate(plan.steps):
        if step.id in done:
            told(step, "done before")
            continue
        if step.is_final:
            if not final:
                return [one for one in plan.steps[number:] if one.id not in done]
            _still_quiet(config)
        lease.check()
        # Killed behind the first deletion, the next run has to know that what is missing is missing by us.
        checkpoints.put(job, step.id, {"done": False, "at": time.time()})
        try:
            outcome = worker.do(number, step)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise MigrateError(
                f"{step.id}: {error.operation_name} failed with {code}", "what was done is kept; run it again"
            ) from error
        except (BotoCoreError, httpx.HTTPError) as error:
            raise MigrateError(f"{step.id}: {type(error).__name__}", "what was done is kept; run it again") from error
        checkpoints.put(job, step.id, {"done": True, "at": time.time(), "outcome": outcome})
        told(step, outcome)
    return []


def _still_quiet(config: Config) -> None:
    """Asked again right before the point of no return: a plan may be hours old."""
    found = traffic(config, config.cleanup.quiet_hours, time.time())
    if any(found.values()):
        raise RefusedError(
            f"API {config.api.id} carries traffic again: {found['ConnectCount']:.0f} connections, "
            f"{found['MessageCount']:.0f} messages within {config.cleanup.quiet_hours:g} hours",
            "plan again when it is quiet",
        )


class _Worker:
    def __init__(self, config: Config, export: Export) -> None:
        self._config = config
        self._export = export

    def do(self, number: int, step: Step) -> str:
        method = getattr(self, "_" + step.kind.replace("-", "_"))
        try:
            method(number, step)
        except ClientError as error:
            if is_missing(error):
                return "gone already"
            raise
        return "done"

    def _keep(self, number: int, step: Step, **more: Any) -> None:
        self._export.write(number, [{"kind": step.kind, "name": step.name, "facts": dict(step.facts), **more}])

    def _log_group(self, number: int, step: Step) -> None:
        self._keep(number, step)
        self._config.client("logs").put_retention_policy(
            logGroupName=step.name, retentionInDays=int(step.facts["days"])
        )

    def _alarm(self, number: int, step: Step) -> None:
        self._keep(number, step)
        self._config.client("cloudwatch").delete_alarms(AlarmNames=[step.name])

    def _api_mapping(self, number: int, step: Step) -> None:
        self._keep(number, step)
        self._config.client("apigatewayv2").delete_api_mapping(
            DomainName=step.facts["DomainName"], ApiMappingId=step.facts["ApiMappingId"]
        )

    def _event_source(self, number: int, step: Step) -> None:
        client = self._config.client("lambda")
        mapping = _plain(_bare(client.get_event_source_mapping(UUID=step.name)))
        # Cut off behind its deletion: what was kept then says whether it was enabled, this one does not.
        if mapping.get("State") != "Deleting":
            self._keep(number, step, mapping=mapping)
        _patiently(lambda: client.delete_event_source_mapping(UUID=step.name))
        # It is in the state Deleting for a while; the function and the queue are not to go before it.
        end = time.monotonic() + BUSY_S
        while time.monotonic() < end:
            try:
                client.get_event_source_mapping(UUID=step.name)
            except ClientError as error:
                if is_missing(error):
                    return
                raise
            time.sleep(1)

    def _api(self, number: int, step: Step) -> None:
        client = self._config.client("apigatewayv2")
        self._keep(number, step, definition=_definition(client, step.name))
        client.delete_api(ApiId=step.name)

    def _function(self, number: int, step: Step) -> None:
        client = self._config.client("lambda")
        found = read_function(client, step.name)
        code = ""
        location = found.get("Code", {}).get("Location")
        if location:
            answer = httpx.get(location, timeout=CODE_S, trust_env=False, follow_redirects=True)
            answer.raise_for_status()
            code = base64.b64encode(answer.content).decode("ascii")
        elif not found.get("Code", {}).get("ImageUri"):
            raise MigrateError(
                f"{step.id}: its code cannot be fetched", "it needs lambda:GetFunction; nothing was deleted"
            )
        found.get("Code", {}).pop("Location", None)
        self._keep(number, step, function=found, code_zip=code)
        _patiently(lambda: client.delete_function(FunctionName=step.name))

    def _role(self, number: int, step: Step) -> None:
        iam = self._config.client("iam")
        self._keep(number, step, role=_plain(iam.get_role(RoleName=step.name)["Role"]))
        for policy in step.facts["attached"]:
            _or_gone(partial(iam.detach_role_policy, RoleName=step.name, PolicyArn=policy))
        for policy in iam.list_role_policies(RoleName=step.name)["PolicyNames"]:
            _or_gone(partial(iam.delete_role_policy, RoleName=step.name, PolicyName=policy))
        _patiently(lambda: iam.delete_role(RoleName=step.name))

    def _queue(self, number: int, step: Step) -> None:
        self._keep(number, step)
        sqs = self._config.client("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=step.name)["QueueUrl"])

    def _table(self, number: int, step: Step) -> None:
        client = self._config.client("dynamodb")
        ttl = client.describe_time_to_live(TableName=step.name)["TimeToLiveDescription"]
        backup = _backup(client, step.name)
        self._keep(number, step, ttl=ttl.get("AttributeName"), backup=backup)
        for items in _items(client, step.name):
            self._export.write(number, [{"kind": "item", "name": step.name, "item": item} for item in items])
        _patiently(lambda: client.delete_table(TableName=step.name))
        try:
            client.get_waiter("table_not_exists").wait(
                TableName=step.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
            )
        except WaiterError as error:
            raise MigrateError(f"{step.id} is still being deleted after two minutes", "run it again later") from error


def _items(client: Any, table: str) -> Iterator[list[dict[str, Any]]]:
    """The rows in handfuls, in DynamoDB's own JSON, bytes as base64."""
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        items = [encode(item) for item in page["Items"]]
        for first in range(0, len(items), PAGE):
            yield items[first : first + PAGE]


def _backup(client: Any, table: str) -> str:
    """An on-demand backup where the account allows it: besides the export, which is what `restore` uses."""
    try:
        name = f"ws2sse-{int(time.time())}"
        return str(client.create_backup(TableName=table, BackupName=name)["BackupDetails"]["BackupArn"])
    except (ClientError, BotoCoreError):
        return ""


def _definition(client: Any, api_id: str) -> dict[str, Any]:
    """All of an API, for people: it cannot be made again under its id."""
    parts = ("get_routes", "get_integrations", "get_authorizers", "get_stages", "get_models")
    found: dict[str, Any] = {"api": _plain(_bare(client.get_api(ApiId=api_id)))}
    for part in parts:
        try:
            pages = client.get_paginator(part).paginate(ApiId=api_id)
            found[part.removeprefix("get_")] = [_plain(item) for page in pages for item in page["Items"]]
        except (ClientError, BotoCoreError):
            # For people to read: the API is deleted without it, and "not found" here must not pass for its absence.
            found[part.removeprefix("get_")] = []
    return found


def _bare(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def _patiently(call: Callable[[], Any]) -> None:
    """Again while AWS says that something is still under way."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] not in BUSY or time.monotonic() > end:
                raise
            time.sleep(1)
        else:
            return


def _or_gone(call: Callable[[], Any]) -> None:
    try:
        call()
    except ClientError as error:
        if not is_missing(error):
            raise


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
