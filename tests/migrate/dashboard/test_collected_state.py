"""What flags, verdicts, the journal, jobs and checklists say, also when there is nothing. until phase 3 (MG18)"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from migrate.control.checkpoints import Checkpoints
from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.dashboard.checklists import Checklists
from migrate.dashboard.jobs import DrainJob, ResourcesJob, SweepJobs
from migrate.dashboard.model import RINGS, Board, Finding
from migrate.dashboard.sources import Source, look
from migrate.dashboard.team import Cutovers, JournalTail, Shadow, Verdicts
from migrate.drain.state import lock_name
from migrate.phases.names import plan_key
from migrate.phases.signatures import Signatures
from migrate.resources import model as resources
from migrate.resources.model import Plan, job_of
from migrate.shadow.state import Control, ShadowState

from .dashboard_support import World


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
    with Locks(world.table).hold(lock_name(world.config), "ann"):
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
    name = job_of("d" * 64)
    world.table.put({
        "pk": plan_key(world.config), "sk": "2026", "digest": "d" * 64, "path": "p", "made_at": 1.0,
        "covers": ["a", "b", "c"],
    })  # fmt: skip
    assert looks.look().parts["jobs"][0]["status"] == "planned"
    Checkpoints(world.table).put(name, "table:a", {"done": True})
    [row] = looks.look().parts["jobs"]
    assert (row["kind"], row["status"], row["done"], row["total"]) == ("resources", "stopped", 1, 3)


def test_names_that_the_commands_give_too(world: World) -> None:
    """They are the same in every version: colleagues who have another one hold the same locks."""
    assert lock_name(world.config) == "drain-abc-prod"
    assert resources.lock_name("abc") == "resources#abc"
    plan = Plan("chat", "abc", "eu-west-1", "", "", 1.0, ())
    assert job_of(plan.digest) == f"resources-{plan.digest[:12]}"


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
