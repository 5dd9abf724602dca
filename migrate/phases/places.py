"""Where the application's code is looked for, and what of the toolkit's own lies there and is no code. Pure but for
looks at the file system. until phase 3
"""

from __future__ import annotations

from pathlib import Path

from migrate.compare.files import has_records
from migrate.config import Config
from migrate.phases.names import archive_path
from migrate.resources.names import PLAN_FILE
from migrate.up.state import AWS_MARKER, DEFAULT_STATE_DIR

__all__ = ["default_source", "own_paths", "state_dir_of"]


def state_dir_of(config: Path) -> Path | None:
    """The state directory of the `migrate up` that made this file; None: it is a person's own."""
    folder = config.resolve().parent
    state = folder.parent
    is_made = folder.name == "config" and (
        state.name == DEFAULT_STATE_DIR.name or (state / "aws" / AWS_MARKER).is_file()
    )
    return state if is_made else None


def default_source(config: Path) -> Path:
    """Where the code is when nobody names it: beside migrate.toml; for a file that `migrate up` made, where that was
    run. Absolute."""
    state = state_dir_of(config)
    return state.parent if state is not None else config.resolve().parent


def own_paths(config: Config) -> tuple[Path, ...]:
    """Files and directories that the toolkit has made, or reads: no code of the application. Absolute."""
    folder, name = config.path.resolve().parent, config.project.name
    archive, state = archive_path(config), state_dir_of(config.path)
    found = [config.path.resolve(), folder / PLAN_FILE, folder / DEFAULT_STATE_DIR]
    found += [archive / f"migration-{name}.{suffix}" for suffix in ("html", "md", "json")]
    if state is not None:
        found.append(state)
    records = config.records
    # A directory of that name may also be the application's own.
    if isinstance(records, Path) and not folder.is_relative_to(records):
        found += [records] if has_records(records) else [records / "exports"]
    return tuple(found)
