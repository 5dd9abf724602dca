"""`migrate dashboard`: the migration as it happens, in a browser. until phase 3 (MG18)"""

from __future__ import annotations

import logging
import os
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from migrate.addresses import LOCAL_NAMES
from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.config import ConfigOption, resolve_config
from migrate.errors import UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["dashboard"]

SHORTEST_TOKEN = 16


@reports_errors
def dashboard(
    config: ConfigOption = None,
    records: Annotated[
        Path | None, typer.Option(help="Delivery records to follow. [default: as configured]", show_default=False)
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            help="Your application's code, for the checklists. [default: as `migrate phase1`]",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; whoever reaches it may look.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: a free one.")] = 0,
    operator_token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that actions need; else MIGRATE_OPERATOR_TOKEN; with neither it is read-only.",
            show_default=False,
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in this machine's browser.")] = False,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Show the migration as it happens, in a browser: traffic, verdicts, mismatches, cut-over, phases, jobs, journal.

    Stays until Ctrl-C. What is not there, or does not answer, is named and asked again.

    Example: migrate dashboard --operator-token-file ~/.migrate-operator
    """
    from migrate.dashboard.actions import TOKEN_VARIABLE
    from migrate.dashboard.server import Settings, run

    settings = resolve_config(config, state_dir)
    if records is not None and not records.is_dir():
        raise UsageError(f"there is no directory {records}", "name the directory of delivery records")
    if source is not None and not source.is_dir():
        raise UsageError(f"there is no directory {source}", "name your application's code with --source")
    token = _token(operator_token_file, os.environ.pop(TOKEN_VARIABLE, ""))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    if host not in LOCAL_NAMES:
        err.print(
            f"whoever reaches {host} can read what users wrote; the page itself asks nobody who they are",
            style="yellow",
        )

    def ready(url: str) -> None:
        if json_:
            print_json({"url": url, "project": settings.project.name, "read_only": token is None, "pid": os.getpid()})
        else:
            out.print(url)
        out.file.flush()
        err.print(
            "read-only: name an --operator-token-file to act from the page" if token is None else "Ctrl-C ends it"
        )
        if open_:
            webbrowser.open(url)

    code = source.resolve() if source is not None else None
    run(Settings(settings, state_dir, records, host, port, token, code), ready)


def _token(file: Path | None, given: str) -> str | None:
    """The operator's token, or None: nobody may do anything.

    Raises: UsageError: it is too short, or the file cannot be read.
    """
    where = str(file)
    if file is None:
        where = "MIGRATE_OPERATOR_TOKEN"
        if not given.strip():
            return None
    else:
        try:
            given = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(
                f"the operator's token cannot be read from {file}: {said}", "name a file with it"
            ) from None
        if file.stat().st_mode & 0o077:
            err.print(f"note: others may read {file}: chmod 600 {file}", style="yellow")
    token = given.strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{where} holds no token of at least {SHORTEST_TOKEN} characters without spaces",
            "make one: openssl rand -hex 24",
        )
    return token
