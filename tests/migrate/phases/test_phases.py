"""Checklists: evidence beats words, age counts, a phase with open items cannot be closed. until phase 3"""

from __future__ import annotations

import json
import shlex
import shutil
import string
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from phases_support import SETTINGS, Rehearsed
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config.model import Sse
from migrate.config.write import to_toml
from migrate.control.journal import Journal
from migrate.phases.items import ITEMS, PHASES
from migrate.phases.judge import blocking, judge
from migrate.phases.model import LANGUAGES, Evidence, Group, Signature, State, Status
from migrate.phases.texts import TEXTS

NOW = 1_800_000_000.0


def test_the_sixteen_items_of_the_document_are_there_in_its_order() -> None:
    """WL11: seven for developers, five for infrastructure, four for operations."""
    rows = [item.row for item in ITEMS if item.row]
    wanted = [("dev", 7), ("infra", 5), ("ops", 4)]
    assert sorted(rows) == sorted(f"{name}{number}" for name, count in wanted for number in range(1, count + 1))
    groups = {"dev": Group.DEVELOPERS, "infra": Group.INFRASTRUCTURE, "ops": Group.OPERATIONS}
    assert all(item.group is groups[item.row.rstrip(string.digits)] for item in ITEMS if item.row)
    assert len({item.id for item in ITEMS}) == len(ITEMS)


def test_everything_is_said_in_three_languages_with_the_same_values() -> None:
    """MG13."""
    for name, texts in {
        **TEXTS,
        **{item.id: dict(item.title) for item in ITEMS},
        **{str(n): p for n, p in PHASES.items()},
    }.items():
        assert set(texts) == set(LANGUAGES), name
        fields = {lang: sorted(f for _, f, _, _ in string.Formatter().parse(text) if f) for lang, text in texts.items()}
        assert fields["en"] == fields["ja"] == fields["ko"], name


ITEM = next(item for item in ITEMS if item.id == "deliveries-compared")
SIGNED = next(item for item in ITEMS if item.id == "support-told")


def _status(item: Any, evidence: Evidence | None, signature: Signature | None = None) -> tuple[Status, bool]:
    [row] = judge([item], {item.id: evidence} if evidence else {}, {item.id: signature} if signature else {}, "c1", NOW)
    return row.status, row.is_stale


def test_evidence_grows_old_and_words_do_not_replace_it() -> None:
    done = Evidence(State.DONE, "compared", taken_at=NOW - 60)
    failing = Evidence(State.FAILING, "compare-failed", taken_at=NOW)
    signed = Signature("signed", "ann", "looks good", NOW, "c1")
    assert _status(ITEM, done) == (Status.DONE, False)
    assert _status(ITEM, replace(done, taken_at=NOW - ITEM.stale_after_s - 1)) == (Status.OPEN, True)
    assert _status(ITEM, failing, signed) == (Status.FAILING, False)
    assert _status(ITEM, None, signed) == (Status.OPEN, False)
    waived = Signature("waived", "ann", "tiny feature", NOW, "c1")
    assert _status(ITEM, failing, waived) == (Status.WAIVED, False)
    assert _status(ITEM, failing, replace(waived, config="c0")) == (Status.OPEN, True)


def test_a_signature_is_about_the_configuration_it_was_given_for() -> None:
    signed = Signature("signed", "ann", "mailed", NOW, "c1")
    assert _status(SIGNED, None) == (Status.OPEN, False)
    assert _status(SIGNED, None, signed) == (Status.DONE, False)
    assert _status(SIGNED, None, replace(signed, config="c0")) == (Status.OPEN, True)
    rows = judge([SIGNED, ITEM], {ITEM.id: Evidence(State.DONE, "compared", taken_at=NOW)}, {}, "c1", NOW)
    assert [row.item.id for row in blocking(rows)] == ["support-told"]


