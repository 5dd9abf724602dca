"""`migrate`: one verb, one module; the verbs are wired here. until phase 3"""

from __future__ import annotations

import typer

from migrate.cli import bridge, cleanup, drain, load, shadow
from migrate.cli.check_config import check_config
from migrate.cli.codemod import codemod
from migrate.cli.compare import compare
from migrate.cli.cost import cost
from migrate.cli.cutover import cutover
from migrate.cli.dashboard import dashboard
from migrate.cli.down import down
from migrate.cli.env import env
from migrate.cli.init import init
from migrate.cli.journal import journal
from migrate.cli.observe import observe
from migrate.cli.phases import phase_app
from migrate.cli.rehearse import rehearse
from migrate.cli.report import report, runbook
from migrate.cli.rollback import rollback
from migrate.cli.scan import scan
from migrate.cli.status import status
from migrate.cli.token import token
from migrate.cli.up import up

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


for verb in (
    init,
    check_config,
    up,
    status,
    down,
    env,
    token,
    compare,
    cutover,
    rollback,
    journal,
    scan,
    codemod,
    cost,
    observe,
    runbook,
    report,
    rehearse,
    dashboard,
):
    app.command()(verb)
app.add_typer(bridge.app, name="bridge")
app.add_typer(cleanup.app, name="cleanup")
app.add_typer(drain.app, name="drain")
for number in (1, 2, 3):
    app.add_typer(phase_app(number), name=f"phase{number}")
app.add_typer(load.app, name="load")
app.add_typer(shadow.app, name="shadow")


def main() -> None:
    """Entry point of the console script."""
    app()
