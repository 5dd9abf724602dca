"""`migrate rehearse`: the whole migration on this machine. until phase 3"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrate.cli.options import JsonOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.errors import ExitCode, MigrateError, UsageError

if TYPE_CHECKING:
    from migrate.rehearse.play import Rehearsal, Result

__all__ = ["rehearse"]

DEFAULT_OUT = Path(".migrate") / "rehearsals"


@reports_errors
def rehearse(
    app: Annotated[str, typer.Option("--app", help="Which legacy application: rooms, direct or layers.")] = "rooms",
    all_: Annotated[bool, typer.Option("--all", help="All of them, one after the other.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the local AWS's state and the logs.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for the reports of rehearsals.")
    ] = DEFAULT_OUT,
    json_: JsonOption = False,
) -> None:
    """Do the whole migration on the local AWS, unattended, with people who talk all the while and keep their records.

    Stacks of its own, whatever `migrate up` runs. Exit code 0: the real thing would have lost nothing; 3: it would
    have, and which message in which step, or a command would have stopped it.

    Example: migrate rehearse --app layers
    """
    from migrate.rehearse.applications import APPLICATIONS
    from migrate.rehearse.play import Rehearsal

    if app not in APPLICATIONS:
        raise UsageError(f"there is no application {app!r}", f"known are {', '.join(APPLICATIONS)}")
    results = []
    for name in list(APPLICATIONS) if all_ else [app]:
        folder = (output / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}").resolve()
        folder.mkdir(parents=True, mode=0o700)
        began = time.monotonic()
        err.print(f"rehearsal of {name} in {folder}")

        def say(step: str, seconds: float | None, facts: dict[str, Any], began: float = began) -> None:
            at = f"{time.monotonic() - began:6.1f} s"
            if seconds is None:
                err.print(f"{at}  {step} …")
            else:
                known = ", ".join(f"{key} {value}" for key, value in facts.items())
                err.print(f"{at}    done in {seconds:g} s" + (f": {known}" if known else ""))

        result = asyncio.run(_interruptible(Rehearsal(name, folder, say)))
        results.append(result)
        if not keep and result.passed:
            shutil.rmtree(folder / "state", ignore_errors=True)
        if not json_:
            _show(result)
    if json_:
        views = [{"passed": one.passed, **asdict(one)} for one in results]
        print_json(views if all_ else views[0])
    if not all(one.passed for one in results):
        raise typer.Exit(int(ExitCode.FAILED))


async def _interruptible(rehearsal: Rehearsal) -> Result:
    """Told to end (SIGTERM, SIGHUP; Ctrl-C does it by itself), it takes its stacks down first."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await rehearsal.run()
    except asyncio.CancelledError:
        raise MigrateError("the rehearsal was interrupted; its stacks are down") from None


def _show(result: Result) -> None:
    out.print(f"\n{'PASS' if result.passed else 'FAIL'}  {result.app}, {result.seconds:g} s")
    if result.problem:
        out.print(f"  {result.problem}")
    for name, one in result.by_step.items():
        out.print(
            f"  {name:62} {one['said']:5} said {one['heard']:6} heard {one['lost']:4} lost {one['doubled']:4} doubled"
        )
    for line in result.wrong[:10]:
        out.print(f"  {line}")
    if len(result.wrong) > 10:
        out.print(f"  and {len(result.wrong) - 10} more: people.json")
    for title, lines in (("deleted", result.deleted), ("restored in a trial", result.restored)):
        if lines:
            out.print(f"  {title}: {', '.join(lines)}")
    for item, why in result.waived.items():
        out.print(f"  waived: {item} ({why})")
    if result.report:
        out.print(f"  report: {result.report}")
    out.print(f"  records of the people: {result.folder}/people.json")