def test_phase_2_from_nothing_to_closed(project: Rehearsed) -> None:
    """MG13, WL11: each item becomes done by the thing itself, and only then the phase can be closed."""
    items = project.items(2)
    assert {item["status"] for item in items.values()} <= {"open", "done"}
    assert items["features-moved"]["said"] == ["not at 100 %: chat (0 %), runs (0 %)"]
    for item in ("clients-updated", "reconnect-removed", "tests-updated"):
        assert items[item]["status"] == "open", "no code, no evidence"
        assert items[item]["said"] == ["no file was looked at; name your code with --source DIR"]
    (project.folder / "page.js").write_text("fetch('/rest')\n")
    assert project.items(2)["clients-updated"]["said"] == ["1 file, none left"]
    (project.folder / "app.js").write_text(
        "const s = new WebSocket('wss://abc.execute-api.eu-west-1.amazonaws.com/prod')\n"
    )
    assert project.items(2)["clients-updated"]["status"] == "open"
    (project.folder / "app.js").unlink()

    for feature in ("chat", "runs"):
        project.table.put({"pk": "flags", "sk": f"{feature}#*", "percent": 100, "epoch": 1, "salt": "s"})
        project.table.put(
            {
                "pk": f"verdict#{feature}", "sk": "2026", "verdict": "pass", "run_id": "r", "made_at": time.time(),
                "window": [time.time() - 60, time.time()], "expected": 10_000, "loss_upper": 0.0003, "complete": True,
                "reasons": [], "digest": "d", "report": "", "actor": "ann",
            }
        )  # fmt: skip
    items = project.items(2)
    assert items["features-moved"]["status"] == items["deliveries-compared"]["status"] == "done"

    refused = project.migrate("phase2", "close", "--by", "Ann")
    assert refused.exit_code == 3 and "phase 1 is not closed" in refused.stderr
    for item in ("errors-reviewed", "docs-updated", "support-told"):
        assert project.migrate("phase2", "sign", item, "--by", "Ann", "--note", "done").exit_code == 0
    for phase, names in (
        (1, ("config-checked", "uses-found", "gate-in-ci", "no-new-uses")),
        (2, ("sse-implemented", "dashboard", "alarms", "runbook")),
    ):
        for item in names:
            done = project.migrate(f"phase{phase}", "waive", item, "--by", "Ann", "--note", "a test")
            assert done.exit_code == 0, done.stderr
        closed = project.migrate(f"phase{phase}", "close", "--by", "Ann")
        assert closed.exit_code == 0, closed.stderr
    assert json.loads(project.migrate("phase2", "--json").stdout)["closed"]["by"] == "Ann"
    actions = [entry.action for entry in Journal(project.table).entries()]
    assert actions[0] == "phase2 close"
    assert actions.count("phase2 sign") == 3
    closes = [entry.outcome for entry in Journal(project.table).entries() if entry.action == "phase2 close"]
    assert closes == ["done", "refused"]

    project.config.write_text(to_toml(replace(SETTINGS, sse=Sse(url="https://sse.example.com"))), encoding="utf-8")
    assert project.items(2)["support-told"]["stale"] is True


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expected": 10}, "10 of 1,000 deliveries so far"),
        ({"loss_upper": 0.1}, "up to 10.0000% may be lost, gates.max_loss is 0.0500%"),
        ({"complete": False}, "the capture is incomplete"),
    ],
)
def test_a_pass_by_lower_gates_than_the_configurations_is_none(
    project: Rehearsed, change: dict[str, Any], why: str
) -> None:
    """MG13: `migrate compare --min-samples 10` does not close a phase."""
    project.table.ensure()
    for feature in ("chat", "runs"):
        project.table.put(
            {
                "pk": f"verdict#{feature}", "sk": "2026", "verdict": "pass", "run_id": "r", "made_at": time.time(),
                "window": [time.time() - 60, time.time()], "expected": 10_000, "loss_upper": 0.0003, "complete": True,
                "reasons": [], "digest": "d", "report": "", "actor": "ann", **change,
            }
        )  # fmt: skip
    item = project.items(2)["deliveries-compared"]
    assert (item["status"], item["said"]) == ("open", [f"inconclusive: chat ({why}), runs ({why})"])


def test_a_tenant_that_lags_behind_is_not_moved(project: Rehearsed) -> None:
    for sk, percent in (("chat#*", 100), ("chat#slow", 10), ("runs#*", 100)):
        project.table.ensure()
        project.table.put({"pk": "flags", "sk": sk, "percent": percent, "epoch": 1, "salt": "s"})
    assert project.items(2)["features-moved"]["said"] == ["not at 100 %: chat (10 %)"]


def test_phase_3_looks_at_aws_itself(project: Rehearsed) -> None:
    """WL11: rows, resources and log groups as they are."""
    dynamodb = boto3.client("dynamodb", "eu-west-1")
    dynamodb.create_table(
        TableName="connections", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
    )  # fmt: skip
    dynamodb.put_item(TableName="connections", Item={"connectionId": {"S": "c1"}})
    items = project.items(3)
    assert items["tables-swept"]["said"] == ["rows are left in connections"]
    assert items["resources-gone"]["said"] == ["still there: table connections"]
    dynamodb.delete_table(TableName="connections")
    items = project.items(3)
    assert items["tables-swept"]["status"] == items["resources-gone"]["status"] == "done"
    assert items["api-plan"]["said"] == ["there is no plan yet"]


