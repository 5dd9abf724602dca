"""How the drain of a stage stands in the team's state table, and what an operator says to it. until phase 3 (MG10)

pk drain#API  sk STAGE            how it stands; the settings that were there before stand here before they change
                                  (as text: a number that went through DynamoDB may be spelled otherwise)
              sk STAGE#controls   what an operator says while it runs: stop, rate_per_s
"""

from __future__ import annotations

from typing import Any

from migrate.config import Config
from migrate.control.locks import Locks
from migrate.control.table import ControlTable

__all__ = ["UNDER_WAY", "forget_controls", "lock_name", "partition", "read_controls", "read_state", "standing", "tell"]

UNDER_WAY = ("draining", "stopped")
"""Of a drain that goes on when it is started again."""


def lock_name(config: Config) -> str:
    """Held by whoever drains, or undoes it."""
    return f"drain-{config.api.id}-{config.api.stage}"


def partition(api_id: str) -> str:
    """Where the drains of an API stand."""
    return f"drain#{api_id}"


def read_state(control: ControlTable, api_id: str, stage: str) -> dict[str, Any] | None:
    """How the drain of a stage stands, or None."""
    return control.get(partition(api_id), stage)


def standing(control: ControlTable, config: Config, state: dict[str, Any]) -> tuple[str, str | None]:
    """Its status, and who is at it now: one that should be at work and that nobody is at is `interrupted`."""
    status, owner = str(state["status"]), Locks(control).holder(lock_name(config))
    return ("interrupted" if status == "draining" and owner is None else status), owner


def read_controls(control: ControlTable, config: Config) -> dict[str, Any]:
    """What an operator has said since it began."""
    return control.get(*_controls(config)) or {}


def tell(control: ControlTable, config: Config, **said: Any) -> None:
    """Say it to the drain, wherever it runs."""
    pk, sk = _controls(config)
    control.put({**read_controls(control, config), "pk": pk, "sk": sk, **said})


def forget_controls(control: ControlTable, config: Config) -> None:
    """What was said to an earlier one is not for the next."""
    pk, sk = _controls(config)
    control.put({"pk": pk, "sk": sk})


def _controls(config: Config) -> tuple[str, str]:
    return partition(config.api.id), f"{config.api.stage}#controls"
