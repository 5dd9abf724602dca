"""`migrate`: one verb, one module; the verbs are wired here. until phase 3"""

from __future__ import annotations

import typer

__all__ = ["app", "main"]

app = typer.Typer(
    name="migrate",
    help="Move a real-time application from API Gateway WebSocket to Server-Sent Events + REST.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Move a real-time application from API Gateway WebSocket to Server-Sent Events + REST."""


def main() -> None:
    """Entry point of the console script."""
    app()
