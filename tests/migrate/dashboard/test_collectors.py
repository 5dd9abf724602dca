"""What each source finds, and what it says when there is nothing. until phase 3 (MG18)"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from migrate.cli.drain import _lock
from migrate.config.load import Config
from migrate.config.model import Api, Feature, Project, Settings, Sse, Table
from migrate.control.checkpoints import Checkpoints
from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.dashboard.checklists import Checklists
from migrate.dashboard.jobs import DrainJob, ResourcesJob, SweepJobs, drain_lock, resources_job
from migrate.dashboard.model import RINGS, Board, Finding
from migrate.dashboard.server import Settings as Asked
from migrate.dashboard.server import sources_of, tell
from migrate.dashboard.sources import Clients, Source, Sources, look
from migrate.dashboard.team import Cutovers, JournalTail, Shadow, Verdicts
from migrate.dashboard.traffic import LegacyConnections, LegacyMessages, Service
from migrate.errors import MigrateError, UsageError
from migrate.phases.names import plan_key
from migrate.phases.signatures import Signatures
from migrate.resources.apply import job_of
from migrate.resources.model import Plan
from migrate.shadow.state import Control, ShadowState
from sse_service.metrics import Metrics
from sse_service.virtual.metrics import VirtualMetrics

WAIT_S = 20.0
SETTINGS = Settings(
    project=Project(name="chat", state_table="state"),
    api=Api(id="abc", stage="prod", region="eu-west-1"),
    sse=Sse(url=""),
    tables=(Table(name="connections", role="connections", key="connectionId"),),
    features=(Feature(name="chat"), Feature(name="runs")),
)


class World:
    """A configuration, and an AWS to go with it."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(SETTINGS, folder / "migrate.toml")
        self.clients = Clients(self.config)
        self.dynamodb = boto3.client("dynamodb", "eu-west-1")
        self.table = ControlTable(self.dynamodb, "state")

    def with_(self, **parts: Any) -> Clients:
        return Clients(Config(replace(SETTINGS, **parts), self.config.path))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Nothing was ever done: not even the state table is there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MIGRATE_ACTOR", "ann")
    with mock_aws():
        yield World(tmp_path)


@pytest.fixture
def world(bare: World) -> World:
    bare.table.ensure()
    return bare


# Flags, verdicts, journal, shadow ------------------------------------------------------------------------------


def test_flags_and_gates(world: World) -> None:
    flags = Flags(world.table)
    flags.change("chat", "*", 10.0, None, note="first")
    flags.change("chat", "acme", 50.0, None)
    with Locks(world.table).hold("cutover of chat", "ann"):
        chat, runs = Cutovers(world.clients).look().parts["cutover"]
    assert (chat["percent"], chat["tenants"], chat["epoch"], chat["state"]) == (10.0, {"acme": 50.0}, 2, "moving")
    assert (chat["by"], chat["running"]) == ("ann", "ann") and chat["changed_at"] > 0
    assert chat["gate"]["open"] is False
    assert any("nothing was compared" in reason for reason in chat["gate"]["reasons"])
    assert (runs["percent"], runs["state"], runs["running"]) == (0.0, "off", "")


def verdict(table: ControlTable, feature: str, said: str = "pass") -> None:
    now = time.time()
    table.put({
        "pk": f"verdict#{feature}", "sk": "2026", "verdict": said, "run_id": "r1", "made_at": now,
        "window": [now - 120, now - 60], "expected": 5000, "loss_upper": 0.0001, "complete": True,
        "reasons": ["1 in 500 is missing"], "digest": "d", "report": "", "actor": "ann",
    })  # fmt: skip


def test_stored_verdicts(world: World) -> None:
    looks = Verdicts(world.clients)
    assert look(Source("verdicts", 1, looks.look)).state == "absent"
    verdict(world.table, "chat", "fail")
    found = looks.look()
    [row] = found.parts["comparison"]
    assert (row["feature"], row["verdict"], row["expected"], row["source"]) == ("chat", "fail", 5000, "stored")
    assert row["missing"] is None and row["reasons"] == ["1 in 500 is missing"] and 55 < row["age_s"] < 90
    assert found.why == "1 of 2 features were compared"


