"""`migrate load compare`: both stacks under the same load; the load tests are a program of their own. until phase 3"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from types import FrameType

import typer

from migrate.cli.output import reports_errors
from migrate.errors import UsageError

__all__ = ["app"]

app = typer.Typer(help="Load on both stacks: compare.", no_args_is_help=True)
# Its options are parsed there, so that they are in one place.
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=ANYTHING)
@reports_errors
def compare(context: typer.Context) -> None:
    """Run one scenario against both stacks in turn: table, HTML page, stored result. `--help` lists its options.

    Example: migrate load compare --scenario rooms --users 50
    """
    for name in ("loadtests", "locust"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"{name} is not installed", "pip install 'ws2sse[loadtests]'")
    raise typer.Exit(_run([sys.executable, "-m", "loadtests.compare", *context.args]))


def _run(argv: list[str]) -> int:
    """Until it has ended by itself: interrupted, it still puts back what it had held, and this waits for it.

    It is in a session of its own, so that a signal reaches it once, whoever sends it.
    """
    process = subprocess.Popen(argv, start_new_session=True)

    def pass_on(number: int, _: FrameType | None) -> None:
        if process.poll() is None:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
