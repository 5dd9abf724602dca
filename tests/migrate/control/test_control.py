"""The shared state: the journal keeps what happened, a lock has one holder, checkpoints come back. until phase 3"""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from migrate.compare.verdicts import last_verdict
from migrate.control.checkpoints import Checkpoints
from migrate.control.flags import Flags, moved_percents
from migrate.control.journal import Journal
from migrate.control.locks import SKEW_S, Lease, Locks
from migrate.control.table import ConditionFailedError, ControlTable
from migrate.errors import GateClosedError, MigrateError, RefusedError, ShutError, UnsureError, UsageError


@pytest.fixture
def table(aws: None) -> ControlTable:
    table = ControlTable(boto3.client("dynamodb", "eu-west-1"), "state")
    table.ensure()
    table.ensure()
    return table


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


def test_values_come_back_as_they_were(table: ControlTable) -> None:
    item: dict[str, Any] = {
        "pk": "a",
        "sk": "b",
        "n": 3,
        "f": 0.1,
        "t": "é\x00",
        "l": [1, {"x": [True, None, ""]}],
        "m": {},
    }
    table.put(item)
    assert table.get("a", "b") == item
    with pytest.raises(ConditionFailedError) as failed:
        table.put({"pk": "a", "sk": "b"}, condition="attribute_not_exists(pk)")
    assert failed.value.item == item


def test_an_action_is_written_before_it_begins_and_when_it_ends(table: ControlTable) -> None:
    journal = Journal(table, Clock())
    with journal.record("cutover", {"percent": 1.5, "sse_token": "abc"}, who="ann") as entry:
        (begun,) = journal.entries()
        assert (begun.outcome, begun.ended_at) == ("started", "")
        entry.note(moved=12)
    (ended,) = journal.entries()
    assert (ended.outcome, ended.actor, ended.facts) == ("done", "ann", {"moved": 12})
    assert ended.arguments == {"percent": 1.5, "sse_token": "***"}
    assert ended.digest == begun.digest


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (RefusedError("held by bob"), "refused", "held by bob"),
        (MigrateError("broken"), "failed", "broken"),
        (GateClosedError("a row is lost"), "failed", "a row is lost"),
        (ShutError("comparison: failed"), "refused", "comparison: failed"),
        (UnsureError("comparison: none"), "refused", "comparison: none"),
        (ValueError("token=abc"), "failed", "ValueError"),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_how_an_action_ended_is_kept(table: ControlTable, error: BaseException, outcome: str, said: str | None) -> None:
    journal = Journal(table)
    with pytest.raises(type(error)), journal.record("drain"):
        raise error
    (entry,) = journal.entries()
    assert (entry.outcome, entry.facts.get("error")) == (outcome, said)


def test_entries_come_newest_first_over_months(table: ControlTable) -> None:
    clock = Clock()
    journal = Journal(table, clock)
    start = clock.now - timedelta(days=70)
    for day in range(0, 71, 10):
        clock.now = start + timedelta(days=day)
        with journal.record(f"day {day}"):
            pass
    assert [one.action for one in journal.entries()] == [f"day {day}" for day in range(70, -1, -10)]
    assert [one.action for one in journal.entries(limit=2)] == ["day 70", "day 60"]
    assert [one.action for one in journal.entries(since=start + timedelta(days=45))] == ["day 70", "day 60", "day 50"]


def test_what_cannot_be_recorded_does_not_happen(aws: None) -> None:
    journal = Journal(ControlTable(boto3.client("dynamodb", "eu-west-1"), "gone"))
    done = []
    with pytest.raises(UsageError, match="there is no table gone"), journal.record("drain"):
        done.append(1)
    assert done == []


def test_a_lock_has_one_holder_until_it_is_given_back(table: ControlTable) -> None:
    locks = Locks(table)
    with locks.hold("sweep", "ann"):
        assert locks.holder("sweep") == "ann"
        with pytest.raises(RefusedError, match="worked on by ann since"), locks.hold("sweep", "bob"):
            pass
    with locks.hold("sweep", "bob"):
        assert locks.holder("sweep") == "bob"
    assert locks.holder("sweep") is None


