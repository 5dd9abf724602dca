"""Small things that several verbs do. until phase 3"""

from __future__ import annotations

import os
from pathlib import Path

from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.errors import UsageError

__all__ = ["SIGNATURE", "said", "state_table", "write_whole"]

SIGNATURE = '--by "$USER" --note "…"'
"""How printed commands show what a person has to say; not taken as said."""
_PLACEHOLDERS = frozenset({"NAME", "TEXT", "WHY", "$USER", "…", "..."})


def said(option: str, value: str) -> str:
    """What a person said, trimmed. Raises: UsageError: nothing, or what a printed command has in its place."""
    value = value.strip()
    if not value:
        raise UsageError(f"{option} must not be empty", "a signature without a name and a word is none")
    if value in _PLACEHOLDERS:
        raise UsageError(
            f"{option} is still {value!r}, which only stands for what you say",
            "write who says it" if option == "--by" else "write what was seen, or why",
        )
    return value


def state_table(config: Config) -> ControlTable:
    """The team's shared state, made where it is missing. Raises: MigrateError: it cannot be used."""
    table = ControlTable.of(config)
    table.ensure()
    return table


def write_whole(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a file whole or not at all.

    Args:
        mode: of a new file, less what the umask takes away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)
