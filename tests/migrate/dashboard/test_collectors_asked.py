"""How sources are asked: nothing is made, nobody waits long, one that fails holds nobody up. until phase 3 (MG18)"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from migrate.dashboard.model import Board, Finding
from migrate.dashboard.server import Settings as Asked
from migrate.dashboard.server import sources_of, tell
from migrate.dashboard.sources import Source, Sources, look
from migrate.errors import UsageError

from .dashboard_support import World

WAIT_S = 20.0


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
