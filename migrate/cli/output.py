"""How every `migrate` command speaks: data on stdout, messages on stderr, a `hint:` after an error. until phase 3"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console

from migrate.errors import ExitCode, MigrateError

__all__ = ["err", "out", "print_json", "reports_errors"]

# What is printed may hold names and values of others: brackets and `:smile:` are text, too.
out = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
err = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)

# Errors of a write, which name no file.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)

P = ParamSpec("P")
R = TypeVar("R")


def print_json(value: object) -> None:
    """Write one JSON document to stdout, without colour or wrapping."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a MigrateError of a command into its message, its hint and its exit code.

    A file that cannot be used and a full disk are not our faults either: one line, no traceback.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MigrateError as error:
            err.print(f"error: {error.message}", style="bold red", markup=False, highlight=False)
            if error.hint:
                err.print(f"hint: {error.hint}", markup=False, highlight=False)
            raise typer.Exit(int(error.exit_code)) from None
        except OSError as error:
            if error.filename is None and error.errno not in _DISK:
                raise
            where = f"{error.filename}: " if error.filename is not None else ""
            err.print(f"error: {where}{error.strerror}", style="bold red", markup=False, highlight=False)
            err.print("hint: check --state-dir, its permissions and the space on its disk", markup=False)
            raise typer.Exit(int(ExitCode.USAGE)) from None

    return run
