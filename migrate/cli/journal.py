"""`migrate journal`: who did what, when, and what came of it. until phase 3 (MG15)"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import out, print_json, reports_errors
from migrate.config import ConfigOption, resolve_config
from migrate.control.journal import Entry, Journal
from migrate.control.table import ControlTable
from migrate.errors import UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["journal"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@reports_errors
def journal(
    since: Annotated[str | None, typer.Option(help="From then on: 15m, 2h, 3d, or a time of ISO 8601.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    config: ConfigOption = None,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Show every action of the migration, newest first: when, who, what, with which outcome.

    Example: migrate journal --since 2h
    """
    first = _moment(since) if since else None
    settings = resolve_config(config, state_dir)
    table = ControlTable.of(settings)
    entries = list(Journal(table).entries(since=first, limit=limit))
    if json_:
        print_json({"entries": [asdict(entry) for entry in entries]})
        return
    if not entries:
        out.print("nothing was done yet" if first is None else "nothing was done since then")
    for entry in entries:
        _show(entry)


def _show(entry: Entry) -> None:
    arguments = " ".join(f"{name}={_short(value)}" for name, value in entry.arguments.items())
    out.print(f"{entry.started_at[:19]}Z  {entry.outcome:<11} {entry.action} {arguments}  ({entry.actor})")
    for name, value in entry.facts.items():
        out.print(f"    {name}: {_short(value, 300)}")


def _short(value: object, most: int = 60) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    # One line each, whatever an error's text holds.
    text = re.sub(r"[\x00-\x1f\x7f]+", " ", text)
    return text if len(text) <= most else f"{text[:most]}..."


def _moment(text: str) -> datetime:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    try:
        if match:
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise UsageError(f"--since {text!r} is no time", "15m, 2h, 3d, or 2027-03-01T09:00:00+09:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
