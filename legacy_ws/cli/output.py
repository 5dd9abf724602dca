"""How every `legacy-ws` command speaks: data on stdout, messages on stderr, a `hint:` line after an error.
until phase 3
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from legacy_ws.aws import AWS_ERRORS, explain
from legacy_ws.errors import LegacyWsError, RefusedError, StoppedError

__all__ = [
    "confirm",
    "err",
    "out",
    "print_json",
    "print_table",
    "printable",
    "progress",
    "reports_errors",
    "resumable",
    "say",
]

# Whatever is printed may hold text that a client chose: brackets and `:smile:` are text, too.
_PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
out = Console(soft_wrap=True, **_PLAIN)
err = Console(stderr=True, soft_wrap=True, **_PLAIN)

_ANY_WIDTH = 1_000_000

P = ParamSpec("P")
R = TypeVar("R")


def print_json(value: object) -> None:
    """Write one JSON document to stdout, without colour or wrapping."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None) -> None:
    """Write a table to stdout; cells are plain text, whatever they contain."""
    console = Console(**_PLAIN)
    # Somebody filters or keeps what is piped: no cell is broken for the sake of a screen.
    piped = not console.is_terminal
    table = Table()
    for number, column in enumerate(columns):
        # The first column is what other commands take: it must be possible to copy it.
        table.add_column(_cell(column), overflow="fold", no_wrap=piped or number == 0)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if piped:
        unlimited = console.options.update(max_width=_ANY_WIDTH)
        console.width = max(console.width, console.measure(table, options=unlimited).maximum)
    if title is not None:
        console.print(Text(printable(title)), style="table.title", soft_wrap=True)
    console.print(table)


def printable(text: str) -> str:
    """`text` without control characters: what a client chose must not steer the terminal of whoever reads
    it.
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else f"\\x{ord(letter):02x}" for letter in text)


def say(message: str) -> None:
    """A message for people, on stderr."""
    err.print(printable(message), markup=False, highlight=False)


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr what is going on, as long as it goes on; silent when stderr is no terminal."""
    if not err.is_terminal:
        yield lambda _: None
        return
    with err.status(Text(printable(message))) as status:
        yield lambda text: status.update(Text(printable(text)))


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost. Raises: RefusedError: not confirmed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError("not confirmed: there is no terminal to ask on", "pass --yes")
    if not typer.confirm(question, err=True):
        raise RefusedError("not confirmed: nothing was changed")


@contextmanager
def resumable() -> Iterator[None]:
    """Work that the same command continues. Raises: StoppedError: Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError("run the same command again to continue") from None


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an error of ours or of AWS into its message, its hint and its exit code; never a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except LegacyWsError as error:
            failure = error
        except (KeyboardInterrupt, typer.Abort):
            failure = StoppedError()
        except AWS_ERRORS as error:
            endpoint = kwargs.get("endpoint_url")
            failure = explain(error, endpoint if isinstance(endpoint, str) else None)
        err.print(f"error: {printable(failure.message)}", style="bold red", markup=False, highlight=False)
        if failure.hint:
            say(f"hint: {failure.hint}")
        raise typer.Exit(failure.exit_code)

    return run


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def _cell(value: object) -> Text:
    if value is None:
        return Text()
    plain = json.dumps(value, ensure_ascii=False, default=_plain) if isinstance(value, Mapping | list) else str(value)
    # A row is a line.
    return Text(printable(plain).replace("\n", "\\n").replace("\t", "\\t"))
