"""What passes by itself while users are over: a state table that is throttled, a lease that was lost. until phase 3"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from migrate.config.load import Config
from migrate.config.model import Api, Feature, Project, Settings, Sse
from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.control.locks import Lease, Locks
from migrate.control.table import ControlTable
from migrate.cutover.gates import Gate, State
from migrate.cutover.run import TROUBLE_S, Cutover
from migrate.errors import GateClosedError, InconclusiveError, MigrateError, RefusedError


class FakeEvidence:
    """gates: what the next looks see; open ones where it is empty."""

    streams = 0

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.looks = 0

    def before(self, percent: float) -> list[Gate]:
        return self.gates

    def while_over(self, percent: float) -> list[Gate]:
        self.looks += 1
        return self.gates


class World:
    def __init__(self) -> None:
        self.dynamodb = boto3.client("dynamodb", region_name="eu-west-1")
        self.table = ControlTable(self.dynamodb, "state")
        self.table.ensure()
        self.at = 1_000_000.0
        self.said: list[str] = []
        self.gates = FakeEvidence()
        self.trouble: Callable[[str, dict[str, Any]], None] = lambda operation, arguments: None
        for name in ("query", "get_item", "put_item"):
            setattr(self.dynamodb, name, self._through(name, getattr(self.dynamodb, name)))

    def _through(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.trouble(name, arguments)
            return real(**arguments)

        return call

    def sleep(self, seconds: float) -> None:
        self.at += seconds

    @property
    def percent(self) -> float:
        flag = Flags(self.table).get("chat")
        return flag.percent if flag else 0.0

    def cutover(self, tenant: str | None = None) -> Cutover:
        settings = Settings(
            project=Project(name="test", state_table="state"),
            api=Api(id="abc", stage="prod", region="eu-west-1"),
            sse=Sse(url="http://sse.invalid"),
            features=(Feature(name="chat"),),
        )
        made = Cutover(
            Config(settings, Path("migrate.toml")), self.table, "chat", tenant,
            say=self.said.append, clock=lambda: self.at, sleep=self.sleep,
        )  # fmt: skip
        made.evidence = self.gates  # type: ignore[assignment]  # what it needs of Evidence
        return made


@pytest.fixture
def world(aws: None) -> World:
    return World()


def _throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException"}}, operation)


# Steps --------------------------------------------------------------------------------------------------------------


def test_a_throttled_table_between_two_holds_does_not_end_the_run(world: World) -> None:
    """It ended with exit 1, and users stayed over with nobody watching the gates."""
    left, moved = 4, False

    def trouble(operation: str, arguments: dict[str, Any]) -> None:
        nonlocal left, moved
        if operation == "put_item" and moved and left:
            left -= 1
            raise _throttled(operation)
        moved = moved or (operation == "put_item" and arguments["Item"]["pk"]["S"] == "flags")

    run = world.cutover()
    world.trouble = trouble
    run.steps((1.0, 50.0, 100.0), 30.0)
    assert (left, world.percent) == (0, 100)
    assert any("ThrottlingException; trying again" in line for line in world.said)


def test_a_table_that_stays_away_ends_it_with_what_was_left_and_what_to_do(world: World) -> None:
    run = world.cutover("acme")
    run.to(50.0)
    begun = world.at

    def trouble(operation: str, arguments: dict[str, Any]) -> None:
        if world.at > begun + 10:
            raise _throttled(operation)

    world.trouble = trouble
    with pytest.raises(MigrateError) as ended:
        run.steps((50.0, 100.0), 30.0)
    assert "chat (acme) was last seen at 50 %, and nobody watches its gates" in ended.value.message
    assert "`migrate rollback chat --tenant acme` brings everybody back" in (ended.value.hint or "")
    assert "`migrate cutover chat --tenant acme --steps --execute` goes on" in (ended.value.hint or "")
    assert TROUBLE_S < world.at - begun < TROUBLE_S + 60


def test_a_lease_that_was_lost_is_taken_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.cutover()
    taken: list[Lease] = []
    real = Locks.hold

    @contextlib.contextmanager
    def hold(self: Locks, *arguments: Any) -> Iterator[Lease]:
        with real(self, *arguments) as lease:
            taken.append(lease)
            if len(taken) == 1:
                lease.lose()
            yield lease

    monkeypatch.setattr(Locks, "hold", hold)
    run.steps((1.0, 100.0), 5.0)
    assert (len(taken), world.percent) == (2, 100)


def test_a_gate_that_breaks_while_the_table_was_away_brings_everybody_back(world: World) -> None:
    """At the border of two steps, where the run begins again without a hold, it only kept the next step from being
    made."""
    run = world.cutover()
    run.to(50.0)
    world.at += 1000  # the hold is over
    world.gates.gates = [Gate("comparison", State.SHUT, "it failed", breaks=True)]
    with pytest.raises(GateClosedError, match="everybody is back"):
        run.steps((50.0, 100.0), 30.0)
    assert world.percent == 0


def test_a_step_that_may_not_be_made_says_where_users_stay(world: World) -> None:
    run = world.cutover()
    run.to(10.0)
    world.gates.gates = [Gate("comparison", State.UNSURE, "it is old")]
    with pytest.raises(InconclusiveError) as ended:
        run.steps((10.0, 50.0), 5.0)
    assert "nobody is moved: comparison: it is old; chat stays at 10 %, and nobody watches" in ended.value.message
    assert world.percent == 10


def test_of_a_run_that_somebody_else_has_nothing_else_is_said(world: World) -> None:
    world.cutover().to(10.0)
    with (
        Locks(world.table).hold("cutover of chat", "the other one"),
        pytest.raises(RefusedError, match=r"being worked on by the other one since [^;]*$"),
    ):
        world.cutover().steps((50.0,), 5.0)


def test_a_write_whose_answer_was_lost_is_no_change_by_somebody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends it again (botocore's retries), and the condition of the second fails by the first."""
    flags = Flags(world.table, clock=lambda: world.at + 0.123456)
    seen = flags.change("chat", "*", 10.0, None)
    real = world.dynamodb.put_item

    def twice(**arguments: Any) -> Any:
        real(**arguments)
        return real(**arguments)

    world.dynamodb.put_item = twice
    assert flags.change("chat", "*", 50.5, seen).epoch == 2
    assert world.percent == 50.5
    with Locks(world.table).hold("cutover of chat", "me") as lease:
        lease.check()
    world.dynamodb.put_item = real
    with pytest.raises(RefusedError, match=r"was changed to 50\.5 %"):
        flags.change("chat", "*", 60.0, seen)


def test_a_write_that_was_made_though_its_answer_never_came_is_held(world: World) -> None:
    run = world.cutover()
    world_put = world.dynamodb.put_item
    lost = 0

    def put(**arguments: Any) -> Any:
        nonlocal lost
        answer = world_put(**arguments)
        if arguments["Item"]["pk"]["S"] == "flags" and not lost:
            lost += 1
            raise ReadTimeoutError(endpoint_url="http://dynamodb")
        return answer

    world.dynamodb.put_item = put
    run.steps((50.0, 100.0), 20.0)
    assert (lost, world.percent) == (1, 100)
    assert world.gates.looks >= 40  # each second of both holds
    outcomes = [(one.action, one.outcome) for one in Journal(world.table).entries()][::-1]
    assert outcomes == [("cutover-steps", "done"), ("cutover", "failed"), ("cutover", "done")]