def test_a_dead_holders_lock_ends_by_itself(table: ControlTable) -> None:
    clock = Clock()
    table.put(
        {
            "pk": "lock#sweep",
            "sk": "lock",
            "owner": "ann",
            "mark": "x",
            "since": clock.seconds(),
            "until": clock.seconds() + 60,
        }
    )
    locks = Locks(table, clock.seconds)
    clock.now += timedelta(seconds=60 + SKEW_S - 1)
    with pytest.raises(RefusedError), locks.hold("sweep", "bob"):
        pass
    clock.now += timedelta(seconds=2)
    with locks.hold("sweep", "bob"):
        pass


HOLD = """
import sys, boto3
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
with Locks(ControlTable(boto3.client("dynamodb", "eu-west-1", endpoint_url=sys.argv[1]), "state")).hold("sweep", "ann"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_whose_holder_was_killed_here_is_free_at_once(moto_url: str, aws_keys: None) -> None:
    table = ControlTable(boto3.client("dynamodb", "eu-west-1", endpoint_url=moto_url), "state")
    table.ensure()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, moto_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(RefusedError), Locks(table).hold("sweep", "bob"):
            pass
        holder.kill()
    with Locks(table).hold("sweep", "bob"):
        assert Locks(table).holder("sweep") == "bob"


def test_a_lock_is_renewed_and_its_loss_is_noticed(table: ControlTable) -> None:
    with Locks(table).hold("sweep", "ann", lease_s=0.3) as lease:
        first = table.get("lock#sweep", "lock")
        assert first
        done = threading.Event()
        for _ in range(200):
            item = table.get("lock#sweep", "lock")
            if item and item["until"] > first["until"]:
                done.set()
                break
            done.wait(0.02)
        assert done.is_set()
        lease.check()
        table.put({**first, "mark": "somebody else's", "owner": "bob", "until": first["until"] + 1000})
        with pytest.raises(RefusedError, match="was lost"):
            _check_until_lost(lease)
    # What is somebody else's now stays his.
    assert Locks(table).holder("sweep") == "bob"


def test_checkpoints_come_back_by_segment(table: ControlTable) -> None:
    checkpoints = Checkpoints(table)
    assert checkpoints.get("sweep", "0/4") is None
    for segment in ("0/4", "1/4"):
        checkpoints.put("sweep", segment, {"key": {"id": segment}, "deleted": 3})
    checkpoints.put("sweep", "0/4", {"deleted": 5})
    assert checkpoints.all("sweep") == {"0/4": {"deleted": 5}, "1/4": {"key": {"id": "1/4"}, "deleted": 3}}
    checkpoints.clear("sweep")
    assert checkpoints.all("sweep") == {}


def _check_until_lost(lease: Lease) -> None:
    for _ in range(200):
        lease.check()
        threading.Event().wait(0.02)


def test_a_lease_that_ran_out_is_lost_though_nobody_could_say_so(table: ControlTable) -> None:
    """A process that was stopped, or whose renewal hangs in the network, went on with a lock that another one had."""
    clock = Clock()
    with Locks(table, clock.seconds).hold("sweep", "ann", lease_s=60) as lease:
        lease.check()
        clock.now += timedelta(seconds=61)
        with pytest.raises(RefusedError, match="was lost"):
            lease.check()


class Creating:
    """DynamoDB while another operator's table is being made: seconds on AWS, no time in an emulator."""

    def __init__(self, real: Any, asked: list[str], *, may_create: bool = True) -> None:
        self.real, self.asked, self.may_create = real, asked, may_create
        self.exceptions = real.exceptions
        self.left = 3

    def create_table(self, **_: Any) -> Any:
        self.asked.append("create")
        if not self.may_create:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "CreateTable")
        raise self.exceptions.ResourceInUseException({"Error": {"Code": "ResourceInUseException"}}, "CreateTable")

    def describe_table(self, **arguments: Any) -> Any:
        self.asked.append("describe")
        answer = self.real.describe_table(**arguments)
        if self.left:
            self.left -= 1
            answer["Table"]["TableStatus"] = "CREATING"
        return answer


