"""The command line `legacy-ws` over the deprecated stack (CL1-CL5). until phase 3"""

from __future__ import annotations

import os
import sys

import typer

from legacy_ws.cli import connections, functions, stack, tables, template, token, websocket

__all__ = ["app", "main"]

app = typer.Typer(
    name="legacy-ws",
    help="The deprecated WebSocket stack: API Gateway WebSocket, Lambda and DynamoDB, on AWS or a local AWS.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (stack, template, websocket, connections, functions, tables, token):
    group.register(app)


def main() -> None:
    """Console script."""
    try:
        app()
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
