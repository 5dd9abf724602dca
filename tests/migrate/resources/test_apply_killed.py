"""A removal that is killed at every one of its deletions, and goes on elsewhere. until phase 3 (MG12)

loadtests/trials/killed_resources.py does the same with kill -9 on deployed stacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from migrate.aws import is_missing
from migrate.cli import app
from migrate.config import Config
from migrate.config.model import Api, Cleanup, Function, Project, Settings, Table
from migrate.config.write import to_toml
from migrate.errors import MigrateError
from migrate.resources import apply, discover
from migrate.resources.apply import _Worker
from migrate.resources.discover import traffic
from migrate.resources.model import Step
from migrate.tables.dynamojson import canonical

REGION = "eu-west-1"
ROWS = 5


class Killed(BaseException):
    """kill -9."""


class Meddled:
    """A client whose deletions are told of, before and after."""

    def __init__(self, client: Any, told: Callable[[str, bool], None]) -> None:
        self._client, self._told = client, told

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name == "delete_item" or not name.startswith(("delete_", "detach_", "put_retention")):
            return found

        def call(**arguments: Any) -> Any:
            self._told(f"{name} {sorted(arguments.items())}", False)
            answer = found(**arguments)
            self._told(f"{name} {sorted(arguments.items())}", True)
            return answer

        return call


class Old:
    """An API, a table of it with rows that are no connections, an alarm on both, log groups without retention."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        api = boto3.client("apigatewayv2", REGION)
        created = api.create_api(Name="old", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
        self.api_id = created["ApiId"]
        dynamodb = boto3.client("dynamodb", REGION)
        for name in ("one", "two"):
            dynamodb.create_table(
                TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            )  # fmt: skip
            for number in range(ROWS):
                dynamodb.put_item(TableName=name, Item={"id": {"S": f"meta#{number}"}, "n": {"N": "1.50"}})
            boto3.client("logs", REGION).create_log_group(logGroupName=f"/aws/lambda/{name}")
        for name, dimension in (("api", {"Name": "ApiId", "Value": self.api_id}),
                                ("table", {"Name": "TableName", "Value": "one"})):  # fmt: skip
            boto3.client("cloudwatch", REGION).put_metric_alarm(
                AlarmName=name, Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
                Threshold=1, ComparisonOperator="GreaterThanThreshold", Dimensions=[dimension],
            )  # fmt: skip
        settings = Settings(
            project=Project(name="old", state_table="state", records=str(folder / "records")),
            api=Api(id=self.api_id, stage="prod", region=REGION, management_url="http://127.0.0.1:9/prod"),
            tables=tuple(Table(name=name, role="connections", key="id", row_prefix="c#") for name in ("one", "two")),
            functions=(Function(name="one"), Function(name="two")),
            cleanup=Cleanup(quiet_hours=0),
        )
        self.toml = to_toml(settings)
        self.places = 0
        self.plan = ""
        self.done: Counter[str] = Counter()
        self.left = 0

    def kill_at(self, number: int, *, done: bool) -> None:
        """Die at this deletion of the next run, before it or behind it."""
        self.left, self.kill_done = number, done

    def told(self, what: str, done: bool) -> None:
        is_new = not self.done[what]
        if done:
            self.done[what] += 1
        # A step that was cut off is repeated; that is no deletion further on.
        if self.left > 0 and is_new and done == self.kill_done:
            self.left -= 1
            if self.left == 0:
                raise Killed

    def run(self, *arguments: str) -> tuple[int, str]:
        """From a directory that has seen nothing."""
        self.places += 1
        folder = self.folder / str(self.places)
        folder.mkdir()
        (folder / "migrate.toml").write_text(self.toml, encoding="utf-8")
        if self.plan:
            (folder / "migrate-plan.json").write_text(self.plan, encoding="utf-8")
        done = CliRunner().invoke(
            app,
            catch_exceptions=False,
            args=["cleanup", "resources", *arguments, "--config", str(folder / "migrate.toml")],
        )
        if arguments[0] == "plan":
            self.plan = (folder / "migrate-plan.json").read_text(encoding="utf-8")
        return done.exit_code, done.output

    def seen(self) -> dict[str, Any]:
        dynamodb = boto3.client("dynamodb", REGION)
        tables = {name for name in dynamodb.list_tables()["TableNames"] if name != "state"}
        logs = boto3.client("logs", REGION).describe_log_groups()["logGroups"]
        return {
            "apis": len(boto3.client("apigatewayv2", REGION).get_apis()["Items"]),
            "alarms": {
                one["AlarmName"] for one in boto3.client("cloudwatch", REGION).describe_alarms()["MetricAlarms"]
            },
            "logs": {one["logGroupName"]: one.get("retentionInDays") for one in logs},
            "rows": {name: sorted(map(canonical, dynamodb.scan(TableName=name)["Items"])) for name in tables},
        }


@pytest.fixture
def old(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Old:
    made = Old(tmp_path, monkeypatch)
    real, clients = Config.client, dict[str, Meddled]()

    def client(self: Config, name: str, **more: Any) -> Meddled:
        # To make one takes longer than all that is done with it.
        if name not in clients:
            clients[name] = Meddled(real(self, name, **more), made.told)
        return clients[name]

    monkeypatch.setattr(Config, "client", client)
    # moto does not list authorizers.
    monkeypatch.setattr(apply, "_definition", lambda client, api_id: client.get_api(ApiId=api_id)["Name"])
    return made


@pytest.mark.parametrize("behind", [True, False])
def test_killed_at_every_deletion_it_goes_on(old: Old, behind: bool) -> None:
    """MG12: also at the very first, of which nothing is written yet; nothing goes twice, and all comes back."""
    before = old.seen()
    assert old.run("plan")[0] == 0
    kills = 0
    while True:
        # Before a deletion nothing has happened: the next run dies one further on.
        old.kill_at(1 if behind or not kills else 2, done=behind)
        try:
            code, said = old.run("apply", "--execute", "--point-of-no-return", old.api_id)
        except Killed:
            kills += 1
            assert kills < 30
            continue
        break
    assert code == 0, said
    assert kills == 7
    gone = old.seen()
    assert (gone["apis"], gone["alarms"], gone["rows"]) == (0, set(), {})
    assert gone["logs"] == {"/aws/lambda/one": 365, "/aws/lambda/two": 365}
    # To set the same retention again, or to name an alarm that is gone, is no harm.
    twice = {what.partition(" ")[0] for what, number in old.done.items() if number > 1}
    assert twice <= {"put_retention_policy", "delete_alarms"}
    old.left = 0
    code, said = old.run("restore", "--execute")
    assert code == 0, said
    assert {**old.seen(), "apis": 1} == before


CONFIG = Config(Settings(project=Project(name="p"), api=Api(id="abc", stage="prod", region=REGION)), Path("m.toml"))


class Export:
    def __init__(self) -> None:
        self.kept: list[Any] = []

    def write(self, segment: int, records: Any) -> None:
        self.kept += records

    def close(self) -> None: ...


def _raises(code: str, operation: str) -> Callable[..., Any]:
    def call(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    return call


class Stub:
    """A client that answers what it was given."""

    def __init__(self, **operations: Callable[..., Any]) -> None:
        self.__dict__.update(operations)


def _does(monkeypatch: pytest.MonkeyPatch, client: Stub, step: Step) -> tuple[str, list[Any]]:
    monkeypatch.setattr(Config, "client", lambda *_, **__: client)
    export = Export()
    return _Worker(CONFIG, export).do(0, step), export.kept


def test_an_alarm_that_went_with_the_run_that_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudWatch's own word for it (DeleteAlarms, CloudWatch API reference)."""
    client = Stub(delete_alarms=_raises("ResourceNotFound", "DeleteAlarms"))
    assert _does(monkeypatch, client, Step("alarm", "a", {}))[0] == "gone already"


def test_a_mapping_that_is_being_deleted_does_not_say_whether_it_was_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore would have enabled one that was disabled."""
    answers = [{"UUID": "u", "State": "Deleting", "ResponseMetadata": {}}]

    def get(**_: Any) -> Any:
        return answers.pop() if answers else _raises("ResourceNotFoundException", "GetEventSourceMapping")()

    client = Stub(
        get_event_source_mapping=get,
        delete_event_source_mapping=_raises("ResourceNotFoundException", "DeleteEventSourceMapping"),
    )
    assert _does(monkeypatch, client, Step("event-source", "u", {})) == ("gone already", [])
    answers.append({"UUID": "u", "State": "Disabled", "ResponseMetadata": {}})
    _, [kept] = _does(monkeypatch, client, Step("event-source", "u", {}))
    assert kept["mapping"] == {"UUID": "u", "State": "Disabled"}


def test_a_table_that_is_being_deleted_holds_no_connections(old: Old) -> None:
    """It is described for a while, and cannot be read any more: it was an error, with a traceback."""
    from migrate.cli.cleanup_resources import _rows

    settings = Config(
        Settings(
            project=Project(name="p"),
            api=Api(id="abc", stage="prod", region=REGION),
            tables=(Table(name="gone", role="connections", key="id"),),
        ),
        Path("m.toml"),
    )
    seen = discover.Seen(tables={"gone": {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}})
    assert _rows(settings, seen) == {"gone": 0}


def test_metrics_that_may_not_be_read_are_not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Stub(get_metric_statistics=_raises("AccessDenied", "GetMetricStatistics"))
    monkeypatch.setattr(Config, "client", lambda *_, **__: client)
    with pytest.raises(MigrateError, match="GetMetricStatistics failed with AccessDenied"):
        traffic(CONFIG, 1.0, 0.0)


def test_only_absence_is_absence() -> None:
    for code in ("AccessDenied", "Throttling", "ResourceInUseException", "ValidationError"):
        assert not is_missing(ClientError({"Error": {"Code": code}}, "o"))
