"""The drain: everybody is told and closed, nobody new comes in, and it can be undone (MG10). until phase 3"""

from __future__ import annotations

import json
from typing import Any

import pytest

from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.drain.refusal import Refusal
from migrate.drain.run import Drain, undo
from migrate.drain.state import read_state
from migrate.drain.who import who_is_left
from migrate.errors import RefusedError, UsageError

from .conftest import Clock, World, connection


class Killed(BaseException):
    """kill -9."""


def connect(config: Config, world: World, *names: object, alive: bool = True) -> list[str]:
    ids = [connection(name) for name in names]
    for name, one in zip(names, ids, strict=True):
        config.client("dynamodb").put_item(TableName="Connections", Item={"id": {"S": one}, "user": {"S": str(name)}})
    if alive:
        world.living |= set(ids)
    return ids


def drain(config: Config, control: ControlTable, **more: Any) -> Drain:
    clock = Clock()
    return Drain(config, control, clock=clock.time, sleep=clock.sleep, **more)


def test_everybody_is_told_and_closed(config: Config, control: ControlTable, world: World) -> None:
    ids = connect(config, world, *range(20))
    connect(config, world, *"ghosts", alive=False)
    before = json.dumps(world.stage)
    state = drain(config, control).run()
    assert state["status"] == "drained"
    assert sorted(world.told) == sorted(world.closed) == sorted(ids)
    assert {"type": "move", "to": "https://sse.example", "who": "3"} in [json.loads(one) for one in world.frames]
    shut = world.stage["RouteSettings"]["$connect"]
    assert (shut["ThrottlingRateLimit"], shut["ThrottlingBurstLimit"], shut["LoggingLevel"]) == (0.0, 0, "INFO")
    undo(config, control)
    world.stage.pop("RouteSettings")
    assert json.dumps(world.stage) == before


def test_the_plan_changes_nothing(config: Config, control: ControlTable, world: World) -> None:
    connect(config, world, 1, 2)
    plan = drain(config, control).plan()
    assert plan["rows_with_connections"] == 2
    assert not world.told
    assert world.updates == 0


@pytest.mark.parametrize("at", range(1, 40, 3))
def test_killed_anywhere_it_goes_on(config: Config, control: ControlTable, world: World, at: int) -> None:
    """MG10: the settings that are put back are those from before the first start, whatever came between."""
    world.stage["RouteSettings"] = {"$connect": {"ThrottlingRateLimit": 7.0}, "$default": {"LoggingLevel": "OFF"}}
    before = json.dumps(world.stage, sort_keys=True)
    connect(config, world, *range(10))
    calls = {"n": 0}

    def meddle(_: str) -> None:
        calls["n"] += 1
        if calls["n"] == at:
            raise Killed

    world.meddle = meddle
    for _ in range(3):
        try:
            drain(config, control).run()
            break
        except Killed:
            continue
    assert not world.living
    assert len(world.closed) == 10
    undo(config, control)
    assert json.dumps(world.stage, sort_keys=True) == before


def test_it_stops_and_goes_on(config: Config, control: ControlTable, world: World) -> None:
    """MG10: stopped, new ones stay refused; started again it goes on, and nobody is told twice."""
    connect(config, world, *range(5))

    def stop_at_the_first_close(operation: str) -> None:
        if operation == "get_connection":
            control.put({"pk": "drain#a1", "sk": "prod#controls", "stop": True})

    world.meddle = stop_at_the_first_close
    clock = Clock(step=2.0)
    state = Drain(config, control, clock=clock.time, sleep=clock.sleep).run()
    assert state["status"] == "stopped"
    assert world.living
    world.meddle = lambda _: None
    assert drain(config, control).run()["status"] == "drained"
    assert len(world.told) == 5
    assert not world.living


def test_the_notice_is_kept_over_a_restart(config: Config, control: ControlTable, world: World) -> None:
    connect(config, world, 1)
    clock = Clock()
    first: list[float] = []
    world.meddle = lambda operation: first.append(clock.now) if operation == "get_connection" else None
    Drain(config, control, clock=clock.time, sleep=clock.sleep).run()
    assert first[0] - 1000.0 >= 5.0


def test_a_handshake_under_way_is_closed_as_well(config: Config, control: ControlTable, world: World) -> None:
    """MG10: a row that appears during the first pass is found by the next."""
    connect(config, world, 1)
    late: list[str] = []

    def meddle(operation: str) -> None:
        if operation == "delete_connection" and not late:
            late.extend(connect(config, world, "late"))

    world.meddle = meddle
    drain(config, control).run()
    assert not world.living
    assert late[0] in world.closed


def test_undo_asks_when_somebody_else_changed_it(config: Config, control: ControlTable, world: World) -> None:
    drain(config, control).run()
    world.stage["RouteSettings"]["$connect"] = {"ThrottlingRateLimit": 3.0}
    with pytest.raises(RefusedError, match="somebody has changed"):
        undo(config, control)
    control.put({**(read_state(control, "a1", "prod") or {}), "refused": False})
    with pytest.raises(RefusedError, match="no drain"):
        undo(config, control)


def test_a_second_drain_keeps_the_first_snapshot(config: Config, control: ControlTable, world: World) -> None:
    """MG10: settings that a drain made are never what a later undo puts back."""
    drain(config, control).run()
    connect(config, world, "again")
    drain(config, control).run()
    assert not world.living
    undo(config, control)
    assert world.stage["RouteSettings"] == {}


def test_without_a_connect_route_it_says_so(config: Config, control: ControlTable, world: World) -> None:
    world.routes = ["$default"]
    connect(config, world, 1)
    with pytest.raises(UsageError, match=r"no \$connect route"):
        drain(config, control).run()
    assert drain(config, control, refuse=False).run()["status"] == "drained"
    assert world.updates == 0


def test_who_is_left(config: Config, control: ControlTable, world: World) -> None:
    connect(config, world, "ann", "bob")
    connect(config, world, "ghost", alive=False)
    left = who_is_left(config)
    assert (left.alive, left.gone) == (2, 1)
    assert left.agents == {"their-app/1": 2}
    assert left.users == {"ann": 1, "bob": 1}


@pytest.mark.parametrize("had", [True, False])
def test_a_refusal_put_back_is_as_it_was(world: World, had: bool) -> None:
    if had:
        world.stage["RouteSettings"] = {"$connect": {"ThrottlingBurstLimit": 5, "ThrottlingRateLimit": 1.5}}
    before = json.dumps(world.stage.get("RouteSettings", {}))
    refusal = Refusal(world, "a1", "prod")
    snapshot = refusal.snapshot()
    refusal.refuse(snapshot)
    refusal.refuse(snapshot)
    assert world.updates == 1
    for _ in range(2):
        refusal.undo(snapshot)
        assert json.dumps(world.stage["RouteSettings"]) == before


def test_the_rest_of_a_pass_proves_nothing(
    config: Config, control: ControlTable, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG10: somebody who came in behind the place where the killed process was is found as well."""
    from migrate.drain import walk

    monkeypatch.setattr(walk, "PAGE", 1)
    connect(config, world, *range(6))
    closed = {"n": 0}

    def meddle(operation: str) -> None:
        closed["n"] += operation == "delete_connection"
        if closed["n"] == 6:
            # The whole table again, behind the scan's back: whichever way it is ordered, some are behind it.
            closed["n"] += 1
            connect(config, world, *range(100, 106))
            raise Killed

    world.meddle = meddle
    with pytest.raises(Killed):
        drain(config, control).run()
    drain(config, control).run()
    assert not world.living