def test_the_journal_is_read_on_from_where_it_was(world: World) -> None:
    """An action is shown when it begins, again when it has ended, and an old one is not read again and again."""
    now = [datetime(2026, 11, 22, 10, tzinfo=UTC)]
    journal = Journal(world.table, lambda: now[0])
    tail = JournalTail(world.clients, lambda: now[0])
    with journal.record("compare", {"features": ["chat"], "api_token": "hunter2"}):
        pass
    [old] = tail.look().items["journal"]
    assert (old["action"], old["outcome"], old["actor"], old["at"]) == ("compare", "done", "ann", now[0].timestamp())
    assert old["arguments"] == {"features": ["chat"], "api_token": "***"} and len(old["digest"]) == 64
    now[0] += timedelta(hours=1)
    with journal.record("drain start", {"api": "abc"}) as entry:
        entry.note(told=3)
        [_, started] = tail.look().items["journal"]
        assert (started["outcome"], started["ended_at"]) == ("started", None)
        now[0] += timedelta(hours=1)
    [ended] = tail.look().items["journal"]
    assert (ended["id"], ended["outcome"], ended["facts"]) == (started["id"], "done", {"told": 3})
    assert ended["ended_at"] == now[0].timestamp()
    board = Board()
    for item in (started, ended):
        changes = board.take("journal", Finding(items={"journal": [item]}), 1.0)
    [shown] = next(change for change in changes if change.section == "journal").value
    assert shown["outcome"] == "done"


def test_a_digest_is_no_secret_and_a_secret_is_no_digest(world: World) -> None:
    sum_, other = "0a" * 32, "Zx9" * 16
    with Journal(world.table).record("apply", {"digest": sum_, "plan": sum_, "note": other, "key_digest": other}) as it:
        it.note(report_digest=sum_, digests=[sum_])
    [item] = JournalTail(world.clients).look().items["journal"]
    assert item["arguments"] == {
        "digest": sum_, "plan": "[redacted]", "note": "[redacted]", "key_digest": "[redacted]",
    }  # fmt: skip
    assert item["facts"] == {"report_digest": sum_, "digests": [sum_]}


def test_the_newest_entries_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RINGS, "journal", 5)
    journal = Journal(world.table)
    for number in range(8):
        with journal.record("compare", {"number": number}):
            pass
    items = JournalTail(world.clients).look().items["journal"]
    assert [item["arguments"]["number"] for item in items] == [3, 4, 5, 6, 7]


def test_the_shadow_run_in_a_line(world: World) -> None:
    state, looks = ShadowState(world.table, "chat"), Shadow(world.clients)
    assert looks.look().state == "absent"
    state.tell(Control("running", "r1", 1.0))
    assert looks.look().state == "away" and "no worker is alive" in looks.look().why
    state.say({"lag_s": 2.5, "subscribers": 4, "lost": 7, "throttled": "at 20/s", "failed": 0})
    found = looks.look()
    assert found.state == "ok"
    assert found.why == "run r1 is running, 2.5 s behind, 4 subscribers, 7 lost; at 20/s"
    state.tell(Control("stopped", "r1", 1.0))
    assert looks.look().state == "absent"


# Jobs ----------------------------------------------------------------------------------------------------------


def test_a_drain(world: World) -> None:
    clock = [1000.0]
    looks = DrainJob(world.clients, lambda: clock[0])
    assert looks.look().state == "absent"
    state = {
        "pk": "drain#abc", "sk": "prod", "drain": "drain-abc", "status": "draining", "phase": "close", "by": "bob",
        "refused": True, "counts": {"told": 9, "closed": 2, "failed": 1},
    }  # fmt: skip
    world.table.put(state)
    [job] = looks.look().parts["jobs"]
    assert (job["kind"], job["id"], job["status"], job["done"], job["owner"]) == (
        "drain",
        "drain-abc",
        "interrupted",
        2,
        "bob",
    )
    world.table.put({**state, "counts": {"told": 9, "closed": 12, "failed": 1}})
    world.table.put({"pk": "drain#abc", "sk": "prod#controls", "rate_per_s": 5})
    clock[0] += 2
    with Locks(world.table).hold(drain_lock("abc", "prod"), "ann"):
        [job] = looks.look().parts["jobs"]
    assert (job["status"], job["per_s"], job["owner"]) == ("draining", 5.0, "ann")
    assert job["throttle_reason"] == "at most 5/s are closed"


