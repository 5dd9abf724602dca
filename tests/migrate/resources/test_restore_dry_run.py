"""`migrate cleanup resources restore` without --execute, and plans that are none. until phase 3 (MG12)"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config import load_config
from migrate.tables.export import DiskExport

CONFIG = 'schema = 1\n[project]\nname = "p"\nrecords = "records"\n[api]\nid = "abc"\nstage = "prod"\n'


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    path = tmp_path / "migrate.toml"
    path.write_text(CONFIG, encoding="utf-8")
    records = load_config(path).records
    assert isinstance(records, Path)
    export = DiskExport(records / "exports" / "job", "run")
    export.write(0, [{"kind": "queue", "name": "q", "facts": {}}])
    export.close()
    return ["--config", str(path), "--state-dir", str(tmp_path / "state")]


def test_what_the_export_does_not_hold_is_said_before_it_is_done(options: list[str]) -> None:
    """A misspelt id: "nothing was changed", and exit code 0, told that all was well."""
    command = ["cleanup", "resources", "restore", "--export", "job", *options]
    assert "would make queue:q" in CliRunner().invoke(app, command).stdout
    done = CliRunner().invoke(app, [*command, "queue:Q"])
    assert done.exit_code == 1
    assert "the export holds no queue:Q" in done.output and "it holds queue:q" in done.output


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "[]", "\xff"])
def test_a_plan_that_is_none_is_one_line(options: list[str], tmp_path: Path, text: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text, encoding="latin-1")
    done = CliRunner().invoke(app, ["cleanup", "resources", "restore", "--plan", str(plan), *options])
    assert done.exit_code == 2 and "is no plan" in done.output