def test_a_table_that_somebody_else_is_making_is_waited_for(
    table: ControlTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrate.control.table.LOOK_S", 0.01)
    asked: list[str] = []
    ControlTable(Creating(boto3.client("dynamodb", "eu-west-1"), asked), "state").ensure()
    assert asked.count("describe") == 4


def test_a_role_that_may_not_make_tables_can_use_the_one_that_is_there(
    table: ControlTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrate.control.table.LOOK_S", 0.01)
    asked: list[str] = []
    ControlTable(Creating(boto3.client("dynamodb", "eu-west-1"), asked, may_create=False), "state").ensure()
    assert "create" not in asked


def test_backups_are_turned_on_though_a_new_table_is_not_ready_for_them(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS answers ContinuousBackupsUnavailableException for some seconds; it was never asked again."""
    monkeypatch.setattr("migrate.control.table.LOOK_S", 0.01)
    client = boto3.client("dynamodb", "eu-west-1")
    real, refused = client.update_continuous_backups, 2

    def update(**arguments: Any) -> Any:
        nonlocal refused
        refused -= 1
        if refused >= 0:
            raise ClientError({"Error": {"Code": "ContinuousBackupsUnavailableException"}}, "UpdateBackups")
        return real(**arguments)

    monkeypatch.setattr(client, "update_continuous_backups", update)
    ControlTable(client, "fresh").ensure()
    found = client.describe_continuous_backups(TableName="fresh")["ContinuousBackupsDescription"]
    assert found["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


# Several projects in one table --------------------------------------------------------------------------------------


@pytest.fixture
def projects(table: ControlTable) -> tuple[ControlTable, ControlTable]:
    return (ControlTable(table._dynamodb, table.name, "shop"), ControlTable(table._dynamodb, table.name, "desk"))


def test_a_flag_of_another_project_is_neither_changed_nor_taken_for_ones_own(
    projects: tuple[ControlTable, ControlTable],
) -> None:
    """Both have a feature "chat", and the default name of the table: one's cut-over moved the other's users."""
    shop, desk = (Flags(one) for one in projects)
    shop.change("chat", "*", 50.0, None)
    for touch in (
        lambda: desk.change("chat", "*", 10.0, None),
        lambda: desk.change("chat", "acme", 10.0, None),
        lambda: desk.get("chat"),
        lambda: desk.of("chat"),
        lambda: desk.back("chat"),
    ):
        with pytest.raises(RefusedError, match="is of the project shop, not of desk") as refused:
            touch()
        assert "project.state_table" in str(refused.value.hint)
    assert shop.of("chat")["*"].percent == 50
    desk.change("tickets", "*", 100.0, None)
    assert [flag.feature for flag in desk.all()] == ["tickets"]
    assert moved_percents(projects[0]) == {"chat": 50}
    assert moved_percents(projects[1]) == {"tickets": 100}


def test_a_flag_that_names_no_project_is_taken_over(table: ControlTable, projects: Any) -> None:
    seen = Flags(table).change("chat", "*", 50.0, None)
    Flags(projects[0]).change("chat", "*", 60.0, seen)
    with pytest.raises(RefusedError, match="of the project shop"):
        Flags(projects[1]).get("chat")


def test_a_verdict_opens_no_gate_of_another_project(projects: tuple[ControlTable, ControlTable]) -> None:
    shop, desk = projects
    item = {
        "pk": "verdict#chat", "verdict": "pass", "run_id": "r", "made_at": 1, "window": [0, 1], "expected": 5000,
        "loss_upper": 0, "complete": True, "reasons": [], "digest": "d",
    }  # fmt: skip
    shop.put({**item, "sk": "2027-01-01T00:00:00.000000Z", "verdict": "fail", "project": "desk"})
    shop.put({**item, "sk": "2027-01-02T00:00:00.000000Z", "project": "shop"})
    found = [last_verdict(one, "chat") for one in (shop, desk)]
    assert [one and one.verdict for one in found] == ["pass", "fail"]


def test_a_journal_shows_its_own_project(table: ControlTable, projects: tuple[ControlTable, ControlTable]) -> None:
    for name, one in zip(("before", "shop", "desk"), (table, *projects), strict=True):
        with Journal(one).record(f"action of {name}"):
            pass
    found = [entry.action for entry in Journal(projects[0]).entries()]
    assert found == ["action of shop", "action of before"]
    assert [entry.action for entry in Journal(projects[1]).entries(limit=1)] == ["action of desk"]