def test_sweeps(world: World) -> None:
    looks = SweepJobs(world.clients)
    assert looks.look().state == "absent"
    job = {
        "pk": "sweep#connections", "sk": "job", "job": "sweep-1", "segments": 4, "status": "running", "started_at": 1.0,
        "by": "ann", "shape": "",
    }  # fmt: skip
    world.table.put(job)
    Checkpoints(world.table).put("sweep-1", "00000", {"done": True, "counts": {"rows": 100, "deleted": 30}})
    world.table.put({
        "pk": "sweep#connections", "sk": "progress#host#1", "job": "sweep-1", "at": time.time(), "paused": False,
        "part": "1/1", "reasons": {"delete": "12.0/s: throttled (ProvisionedThroughputExceeded)"},
    })  # fmt: skip
    [row] = looks.look().parts["jobs"]
    assert (row["kind"], row["status"], row["done"], row["total"], row["owner"]) == ("sweep", "running", 1, 4, "ann")
    assert row["counts"] == {"rows": 100, "deleted": 30} and "throttled" in row["throttle_reason"]


def test_removal_of_resources(world: World) -> None:
    looks = ResourcesJob(world.clients)
    assert looks.look().state == "absent"
    name = resources_job("d" * 64)
    world.table.put({
        "pk": plan_key(world.config), "sk": "2026", "digest": "d" * 64, "path": "p", "made_at": 1.0,
        "covers": ["a", "b", "c"],
    })  # fmt: skip
    assert looks.look().parts["jobs"][0]["status"] == "planned"
    Checkpoints(world.table).put(name, "table:a", {"done": True})
    [row] = looks.look().parts["jobs"]
    assert (row["kind"], row["status"], row["done"], row["total"]) == ("resources", "stopped", 1, 3)


def test_names_that_the_commands_give_too(world: World) -> None:
    assert _lock(world.config) == drain_lock("abc", "prod")
    plan = Plan("chat", "abc", "eu-west-1", "", "", 1.0, ())
    assert job_of(plan) == resources_job(plan.digest)


# Phases --------------------------------------------------------------------------------------------------------


def test_phases_open_and_closed(world: World, tmp_path: Path) -> None:
    verdict(world.table, "chat")
    row = {
        "id": "x", "title": "X", "status": "done", "said": ["seen"], "stale": False, "next": None,
        "evidence": {"taken_at": "2026-11-22T10:00:00Z"},
    }  # fmt: skip
    Signatures(world.table, "chat").close(1, "Ann", 5.0, "c", [row])
    first, second, third = Checklists(world.clients, tmp_path).look().parts["phases"]
    assert first["closed"] == {"by": "Ann", "at": 5.0}
    assert first["items"] == [{
        "id": "x", "title": "X", "status": "done", "evidence": "seen", "taken_at": 1795341600.0, "stale": False,
        "next_command": "",
    }]  # fmt: skip
    items = {item["id"]: item for item in second["items"]}
    assert items["support-told"]["status"] == "open"
    assert '--by "$USER" --note "…"' in items["support-told"]["next_command"]
    assert items["clients-updated"]["evidence"].startswith("no file was looked at")
    assert items["features-moved"]["next_command"].startswith("migrate cutover chat --steps --execute ")
    assert items["deliveries-compared"]["evidence"] == "not compared: runs"
    assert second["closed"] is None and len(third["items"]) > 4


