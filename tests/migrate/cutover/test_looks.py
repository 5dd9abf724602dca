"""The error budget as a rate over a window: of the service's answers, and of those to the looks. until phase 3"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from migrate.config.load import Config
from migrate.config.model import Api, Gates, Project, Settings, Sse
from migrate.control.table import ControlTable
from migrate.cutover import evidence as evidence_module
from migrate.cutover.budget import Looks, Share, Window
from migrate.cutover.evidence import Evidence
from migrate.cutover.gates import Gate, away_gate
from migrate.service_metrics import Counts

BUDGET = 0.001


def test_a_service_that_answers_every_second_time_is_noticed() -> None:
    """Only misses in a row counted: with every second request failing, there never were two."""
    looks = Looks(60)
    gates = []
    for at in range(10):
        answered = at % 2 == 0
        gates.append(away_gate(looks.add(at, answered), looks.in_a_row, "HTTP 502", BUDGET))
    shut = [at for at, gate in enumerate(gates) if gate]
    assert shut[0] == 5
    gate = gates[5]
    assert gate is not None
    assert gate.breaks
    assert gate.reason == "3 of 6 looks at /metrics had no answer in the last 5 s; the last one: HTTP 502"


def test_a_single_answer_may_be_lost_on_the_way_now_and_then() -> None:
    looks = Looks(60)
    for at in range(600):
        assert away_gate(looks.add(at, at % 40 != 0), looks.in_a_row, "timeout", BUDGET) is None


def test_two_in_a_row_are_enough() -> None:
    looks = Looks(60)
    looks.add(0, answered=True)
    assert away_gate(looks.add(1, answered=False), looks.in_a_row, "away", BUDGET) is None
    gate = away_gate(looks.add(2, answered=False), looks.in_a_row, "away", BUDGET)
    assert gate is not None
    assert gate.reason == "away"


def test_an_instance_that_began_within_the_window_counts_from_its_start() -> None:
    """One that dies every few seconds was seen once each time, and nothing of it counted."""
    window = Window(60)
    assert window.add(1000.0, Counts("900.0", 5000, 900, 1)).total == 0
    assert window.add(1010.0, Counts("1005.5", 30, 20, 1)) == Share(30, 20, "in the last 10 s")
    assert window.add(1020.0, Counts("1015.5", 30, 20, 1)) == Share(60, 40, "in the last 20 s")
    # A clock that is ahead: nothing is known about when it began.
    assert window.add(1030.0, Counts("9999.0", 30, 20, 1)).total == 60


def test_the_watch_sees_it_through_the_load_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def get(url: str, **_: Any) -> httpx.Response:
        nonlocal asked
        asked += 1
        page = "process_start_time_seconds 1.7e+09\nsse_open_streams 1\n"
        return httpx.Response(200, text=page) if asked % 2 else httpx.Response(502, text="Bad Gateway")

    monkeypatch.setattr(evidence_module.httpx, "get", get)
    monkeypatch.setattr(evidence_module, "last_verdict", lambda *_: None)
    settings = Settings(
        project=Project(name="test"), api=Api(id="abc", stage="prod"), sse=Sse(url="http://sse.invalid"),
        gates=Gates(error_budget=BUDGET),
    )  # fmt: skip
    table = ControlTable(None, "state")
    evidence = Evidence(Config(settings, Path("migrate.toml")), table, "chat", None, lambda: 1e9 + asked)
    broken: list[Gate] = []
    while not broken:
        assert asked < 10
        broken = [gate for gate in evidence.while_over(50) if gate.breaks]
    assert "HTTP 502" in broken[0].reason