@pytest.mark.parametrize(("lang", "title"), [("ja", "ランブックの更新"), ("ko", "런북 업데이트")])
def test_other_languages(project: Rehearsed, lang: str, title: str) -> None:
    assert project.items(2, "--lang", lang)["runbook"]["title"] == title
    shown = project.migrate("phase2", "--lang", lang)
    assert shown.exit_code == 0 and title in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["phase2", "--lang", "fr"], "there is no language 'fr'"),
        (["phase2", "sign", "suport-told", "--by", "Ann", "--note", "x"], "has no item 'suport-told'"),
        (["phase2", "sign", "support-told", "--by", " ", "--note", "x"], "must not be empty"),
        (["phase2", "sign", "support-told", "--by", "NAME", "--note", "x"], "--by is still 'NAME'"),
        (["phase2", "sign", "support-told", "--by", "Ann", "--note", "TEXT"], "--note is still 'TEXT'"),
        (["phase2", "sign", "support-told", "--by", "Ann", "--note", "…"], "--note is still '…'"),
        (["phase2", "waive", "alarms", "--by", "Ann", "--note", "..."], "--note is still '...'"),
        (["phase2", "withdraw", "alarms", "--by", "NAME"], "--by is still 'NAME'"),
        (["phase1", "close", "--by", "NAME"], "--by is still 'NAME'"),
        (["phase1", "reopen", "--by", "$USER"], "--by is still '$USER'"),
        (["cutover", "chat", "--percent", "1", "--without-gate", "hook", "--note", "TEXT"], "--note is still 'TEXT'"),
        (["drain", "start", "--without-gate", "features", "--note", "TEXT"], "--note is still 'TEXT'"),
        (["phase2", "sign", "clients-updated", "--by", "Ann", "--note", "x"], "is judged by evidence"),
        (["phase2", "--source", "nowhere"], "there is no directory"),
    ],
)
def test_a_mistake_is_one_clear_error(project: Rehearsed, arguments: list[str], says: str) -> None:
    done = project.migrate(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize("where", [".", "code", "/my code"])
def test_the_next_commands_of_phase_1_make_it_done(
    project: Rehearsed, where: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG13: pasted as they are printed, wherever the code is; what CI runs is found at the repository's root."""
    folder = tmp_path_factory.mktemp("other") / where[1:] if where.startswith("/") else project.folder / where
    folder.mkdir(exist_ok=True)
    (folder / "app.js").write_text("new WebSocket('wss://abc.execute-api.eu-west-1.amazonaws.com/prod')\n")
    more = () if where == "." else ("--source", str(folder))
    items = project.items(1, *more)
    assert items["no-new-uses"]["next"] == items["uses-found"]["next"]
    command, *arguments = shlex.split(items["uses-found"]["next"])
    assert command == "migrate" and str(project.folder) not in " ".join(arguments[:2])
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert "docs/" not in items["gate-in-ci"]["next"], "nobody has those documents there"
    root = folder if where == "." else folder.parent
    (root / ".git").mkdir()
    gate = project.items(1, *more)["gate-in-ci"]["next"].partition(" && migrate ")[2]
    monkeypatch.chdir(root)
    assert CliRunner().invoke(app, shlex.split(gate)).exit_code == 0
    monkeypatch.chdir(project.folder)
    (root / ".github" / "workflows").mkdir(parents=True)
    shutil.copy(Path(__file__).parents[3] / "docs" / "examples" / "ci-scan.yml", root / ".github" / "workflows")
    items = project.items(1, *more)
    assert {items[name]["status"] for name in ("uses-found", "gate-in-ci", "no-new-uses")} == {"done"}


def test_without_code_phase_1_asks_for_it(project: Rehearsed) -> None:
    """As under `migrate up`, whose configuration has no code beside it: a baseline of nothing would be no evidence."""
    items = project.items(1)
    for name in ("uses-found", "no-new-uses"):
        assert items[name]["said"] == ["no file was looked at; name your code with --source DIR"]
        assert items[name]["next"].startswith("migrate phase1 --source DIR --config ")


def test_the_next_cutover_is_of_a_feature_that_is_not_moved(project: Rehearsed) -> None:
    assert project.items(2)["features-moved"]["next"].startswith("migrate cutover chat --steps --execute --config ")
    project.table.ensure()
    for sk, percent in (("chat#*", 100), ("runs#*", 100), ("runs#slow", 10)):
        project.table.put({"pk": "flags", "sk": sk, "percent": percent, "epoch": 1, "salt": "s"})
    step = project.items(2)["features-moved"]["next"]
    assert step.startswith("migrate cutover runs --tenant slow --steps --execute ")


def test_each_group_has_one_heading(project: Rehearsed) -> None:
    shown = project.migrate("phase2").stdout.splitlines()
    assert [shown.count(name) for name in ("Developers", "Toolkit", "Operations")] == [1, 1, 1]


def test_one_tenant_that_has_moved_does_not_speak_for_the_others(project: Rehearsed) -> None:
    """Where only a tenant has a flag, everybody else is where the service's default says."""
    project.table.ensure()
    for sk in ("chat#acme", "runs#*"):
        project.table.put({"pk": "flags", "sk": sk, "percent": 100, "epoch": 1, "salt": "s"})
    assert project.items(2)["features-moved"]["said"] == ["not at 100 %: chat (0 %)"]
