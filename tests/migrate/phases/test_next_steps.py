"""Next steps lead somewhere, evidence is about the application's code, and what is done twice changes nothing.
until phase 3
"""

from __future__ import annotations

import json
import shlex
import string
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from phases_support import SETTINGS, Rehearsed
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config.model import Sse
from migrate.config.write import to_toml
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.phases.items import items_of
from migrate.phases.model import LANGUAGES
from migrate.phases.texts import TEXTS, text
from migrate.shadow.state import Control, ShadowState
from migrate.up.state import AWS_MARKER

CODE = ("clients-updated", "reconnect-removed", "tests-updated")
OURS = "wss://abc.execute-api.eu-west-1.amazonaws.com/prod"


@pytest.fixture
def demo(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsed:
    """As `migrate up --state-dir stacks` leaves it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stacks" / "aws").mkdir(parents=True)
    (tmp_path / "stacks" / "aws" / AWS_MARKER).touch()
    return Rehearsed(tmp_path, "stacks/config/rooms.toml")


def test_what_the_toolkit_has_written_is_no_code(demo: Rehearsed) -> None:
    """A plan, a report, records: none of them says that a client was updated."""
    beside = demo.config.parent
    (beside / "migrate-plan.json").write_text("{}\n")
    (beside / "docs" / "archive").mkdir(parents=True)
    for suffix in ("json", "html"):
        (beside / "docs" / "archive" / f"migration-chat.{suffix}").write_text("<script>fetch('/')</script>\n")
    (beside / "records" / "run" / "deliveries").mkdir(parents=True)
    (beside / "records" / "run" / "run.json").write_text("{}\n")
    for more in ((), ("--source", str(beside))):
        items = demo.items(2, *more)
        for name in CODE:
            assert (items[name]["status"], items[name]["said"]) == (
                "open", ["no file was looked at; name your code with --source DIR"]
            )  # fmt: skip
        assert "write-baseline" not in demo.items(1, *more)["uses-found"]["next"]


def test_a_report_and_a_plan_beside_a_persons_own_configuration_are_no_code(project: Rehearsed) -> None:
    (project.folder / "migrate-plan.json").write_text("{}\n")
    archive = project.folder / "docs" / "archive"
    archive.mkdir(parents=True)
    (archive / "migration-chat.html").write_text("<p>all of it</p>\n")
    (project.folder / "package.json").write_text("{}\n")
    assert [project.items(2)[name]["status"] for name in CODE] == ["open"] * 3


def test_without_a_source_the_demo_looks_where_it_was_started(demo: Rehearsed) -> None:
    (demo.folder / "app.js").write_text(f"new WebSocket('{OURS}')\n")
    assert demo.items(2)["clients-updated"]["said"] == ["1 left, the first in app.js:1"]
    assert demo.items(1)["uses-found"]["next"].startswith("migrate scan . --config ")


def _waive_all(project: Rehearsed, phase: int) -> None:
    for item in items_of(phase):
        done = project.migrate(f"phase{phase}", "waive", item.id, "--by", "Ann", "--note", "a test")
        assert done.exit_code == 0, done.stderr


def test_the_printed_close_works_as_it_is_printed(
    project: Rehearsed, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence is in --source, and so the closing has to look there."""
    code = tmp_path_factory.mktemp("my code")
    (code / "app.js").write_text("fetch('/rest')\n")
    for name in ("config-checked", "gate-in-ci"):
        project.migrate("phase1", "waive", name, "--by", "Ann", "--note", "a test")
    baseline = shlex.split(project.items(1, "--source", str(code))["uses-found"]["next"])
    assert CliRunner().invoke(app, baseline[1:]).exit_code == 0
    shown = project.migrate("phase1", "--source", str(code))
    [line] = [line for line in shown.stdout.splitlines() if "phase1 close" in line]
    printed = line[line.index("migrate phase1") :].replace("$USER", "Ann")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert CliRunner().invoke(app, shlex.split(printed)[1:]).exit_code == 0


def test_a_refused_close_names_the_same_places(project: Rehearsed, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    refused = project.migrate("phase1", "close", "--by", "Ann", "--source", str(tmp_path / "code"))
    assert refused.exit_code == 3
    assert f"migrate phase1 --config {project.config} --source code shows" in refused.stderr


def test_alarms_that_cannot_be_made_are_named_or_waived(project: Rehearsed) -> None:
    item = project.items(2)["alarms"]
    assert item["said"][0].startswith("no alarm can be made: the configuration names none of sse.load_balancer")
    assert "sse.table_prefix in" in item["next"] and "migrate phase2 waive alarms --by" in item["next"]
    settings = replace(SETTINGS, sse=Sse(table_prefix="sse"))
    project.config.write_text(to_toml(settings), encoding="utf-8")
    step = project.items(2)["alarms"]["next"]
    assert step.startswith("migrate observe ")
    assert CliRunner().invoke(app, shlex.split(step)[1:]).exit_code == 0
    assert project.items(2)["alarms"]["said"] == ["1 alarm: ws2sse-chat-log-throttled"]


def test_a_cost_without_metrics_has_a_way_on(project: Rehearsed) -> None:
    assert project.migrate("cost").exit_code == 0
    item = project.items(3)["cost-checked"]
    assert "CloudWatch has no datapoint" in item["said"][0]
    longer, _, waive = item["next"].partition("; ")
    assert longer.startswith("migrate cost --days 455 ") and "migrate phase3 waive cost-checked --by" in waive
    assert CliRunner().invoke(app, shlex.split(longer.partition(",")[0])[1:]).exit_code == 0


def test_what_the_codemod_does_not_rewrite_is_to_be_done_by_hand(project: Rehearsed) -> None:
    (project.folder / "app.js").write_text(
        f"let ws;\nfunction connect() {{\n  ws = new WebSocket('{OURS}');\n"
        "  ws.onclose = () => setTimeout(connect, 1000);\n}\nconnect();\n"
    )
    step = project.items(2)["reconnect-removed"]["next"]
    assert step.startswith("migrate codemod ")
    assert CliRunner().invoke(app, shlex.split(step)[1:]).exit_code == 0
    # A classic script cannot import: it was only marked.
    items = project.items(2)
    for name, line in (("clients-updated", 4), ("reconnect-removed", 5)):
        assert items[name]["status"] == "open"
        assert items[name]["next"].startswith(f"change app.js:{line} by hand")
        assert f"migrate phase2 waive {name}" in items[name]["next"]
    (project.folder / "app.js").write_text("export {};\nconst s = new WebSocket(location.hash.slice(1));\n")
    assert CliRunner().invoke(app, shlex.split(step)[1:]).exit_code == 0
    step = project.items(2)["clients-updated"]["next"]
    assert " --assume-ours --write; " in step and "migrate phase2 waive clients-updated" in step


@pytest.mark.parametrize(
    ("url", "states"),
    [
        ("wss://api.openai.com/v1/realtime", {"done"}),
        (OURS, {"open"}),
        ("wss://other1.execute-api.eu-west-1.amazonaws.com/prod", {"open"}),
    ],
)
def test_a_client_and_its_reconnect_logic_are_of_one_service(project: Rehearsed, url: str, states: set[str]) -> None:
    (project.folder / "client.js").write_text(
        f"function connect() {{\n  const ws = new WebSocket('{url}');\n"
        "  ws.onclose = () => setTimeout(connect, 1000);\n}\nconnect();\n"
    )
    items = project.items(2)
    assert {items[name]["status"] for name in ("clients-updated", "reconnect-removed")} == states


def _verdict(table: ControlTable, feature: str, **change: Any) -> None:
    table.put(
        {
            "pk": f"verdict#{feature}", "sk": "2026", "verdict": "inconclusive", "run_id": "r",
            "made_at": time.time(), "window": [time.time() - 60, time.time()], "expected": 176, "loss_upper": 0.02,
            "complete": True, "reasons": ["too few"], "digest": "d", "report": "", "actor": "ann", **change,
        }
    )  # fmt: skip


def test_a_comparison_that_is_only_too_early_says_how_far_it_is(project: Rehearsed) -> None:
    project.table.ensure()
    for feature in ("chat", "runs"):
        _verdict(project.table, feature)
    item = project.items(2)["deliveries-compared"]
    assert item["said"][0].startswith("inconclusive: chat (176 of 1,000 deliveries so far), runs (176")
    assert item["next"].startswith("migrate shadow start ")
    ShadowState(project.table, "chat").tell(Control("running", "r", time.time()))
    step = project.items(2)["deliveries-compared"]["next"]
    assert "shadow start" not in step
    assert step.startswith("leave the shadow running") and "migrate compare --config" in step


def test_what_was_done_already_is_said_and_changes_nothing(project: Rehearsed) -> None:
    sign = ("--by", "Ann", "--note", "x")
    assert project.migrate("phase2", "sign", "support-told", *sign).exit_code == 0
    assert "withdrawn by Bob" in project.migrate("phase2", "withdraw", "support-told", "--by", "Bob").stderr
    again = project.migrate("phase2", "withdraw", "support-told", "--by", "Bob")
    assert again.exit_code == 0 and "nothing to withdraw" in again.stderr and "withdrawn by" not in again.stderr

    _waive_all(project, 1)
    assert project.migrate("phase1", "close", "--by", "Ann").exit_code == 0
    again = project.migrate("phase1", "close", "--by", "Bob")
    assert again.exit_code == 0 and "phase 1 is closed already, by Ann, 20" in again.stderr
    assert json.loads(project.migrate("phase1", "--json").stdout)["closed"]["by"] == "Ann"
    assert "is open again" in project.migrate("phase1", "reopen", "--by", "Bob").stderr
    again = project.migrate("phase1", "reopen", "--by", "Bob")
    assert again.exit_code == 0 and "nothing to reopen" in again.stderr

    actions = [entry.action for entry in Journal(project.table).entries()]
    assert [actions.count(f"phase{name}") for name in ("2 withdraw", "1 close", "1 reopen")] == [1, 1, 1]


def test_a_closed_phase_says_so_although_its_evidence_is_gone(project: Rehearsed) -> None:
    _waive_all(project, 1)
    assert project.migrate("phase1", "close", "--by", "Ann").exit_code == 0
    project.migrate("phase1", "withdraw", "gate-in-ci", "--by", "Ann")
    again = project.migrate("phase1", "close", "--by", "Bob")
    assert "closed already, by Ann" in again.stderr and "cannot be closed" not in again.stderr


def test_numbers_and_words_agree() -> None:
    assert text("uses-none", "en", {"files": 1}) == "1 file, none left"
    assert text("uses-none", "en", {"files": 0}) == "0 files, none left"
    assert text("baseline-there", "en", {"count": 1, "path": "[a|b:count]"}) == "1 known use in [a|b:count]"
    assert text("compared", "en", {"count": 2, "oldest": "now"}).startswith("2 features passed")
    for name, texts in TEXTS.items():
        fields = {field for _, field, _, _ in string.Formatter().parse(texts["en"]) if field}
        for count in (1, 2):
            for language in LANGUAGES:
                said = text(name, language, dict.fromkeys(fields, count))
                assert "|" not in said and "1 uses" not in said, name
