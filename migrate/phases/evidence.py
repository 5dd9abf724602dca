"""Makes evidence: what was found, in the words of migrate.phases.texts. Pure. until phase 3"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from migrate.config import Config
from migrate.config.parse import as_values
from migrate.control.journal import digest
from migrate.phases.model import Evidence, State

__all__ = ["config_digest", "done", "failing", "moment", "still_open"]


def done(message: str, **values: Any) -> Evidence:
    """It is as the item wants it."""
    return Evidence(State.DONE, message, values)


def still_open(message: str, **values: Any) -> Evidence:
    """It is not there yet, or could not be looked at."""
    return Evidence(State.OPEN, message, values)


def failing(message: str, **values: Any) -> Evidence:
    """It was looked at, and is wrong."""
    return Evidence(State.FAILING, message, values)


def moment(at: float) -> str:
    """Epoch seconds as people and programs read them."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def config_digest(config: Config) -> str:
    """What a signature is about: the settings, whatever their comments and order."""
    return digest(as_values(config.settings))