def test_to_look_makes_nothing(bare: World, tmp_path: Path) -> None:
    """A dashboard on an account where nothing was ever done leaves it so."""
    for source in sources_of(Asked(bare.config, tmp_path)):
        found = look(source)
        source.close()
        assert found.state in {"absent", "away"} or source.name in {"phases", "cloudwatch"}, (source.name, found)
        assert found.why
    assert bare.dynamodb.list_tables()["TableNames"] == []
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_long_for_an_aws_that_does_not_answer(bare: World) -> None:
    """Also where the toolkit's own functions make their clients."""
    for client in (bare.clients("dynamodb"), bare.clients.config.client("lambda")):
        config = client.meta.config
        assert config.connect_timeout <= 5 and config.retries["total_max_attempts"] <= 2
        assert "ws2sse-migrate" in config.user_agent_extra


# Traffic -------------------------------------------------------------------------------------------------------


def rows(dynamodb: Any, count: int) -> None:
    dynamodb.create_table(
        TableName="connections", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
    )  # fmt: skip
    for number in range(count):
        dynamodb.put_item(TableName="connections", Item={"connectionId": {"S": f"c{number}"}})


def test_connections_of_the_tables(world: World) -> None:
    looks = LegacyConnections(world.clients)
    assert "ResourceNotFoundException" in look(Source("x", 1, looks.look)).why
    rows(world.dynamodb, 3)
    assert looks.look().parts["connections"] == [{"stack": "legacy", "feature": "*", "open": 3}]
    alone = LegacyConnections(world.with_(features=(Feature(name="chat"),)))
    assert alone.look().parts["connections"][0]["feature"] == "chat"
    assert LegacyConnections(world.with_(tables=())).look().state == "absent"


def test_messages_from_cloudwatch_without_the_minute_that_is_not_over(world: World) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    client = boto3.client("cloudwatch", "eu-west-1")
    dimensions = [{"Name": "ApiId", "Value": "abc"}, {"Name": "Stage", "Value": "prod"}]
    for at, count in ((minute - timedelta(minutes=2), 600.0), (minute, 60.0)):
        client.put_metric_data(
            Namespace="AWS/ApiGateway",
            MetricData=[{"MetricName": "MessageCount", "Dimensions": dimensions, "Timestamp": at, "Value": count}],
        )
    now = minute.timestamp() + 30
    points = LegacyMessages(world.clients, lambda: now).measured().parts["deliveries"]["legacy"]
    # Of a minute that nothing was sent in there is no sum; one that may still come is not known.
    begin = int(minute.timestamp())
    quiet = dict.fromkeys(range(begin - 240, begin - 120), 0.0)
    assert points == {**quiet, **dict.fromkeys(range(begin - 120, begin - 60), 10.0)}


class Instance:
    """What a process of the service says of itself; several behind one address."""

    def __init__(self, started: float, streams: int) -> None:
        self.started, self.streams, self.delivered = started, streams, 0

    def text(self) -> str:
        metrics = Metrics()
        VirtualMetrics(metrics.registry).messages.labels("down").inc(self.delivered)
        metrics.open_streams.set(self.streams)
        metrics.deliveries.inc(self.delivered)
        lines = metrics.exposition().decode().splitlines()
        own = [line for line in lines if not line.startswith("process_start_time_seconds ")]
        return "\n".join([*own, f"process_start_time_seconds {self.started}", ""])


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    answers: list[Any] = []
    clock = [1000.0]
    config = Config(replace(SETTINGS, sse=Sse(url="http://sse")), world.config.path)
    made = Service(config, lambda: clock[0])
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    monkeypatch.setattr(made, "_http", httpx.Client(transport=transport))

    def ask(answer: Any, after: float = 1.0) -> Finding:
        clock[0] += after
        answers.append(answer if isinstance(answer, httpx.Response) else httpx.Response(200, text=answer.text()))
        return made.look()

    yield ask
    made.close()


