"""`migrate runbook` and `migrate report`. until phase 3 (MG14)"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import state_table, write_whole
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.journal import Journal, digest
from migrate.control.table import ControlTable
from migrate.times import utc_text
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["report", "runbook"]


@reports_errors
def runbook(config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
    """Write the runbook and the notices to support (English, Japanese, Korean) into the project's archive directory.

    Example: migrate runbook
    """
    from migrate.phases.collect import config_digest
    from migrate.phases.names import archive_path, runbook_path
    from migrate.report.runbook import NOTICES, notice
    from migrate.report.runbook import runbook as text_of

    settings = resolve_config(config, state_dir)
    control = state_table(settings)
    written = []
    with Journal(control).record("runbook", {"config": str(settings.path)}) as entry:
        path = runbook_path(settings)
        write_whole(path, text_of(settings.settings, settings.path.name, config_digest(settings)))
        written.append(path)
        for language in NOTICES:
            path = archive_path(settings) / f"notice-{settings.project.name}.{language}.md"
            write_whole(path, notice(settings.settings, language))
            written.append(path)
        entry.note(files=[str(path) for path in written])
    for path in written:
        out.print(str(path))


@reports_errors
def report(
    source: Annotated[
        Path | None,
        typer.Option("--source", help="Your application's code. [default: as for the phases]", show_default=False),
    ] = None,
    config: ConfigOption = None,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Archive evidence, journal, comparisons, cost and exports as Markdown, HTML and JSON in the project.

    Example: migrate report
    """
    from migrate.phases.names import archive_path, report_key
    from migrate.phases.places import default_source
    from migrate.report.final import as_html, as_markdown

    settings = resolve_config(config, state_dir)
    control = state_table(settings)
    with err.status("gathering"):
        value = _gather(settings, control, source.resolve() if source is not None else default_source(settings.path))
    folder = archive_path(settings)
    name = f"migration-{settings.project.name}"
    _with_itself(value["phases"], folder / f"{name}.html")
    # The journal is part of it, so the entry about itself comes before.
    with Journal(control).record("report", {"archive": str(folder)}) as entry:
        write_whole(folder / f"{name}.json", json.dumps(value, ensure_ascii=False, indent=1) + "\n")
        write_whole(folder / f"{name}.md", as_markdown(value))
        write_whole(folder / f"{name}.html", as_html(value))
        sum_ = digest(value)
        entry.note(digest=sum_)
        control.put(
            {
                "pk": report_key(settings),
                "sk": datetime.now(UTC).isoformat(timespec="microseconds"),
                "path": str(folder / f"{name}.html"),
                "digest": sum_,
            }
        )
    if json_:
        print_json(value)
        return
    for suffix in ("html", "md", "json"):
        out.print(str(folder / f"{name}.{suffix}"))


def _with_itself(phases: list[dict[str, Any]], path: Path) -> None:
    """The item that asks for this report: who reads it has it."""
    from migrate.phases.texts import text

    for phase in phases:
        for item in phase["items"]:
            if phase["closed"] is None and item["id"] == "archived" and item["status"] == "open":
                item.update(status="done", said=[text("there", "en", {"what": str(path)})], next=None)


def _gather(settings: Config, control: ControlTable, source: Path) -> dict[str, Any]:
    from migrate.cli.phases import phase_rows
    from migrate.compare.verdicts import last_verdict
    from migrate.phases.collect import config_digest
    from migrate.phases.names import cost_key

    verdicts = []
    for feature in settings.features:
        one = last_verdict(control, feature.name)
        if one is not None:
            verdicts.append(
                {
                    "feature": feature.name, "verdict": one.verdict, "expected": one.expected,
                    "loss_upper": one.loss_upper, "when": utc_text(one.window[1]), "digest": one.digest,
                    "report": one.report,
                }
            )  # fmt: skip
    cost = next(control.query(cost_key(settings), newest_first=True), None)
    journal = [
        {
            "started_at": entry.started_at, "ended_at": entry.ended_at, "actor": entry.actor, "action": entry.action,
            "arguments": json.dumps(entry.arguments, ensure_ascii=False), "outcome": entry.outcome,
            "digest": entry.digest, "facts": entry.facts,
        }
        for entry in Journal(control).entries()
    ]  # fmt: skip
    return {
        "project": settings.project.name,
        "made_at": utc_text(time.time()),
        "config": config_digest(settings),
        "phases": [phase_rows(phase, settings, control, source) for phase in (1, 2, 3)],
        "verdicts": verdicts,
        "cost": cost["report"] if cost else None,
        "exports": _exports(settings),
        "journal": journal,
    }


def _exports(settings: Config) -> list[dict[str, Any]]:
    if isinstance(settings.records, str):
        return [{"name": f"{settings.records}/exports", "files": "see S3", "records": "see S3"}]
    found = []
    for manifest in sorted((settings.records / "exports").glob("*/MANIFEST.json")):
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        found.append(
            {
                "name": manifest.parent.name,
                "files": len(files),
                "records": sum(one["records"] for one in files.values()),
                "sha256": {name: one["sha256"] for name, one in files.items()},
            }
        )
    return found
