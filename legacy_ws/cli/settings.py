"""Options of a stack that `deploy` and `template` share. until phase 3"""

from __future__ import annotations

from typing import Annotated

import typer

from legacy_ws.deploy.variables import check_variable
from legacy_ws.errors import UsageError

__all__ = ["NoAccessLog", "Pairs", "environment"]

Pairs = Annotated[
    list[str] | None, typer.Option("--env", help="NAME=VALUE for every function; NAME= takes it away; may be repeated.")
]
NoAccessLog = Annotated[
    bool | None,
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
        if not separator or not key:
            raise UsageError("--env takes NAME=VALUE", "for example --env LEGACY_WS_MAX_MESSAGE_BYTES=32768")
        check_variable(key)
        found[key] = value
    return found