def test_streams_and_deliveries_of_several_instances(service: Any) -> None:
    """Behind a load balancer each answer is another instance's: those that answered lately are added up."""
    one, two = Instance(1.0, 5), Instance(2.0, 7)
    assert service(one).parts["connections"] == [
        {"stack": "sse", "feature": "*", "open": 5}, {"stack": "virtual", "feature": "*", "open": 0},
    ]  # fmt: skip
    found = service(two)
    assert found.parts["connections"][0]["open"] == 12 and "2 instances" in found.why
    assert "deliveries" not in found.parts
    one.delivered, two.delivered = 10, 20
    assert service(one).parts["deliveries"]["sse"][1003] == 10.0
    # Events of streams and frames of virtual connections; twenty of each in two seconds, and ten.
    assert service(two).parts["deliveries"]["sse"][1004] == 30.0
    assert service(two, 20.0).parts["connections"][0]["open"] == 7


def test_an_instance_that_was_started_again_counts_from_nothing(service: Any) -> None:
    service(Instance(1.0, 5))
    again = Instance(1.0, 5)
    again.delivered = 100
    service(again)
    assert "deliveries" not in service(Instance(1.0, 5)).parts


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(503), "HTTP 503"),
        (httpx.Response(200, text="<html>"), "metrics are not"),
        (httpx.Response(200, text="up 1\n"), "not the service's"),
    ],
)
def test_what_is_no_page_of_metrics(service: Any, answer: httpx.Response, said: str) -> None:
    with pytest.raises(MigrateError, match=said):
        service(answer)


def test_a_service_that_is_not_there_or_not_named(world: World) -> None:
    away = Service(Config(replace(SETTINGS, sse=Sse(url="http://127.0.0.1:1")), world.config.path))
    found = look(Source("sse-metrics", 1, away.look))
    away.close()
    assert found.state == "away" and "does not answer (ConnectError)" in found.why
    nameless = Service(world.config)
    assert nameless.look().state == "absent"
    nameless.close()


# Threads -------------------------------------------------------------------------------------------------------


def denied() -> Finding:
    raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "secret detail"}}, "GetItem")


def broken() -> Finding:
    raise ZeroDivisionError("our own fault")


def unusable() -> Finding:
    raise UsageError("there is no table state for the shared state", "hint")


def lost() -> Finding:
    raise OSError(28, "No space left on device", "/records")


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (denied, "GetItem failed with AccessDeniedException"),
        (broken, "could not be read: ZeroDivisionError"),
        (unusable, "there is no table state for the shared state"),
        (lost, "/records: No space left on device"),
    ],
)
def test_a_source_that_cannot_be_asked_says_why_and_no_more(ask: Any, why: str) -> None:
    found = look(Source("x", 1, ask))
    assert (found.state, found.why) == ("away", why)


def test_a_source_that_hangs_holds_nobody_up() -> None:
    go, told, closed = threading.Event(), list[tuple[str, Finding, float]](), threading.Event()

    def hang() -> Finding:
        go.wait(WAIT_S)
        return Finding()

    count = [0]

    def quick() -> Finding:
        count[0] += 1
        return Finding({"cutover": [count[0]]}) if count[0] % 2 else broken()

    sources = Sources(
        [Source("hangs", 0.01, hang), Source("quick", 0.01, quick, closed.set)], lambda *one: told.append(one)
    )
    sources.start()
    deadline = time.monotonic() + WAIT_S
    while len(told) < 4:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    sources.stop()
    assert [(name, found.state) for name, found, _ in told[:4]] == [("quick", "ok"), ("quick", "away")] * 2
    assert closed.wait(WAIT_S)
    go.set()


def test_a_finding_that_cannot_be_shown_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    shown: list[Any] = []

    class Hub:
        def tell(self, changes: Any) -> None:
            shown.extend(changes)

    told = tell(Board(), Hub())  # type: ignore[arg-type] # as much of it as is used
    told("records", Finding({"comparison": [{"no feature": 1}]}), 1.0)
    told("cutover", Finding({"cutover": [1]}), 1.0)
    assert [change.section for change in shown] == ["cutover", "sources"]
    assert "what records found cannot be shown" in caplog.text
    assert json.dumps([change.value for change in shown])
