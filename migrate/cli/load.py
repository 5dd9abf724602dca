"""`migrate load compare`: both stacks under the same load; the load tests are a program of their own. until phase 3"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

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
    done = subprocess.run([sys.executable, "-m", "loadtests.compare", *context.args], check=False)
    raise typer.Exit(done.returncode)
