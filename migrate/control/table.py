"""The table of the shared state. until phase 3

    pk                    sk                       what                                module
    journal#YYYY-MM       TIME#ID                  one action                          journal
    lock#NAME             lock                     who holds it, until when            locks
    checkpoint#JOB        SEGMENT                  how far a job has come              checkpoints
    flags                 FEATURE#TENANT or *      who is on which stack               flags
    verdict#FEATURE       TIME                     what a comparison came to           migrate.compare.verdicts
    sign#, phase#PROJECT#PHASE   ITEM, closed             what people said, what is closed    migrate.phases.signatures
    cost#, report#, plan#PROJECT   TIME            what those commands found           migrate.phases.names
    shadow#PROJECT        control, worker          a shadow run, and its worker        migrate.shadow.state
    drain#API             STAGE, STAGE#controls    a drain, and what it is told        migrate.drain.state
    sweep#TABLE           job, controls, progress# a sweep, what it is told, its workers   migrate.sweep.job
    export#JOB            RUN                      who has exported something          migrate.sweep.exports
    tee#API               consumer#, function#     who reads the tee, and what was before it   migrate.tee.consumers

Values are plain Python: text, numbers, booleans, lists, mappings. Numbers come back as int where they are whole, else
as float.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from migrate.errors import MigrateError, UsageError

if TYPE_CHECKING:
    from migrate.config import Config

__all__ = ["ConditionFailedError", "ControlTable", "Item"]

Item = dict[str, Any]
LOOK_S = 1.0
WAIT_S = 60.0
BACKUPS_S = 20.0
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException"}


class ConditionFailedError(Exception):
    """The condition of a write did not hold.

    Args:
        item: what is there instead; None when nothing is.
    """

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition did not hold")
        self.item = item


class ControlTable:
    """The table, and its errors as the project's own.

    Several projects may share a table: what is named by a feature says by `project` whose it is.

    Args:
        dynamodb: a boto3 client.
        name: of the table.
        project: name in `migrate.toml`; empty: whose items are whose is not looked at.
    """

    def __init__(self, dynamodb: Any, name: str, project: str = "") -> None:
        self._dynamodb = dynamodb
        self.name = name
        self.project = project
        self._to, self._from = TypeSerializer(), TypeDeserializer()

    @classmethod
    def of(cls, config: Config) -> Self:
        """The team's table, as a configuration names it; not made where it is missing (`ensure`)."""
        return cls(config.client("dynamodb"), config.project.state_table, config.project.name)

    def is_ours(self, item: Mapping[str, Any]) -> bool:
        """Whether an item is of this project; one that names none may be anybody's."""
        return not self.project or item.get("project") in (None, "", self.project)

    def ensure(self) -> None:
        """Create it where it is missing, with point-in-time recovery; safe to repeat and to race.

        Where it is there, nothing but dynamodb:DescribeTable is needed.
        """
        try:
            is_new = self._status() is None and self._create()
            self._wait_active()
        except (ClientError, BotoCoreError) as error:
            raise self._said(error) from error
        if is_new:
            self._turn_backups_on()

    def _create(self) -> bool:
        """Whether it was us."""
        try:
            self._dynamodb.create_table(
                TableName=self.name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
            )
        except self._dynamodb.exceptions.ResourceInUseException:
            return False
        return True

    def _status(self) -> str | None:
        try:
            return str(self._dynamodb.describe_table(TableName=self.name)["Table"]["TableStatus"])
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return None

    def _wait_active(self) -> None:
        """Also for a table that somebody else is making: until it is there, nothing can be written."""
        end = time.monotonic() + WAIT_S
        # DescribeTable is eventually consistent: a table that was just made may not be known yet.
        while self._status() in {None, "CREATING"}:
            if time.monotonic() > end:
                raise MigrateError(f"the table {self.name} is still being made", "run the command again")
            time.sleep(LOOK_S)

    def _turn_backups_on(self) -> None:
        """Worth having; an account that does not allow it can migrate all the same."""
        end = time.monotonic() + BACKUPS_S
        while True:
            try:
                self._dynamodb.update_continuous_backups(
                    TableName=self.name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
                )
            except ClientError as error:
                # A new table is not ready for it at once (UpdateContinuousBackups, DynamoDB API reference).
                is_early = error.response["Error"]["Code"] == "ContinuousBackupsUnavailableException"
                if not is_early or time.monotonic() > end:
                    return
                time.sleep(LOOK_S)
            except BotoCoreError:
                return
            else:
                return

    def get(self, pk: str, sk: str) -> Item | None:
        """An item by its key, read consistently."""
        try:
            found = self._dynamodb.get_item(
                TableName=self.name, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            raise self._said(error) from error
        return self._item(found["Item"]) if "Item" in found else None

    def put(self, item: Item, *, condition: str = "", values: Mapping[str, Any] | None = None,
            names: Mapping[str, str] | None = None) -> None:  # fmt: skip
        """Write an item.

        Args:
            condition: a condition expression; values, names: what it uses, without `:` values' types.

        Raises: ConditionFailedError: with what is there.
        """
        arguments: dict[str, Any] = {"TableName": self.name, "Item": self._written(item)}
        if condition:
            arguments |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
            if values:
                arguments["ExpressionAttributeValues"] = self._written(values)
            if names:
                arguments["ExpressionAttributeNames"] = dict(names)
        self._write("put_item", arguments)

    def delete(self, pk: str, sk: str, *, condition: str = "", values: Mapping[str, Any] | None = None,
               names: Mapping[str, str] | None = None) -> None:  # fmt: skip
        """Delete an item, there or not. Raises as `put`."""
        arguments: dict[str, Any] = {"TableName": self.name, "Key": {"pk": {"S": pk}, "sk": {"S": sk}}}
        if condition:
            arguments |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
            if values:
                arguments["ExpressionAttributeValues"] = self._written(values)
            if names:
                arguments["ExpressionAttributeNames"] = dict(names)
        self._write("delete_item", arguments)

    def query(
        self, pk: str, *, since: str = "", before: str = "\U0010ffff", newest_first: bool = False
    ) -> Iterator[Item]:
        """The items of a partition with `since` <= sk <= `before`, in order, every page."""
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :since AND :before",
            # A sort key has at least one byte.
            "ExpressionAttributeValues": {
                ":pk": {"S": pk},
                ":since": {"S": since or "\x00"},
                ":before": {"S": before},
            },
            "ScanIndexForward": not newest_first,
            "ConsistentRead": True,
        }
        while True:
            try:
                page = self._dynamodb.query(**arguments)
            except (ClientError, BotoCoreError) as error:
                raise self._said(error) from error
            for item in page["Items"]:
                yield self._item(item)
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _write(self, operation: str, arguments: dict[str, Any]) -> None:
        try:
            getattr(self._dynamodb, operation)(**arguments)
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            old = error.response.get("Item")
            raise ConditionFailedError(self._item(old) if old else None) from None
        except (ClientError, BotoCoreError) as error:
            raise self._said(error) from error

    def _said(self, error: ClientError | BotoCoreError) -> MigrateError:
        if isinstance(error, ClientError):
            code = error.response["Error"]["Code"]
            if code == "ResourceNotFoundException":
                return UsageError(
                    f"there is no table {self.name} for the shared state",
                    "project.state_table names it; the first command that changes something makes it",
                )
            if code in _DENIED:
                return UsageError(
                    f"no permission for the table {self.name} ({code})",
                    "the migration's role needs read and write access to project.state_table",
                )
            return MigrateError(f"the table {self.name} could not be used: {code}", "try again; what was done is kept")
        if "Credentials" in type(error).__name__:
            return UsageError(
                f"the table {self.name} could not be reached: AWS credentials are missing or incomplete",
                'sign in, or `eval "$(migrate env)"` for the local AWS',
            )
        return MigrateError(f"the table {self.name} could not be reached: {type(error).__name__}", "check the network")

    def _written(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._to.serialize(_decimal(value)) for key, value in values.items() if value is not None}

    def _item(self, item: Mapping[str, Any]) -> Item:
        return {key: _plain(self._from.deserialize(value)) for key, value in item.items()}


def _decimal(value: Any) -> Any:
    """Floats are numbers of DynamoDB by their shortest text."""
    return json.loads(json.dumps(value), parse_float=Decimal)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
