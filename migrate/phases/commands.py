"""The next step of an item, as a command that makes it done where one can; else what to do by hand, or how to say that
it is not needed. Pure but for the working directory, and a look whether `migrate up` made the configuration.
until phase 3
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from migrate.cost.model import LONGEST_DAYS
from migrate.phases.model import Row, Status
from migrate.phases.names import BASELINE
from migrate.phases.places import default_source, state_dir_of
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["next_command", "options_of"]

_WAIVE = 'migrate phase{phase} waive {item} --by "$USER" --note "…" {options}'
# What the evidence says is missing decides where the item's own command would not help.
_INSTEAD: Mapping[str, str] = {
    "no-files": "migrate phase{phase} --source DIR {options}, DIR being your code's directory",
    "no-baseline": "migrate scan {source} --config {config} --baseline {baseline} --write-baseline",
    "no-url": "name your service's address as sse.url in {config}",
    "no-features": "name your features as [[features]] in {config}",
    "not-moved": "migrate cutover {feature} --steps --execute {options}",
    "uses-untraced": "where its address, which cannot be traced, is this stack's: migrate codemod {source} --config "
    f"{{config}} --assume-ours --write; where {{first}} is another service's: {_WAIVE}",
    "uses-by-hand": "change {first} by hand: `migrate codemod` rewrites nothing there; where it is to stay: " + _WAIVE,
    "no-alarms": "name the parts of the service there are as {keys} in {config}, then "
    f"migrate observe --execute {{options}}; with alarms of your own: {_WAIVE}",
    "cost-unmeasured": f"migrate cost --days {{longer}} {{options}}, to look further back; without metrics: {_WAIVE}",
    "cost-unmeasurable": _WAIVE,
}
# While the shadow runs: what is to be waited for.
_WAITING: Mapping[str, str] = {
    "not-compared": "migrate compare {options}, when the shadow that runs has seen enough (migrate shadow status "
    "{options})",
    "compare-unsure": "leave the shadow running until enough has passed (migrate shadow status {options}), then "
    "migrate compare {options}",
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
    values: Mapping[str, object] = {} if evidence is None else evidence.values
    message = "" if evidence is None else evidence.message
    instead = {**_INSTEAD, **_WAITING} if values.get("waits") else _INSTEAD
    template = instead.get(message, row.item.command)
    return template.format(
        phase=row.item.phase,
        item=row.item.id,
        config=shlex.quote(str(config)),
        options=options_of(config),
        and_source=options_of(config, source),
        source=_shown(source),
        baseline=_shown(source / BASELINE),
        gate=_gate(str(values.get("below", "."))),
        feature=_feature(values),
        first=values.get("first", ""),
        keys=values.get("keys", ""),
        longer=f"{LONGEST_DAYS:g}",
    )


def options_of(config: Path, source: Path | None = None) -> str:
    """The options by which a command finds the same configuration and state, and the same code.

    Args:
        source: the code; it is named where it is not found without.
    """
    words = ["--config", str(config)]
    state = state_dir_of(config)
    if state is not None and state != DEFAULT_STATE_DIR.resolve():
        words += ["--state-dir", str(state)]
    if source is None or source == default_source(config):
        return shlex.join(words)
    return f"{shlex.join(words)} --source {_shown(source)}"


def _shown(path: Path) -> str:
    """From the working directory, where it is below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _gate(below: str) -> str:
    """What CI is to run, from the repository's root."""
    baseline = BASELINE if below == "." else f"{below}/{BASELINE}"
    return f"migrate scan {shlex.quote(below)} --baseline {shlex.quote(baseline)} --fail-on-new"


def _feature(values: Mapping[str, object]) -> str:
    """The first that is not moved, and of which tenant."""
    tenant = values.get("tenant")
    return shlex.quote(str(values.get("first", ""))) + (f" --tenant {shlex.quote(str(tenant))}" if tenant else "")
