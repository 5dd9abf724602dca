"""`migrate token`: a token both local stacks accept. until phase 3"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from migrate.cli.options import StateDirOption
from migrate.cli.output import reports_errors
from migrate.errors import UsageError
from migrate.tokens import mint
from migrate.up.state import DEFAULT_STATE_DIR, StateDir

__all__ = ["token"]


@reports_errors
def token(
    user: Annotated[str, typer.Option(help="Becomes the claim `sub`.")],
    tenant: Annotated[str, typer.Option(help="Becomes the claim `tenant_id`.")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be given several times.")] = None,
    ttl_s: Annotated[int, typer.Option(min=-86400, max=86400, help="Life time, seconds.")] = 3600,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Print a token for a user of the local stacks (HS256, signed with the state directory's own secret).

    Example: migrate token --user alice --tenant demo
    """
    state = StateDir(state_dir)
    if not state.jwt_secret_file.exists():
        raise UsageError(f"there is no secret in {state.path}", "it is made by the first `migrate up`")
    if not user or not tenant:
        raise UsageError("--user and --tenant must not be empty")
    sys.stdout.write(mint(user, tenant, state.jwt_secret(), tuple(scope or ()), ttl_s) + "\n")
