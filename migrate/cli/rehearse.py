"""`migrate rehearse`: the whole migration on this machine. until phase 3"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from migrate.cli.options import JsonOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from migrate.rehearse.result import Result
    from migrate.rehearse.stacks import Stack

__all__ = ["rehearse"]

DEFAULT_OUT = Path(".migrate") / "rehearsals"


@reports_errors
def rehearse(
    app: Annotated[str, typer.Option("--app", help="Which legacy application: rooms, direct or layers.")] = "rooms",
    all_: Annotated[bool, typer.Option("--all", help="All of them, one after the other.")] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Your own stack's migrate.toml, instead.", show_default=False),
    ] = None,
    package: Annotated[
        list[str] | None,
        typer.Option("--package", help="NAME=PATH: a function's zip or directory; as often as needed, with --config."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="[FUNCTION:]NAME=VALUE: a stand-in for an environment, with --config; no secret."),
    ] = None,
    people: Annotated[int, typer.Option("--people", min=3, max=50, help="How many people talk.")] = 8,
    hold: Annotated[float, typer.Option("--hold", min=0, help="Seconds to hold each step of the cut-over.")] = 4.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the local AWS's state and the logs.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for the reports of rehearsals.")
    ] = DEFAULT_OUT,
    json_: JsonOption = False,
) -> None:
    """Do the whole migration on the local AWS, unattended, with people who talk all the while and keep their records.

    Stacks of its own, whatever `migrate up` runs. Exit code 0: the real thing would have lost nothing; 3: it would
    have, and which message in which step, or a command would have stopped it; 4: this machine was too busy to tell.

    Example: migrate rehearse --config migrate.toml --package chat-send=build/send.zip
    """
    from migrate.rehearse.play import Rehearsal
    from migrate.rehearse.stage import Pace

    stacks = _stacks(app, all_, config, package or [], env or [])
    results = []
    for stack in stacks:
        folder = _new_folder(output, f"{stack.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        began = time.monotonic()
        err.print(f"rehearsal of {stack.name} in {folder}")
        for limit in stack.not_given:
            err.print(f"not given: {limit.what}\n        to do: {limit.do}", markup=False)
        for limit in stack.limits:
            err.print(f"not rehearsed: {limit.what}\n        to do: {limit.do}", markup=False)

        def say(step: str, seconds: float | None, facts: dict[str, Any], began: float = began) -> None:
            at = f"{time.monotonic() - began:6.1f} s"
            if seconds is None:
                err.print(f"{at}  {step} …")
            else:
                known = ", ".join(f"{key} {_said(value)}" for key, value in facts.items())
                err.print(f"{at}    done in {seconds:g} s" + (f": {known}" if known else ""))

        result = asyncio.run(_interruptible(Rehearsal(stack, folder, say, Pace(people, hold))))
        results.append(result)
        if not keep and result.passed:
            shutil.rmtree(folder / "state", ignore_errors=True)
        if not json_:
            _show(result)
    if json_:
        views = [{"passed": one.passed, **asdict(one)} for one in results]
        print_json(views if all_ else views[0])
    if any(not one.passed and not one.is_late for one in results):
        raise typer.Exit(int(ExitCode.FAILED))
    if not all(one.passed for one in results):
        raise typer.Exit(int(ExitCode.INCONCLUSIVE))


def _new_folder(output: Path, name: str) -> Path:
    """One that nobody else has: two may begin in the same second, or a clock is set back."""
    for number in count(2):
        folder = (output / name).resolve()
        try:
            folder.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            name = f"{name.partition('.')[0]}.{number}"
        else:
            return folder
    raise AssertionError


def _stacks(app: str, all_: bool, config: Path | None, package: list[str], env: list[str]) -> list[Stack]:
    """What is to be rehearsed. Raises: UsageError."""
    from migrate.config.load import load_config
    from migrate.rehearse.applications import APPLICATIONS
    from migrate.rehearse.packages import read_packages
    from migrate.rehearse.stacks import Own, Shipped

    if config is not None:
        if all_:
            raise UsageError("--config and --all contradict each other", "leave one of them out")
        described = load_config(config).settings
        stand_ins = _environments(env, {one.name for one in described.functions})
        return [Own(described, read_packages(package), stand_ins, str(config))]
    if package or env:
        raise UsageError("--package and --env are for a stack of your own", "name its description with --config")
    if app not in APPLICATIONS:
        raise UsageError(f"there is no application {app!r}", f"known are {', '.join(APPLICATIONS)}")
    return [Shipped(name) for name in (list(APPLICATIONS) if all_ else [app])]


def _environments(given: list[str], functions: set[str]) -> dict[str, dict[str, str]]:
    """`[FUNCTION:]NAME=VALUE` by function; "" is for all."""
    found: dict[str, dict[str, str]] = {}
    for number, one in enumerate(given, 1):
        left, is_pair, value = one.partition("=")
        function, _, name = left.rpartition(":")
        if not is_pair or not name or (function and function not in functions):
            known = ", ".join(sorted(functions))
            # Without a "=" all of it may be the value.
            shown = f"--env {left}=..." if is_pair else f"--env number {number}"
            raise UsageError(f"{shown} is not [FUNCTION:]NAME=VALUE", f"the functions: {known}")
        found.setdefault(function, {})[name] = value
    return found


class _Rehearses(Protocol):
    async def run(self) -> Result: ...


async def _interruptible(rehearsal: _Rehearses) -> Result:
    """Told to end (SIGTERM, SIGHUP; Ctrl-C does it by itself), it takes its stacks down first."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await rehearsal.run()
    except asyncio.CancelledError:
        err.print("error: the rehearsal was interrupted; its stacks are down", style="bold red")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None


def _said(fact: Any) -> str:
    return ", ".join(f"{key} {value}" for key, value in fact.items()) if isinstance(fact, dict) else str(fact)


def _show(result: Result) -> None:
    verdict = "PASS" if result.passed else "UNSURE" if result.is_late else "FAIL"
    out.print(f"\n{verdict}  {result.app}, {result.seconds:g} s")
    if result.problem:
        out.print(f"  {result.problem}", markup=False)
    if result.is_late:
        out.print("  it came in the end: this machine was too busy to tell; run it again on a quiet one")
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
    for line in result.scheduled:
        out.print(f"  {line}", markup=False)
    for limit in result.not_rehearsed:
        out.print(f"  not rehearsed: {limit['what']}\n          to do: {limit['do']}", markup=False)
    for item, why in result.waived.items():
        out.print(f"  waived: {item} ({why})")
    if result.report:
        out.print(f"  report: {result.report}")
    out.print(f"  records of the people: {result.folder}/people.json")
