"""Options of a stack that `deploy` and `template` share. until phase 3"""

from __future__ import annotations

from typing import Annotated

import typer

from legacy_ws.errors import UsageError

__all__ = ["NoAccessLog", "Pairs", "environment"]

Pairs = Annotated[list[str] | None, typer.Option("--env", help="NAME=VALUE for every function; may be repeated.")]
NoAccessLog = Annotated[
    bool,
    typer.Option(
        "--access-log/--no-access-log",
        help="One JSON line per event; the account needs a CloudWatch role for API Gateway.",
    ),
]


def environment(pairs: list[str]) -> dict[str, str]:
    """`NAME=VALUE` of --env. Raises: UsageError: no such pair, or a secret."""
    found = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.isidentifier():
            raise UsageError("--env takes NAME=VALUE", "for example --env LEGACY_WS_MAX_MESSAGE_BYTES=32768")
        if "SECRET" in key:
            raise UsageError(
                f"{key} would be given to every function",
                "give it to the authorizer alone: --jwt-secret of deploy, parameter JwtSecret of a template",
            )
        found[key] = value
    return found
