"""Which environment variables a deployment may be given. until phase 3

Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from legacy_ws.deploy.environment import AUTH
from legacy_ws.errors import ConfigurationError, UsageError
from legacy_ws.settings import Settings

__all__ = ["KNOWN", "OWN_PREFIX", "TEE_PREFIX", "check_settings", "check_variable"]

OWN_PREFIX = "LEGACY_WS_"
TEE_PREFIX = "WS2SSE_TEE_"
"""Of the variables that `migrate` puts beside ours and takes away again."""

# Lambda API reference, `Environment`; developer guide, "Working with Lambda environment variables".
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_RESERVED = {
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}


class _Asked(Mapping[str, str]):
    """An environment with nothing in it, which remembers what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _known() -> frozenset[str]:
    asked = _Asked()
    Settings.from_env(asked)
    return frozenset(asked.names)


KNOWN = _known()
"""The LEGACY_WS_* settings that the functions behind the routes read: what `Settings.from_env` asks for."""


def check_variable(name: str) -> None:
    """Raises: UsageError: no function may be given a variable of this name, or none of ours would read it."""
    if name in AUTH:
        # A secret in every function, and an issuer or audience that the next deployment does not know of.
        raise UsageError(f"{name} would be given to every function", f"give it to the authorizer alone: {AUTH[name]}")
    if "SECRET" in name:
        raise UsageError(
            f"{name} would be given to every function",
            "give it to the one that needs it (aws lambda update-function-configuration): deploy keeps it there",
        )
    if name in _RESERVED:
        raise UsageError(f"{name} is reserved: Lambda sets it itself", "leave it out")
    if name.startswith(TEE_PREFIX):
        raise UsageError(f"{name} belongs to the tee", "`migrate tee` sets and removes it")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a variable that Lambda takes", "a letter, then letters, digits and _")
    if name.startswith(OWN_PREFIX) and name not in KNOWN:
        close = difflib.get_close_matches(name, sorted(KNOWN), n=1)
        raise UsageError(
            f"there is no setting {name}",
            f"did you mean {close[0]}?" if close else f"known settings: {', '.join(sorted(KNOWN))}",
        )


def check_settings(variables: Mapping[str, str]) -> None:
    """The functions' own check, before anything is made.

    Raises: UsageError: one of the LEGACY_WS_* values is none that they would take.
    """
    try:
        Settings.from_env(variables)
    except ConfigurationError as error:
        raise UsageError(
            error.message, f"--env {error.name}=VALUE, or --env {error.name}= to go back to the default"
        ) from None
