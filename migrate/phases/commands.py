"""The next step of an item, as a command that makes it done where one can. Pure but for the working directory.
until phase 3
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from migrate.phases.model import Row, Status
from migrate.phases.names import BASELINE

__all__ = ["next_command"]

# What the evidence says is missing decides where the item's own command would not help.
_INSTEAD: Mapping[str, str] = {
    "no-files": "migrate phase{phase} --source DIR --config {config}, DIR being your code's directory",
    "no-baseline": "migrate scan {source} --config {config} --baseline {baseline} --write-baseline",
    "no-url": "name your service's address as sse.url in {config}",
    "no-features": "name your features as [[features]] in {config}",
    "not-moved": "migrate cutover {feature} --steps --execute --config {config}",
}


def next_command(row: Row, config: Path, source: Path) -> str:
    """What to do next; empty: nothing.

    Args:
        config: the configuration's file, as it was named.
        source: the application's code, absolute: where the checklist looks.
    """
    if row.status not in (Status.OPEN, Status.FAILING):
        return ""
    evidence = row.evidence
    template = _INSTEAD.get(evidence.message, row.item.command) if evidence is not None else row.item.command
    return template.format(
        phase=row.item.phase,
        config=shlex.quote(str(config)),
        source=_shown(source),
        baseline=_shown(source / BASELINE),
        feature=_feature({} if evidence is None else evidence.values),
    )


def _shown(path: Path) -> str:
    """From the working directory, where it is below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _feature(values: Mapping[str, object]) -> str:
    """The first that is not moved, and of which tenant."""
    tenant = values.get("tenant")
    return shlex.quote(str(values.get("first", ""))) + (f" --tenant {shlex.quote(str(tenant))}" if tenant else "")
