"""A shadow run begins and ends: tee, reader, control item. until phase 3"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.errors import UsageError
from migrate.shadow.service import CONSUMER
from migrate.shadow.state import Control, ShadowState, State
from migrate.tee.consumers import TeeState, consumer_queue
from migrate.tee.install import RemovedTee
from migrate.tee.setup import install_for, remove_for, tee_functions

__all__ = ["begin", "change", "unhook"]


def begin(config: Config) -> tuple[Control, dict[str, Any]]:
    """Put the tee on and begin a run, or go on with the one that is on. Returns it, and facts for the journal."""
    table = ControlTable.of(config)
    table.ensure()
    if not tee_functions(config):
        raise UsageError(f"API {config.api.id} calls no Lambda functions", "check api.id in the configuration")
    queue = consumer_queue(config.client("sqs"), config.api.id, CONSUMER)
    installed = install_for(config, table)
    TeeState(table, config.api.id).add(CONSUMER, queue, is_ordered=False)
    state = ShadowState(table, config.project.name)
    control = state.control()
    if control is None or control.state in ("stopped", "stopping"):
        now = time.time()
        # Sorted by name is sorted by time.
        run_id = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
        control = Control("running", f"{config.project.name}-{run_id}", now)
    else:
        control = replace(control, state="running")
    state.tell(control)
    changed = list(installed.changed)
    return control, {"run_id": control.run_id, "functions": list(installed.functions), "changed": changed}


def change(config: Config, state: State, **settings: float) -> Control:
    """Tell the worker something else. Raises: UsageError: no run is on."""
    told = ShadowState(ControlTable.of(config), config.project.name)
    control = told.control()
    if control is None or control.state in ("stopped", "stopping"):
        raise UsageError(f"no shadow run of {config.project.name} is on", "`migrate shadow start` begins one")
    control = replace(control, state=state, **settings)  # type: ignore[arg-type]  # names of Control's numbers
    told.tell(control)
    return control


def unhook(config: Config, *, everybody: bool = False) -> RemovedTee | None:
    """Take this reader away, and the tee as well when nobody else reads; None while somebody does.

    Args:
        everybody: take the other readers away, too.
    """
    table = ControlTable.of(config)
    tee_state = TeeState(table, config.api.id)
    tee_state.remove(CONSUMER)
    others = tee_state.consumers()
    if others and not everybody:
        return None
    for consumer in others:
        tee_state.remove(consumer.name)
    return remove_for(config, table)
