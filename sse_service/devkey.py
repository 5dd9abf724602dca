"""A key for trying the service out: made once, readable by its owner only, used where none is set.

Only for the memory log on a loopback address; anything that serves real users has SSE_JWT_SECRET.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from sse_service.addresses import is_loopback
from sse_service.errors import SettingsError, StartupError
from sse_service.settings import Secret, Settings

__all__ = ["key_file", "missing_key", "with_key"]


def key_file(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "sse-service" / "jwt-secret"


def missing_key(settings: Settings) -> str:
    """Why the service needs a key of its own; empty: it has one, or may make one up."""
    if settings.checks_tokens or settings.is_durable or is_loopback(settings.host):  # durable: said by the settings
        return ""
    return f"SSE_JWT_SECRET is not set: needed to listen on SSE_HOST={settings.host!r}, which others can reach"


def with_key(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """`settings` with a key to check tokens with. Raises SettingsError, StartupError."""
    if settings.checks_tokens:
        return settings
    if problem := missing_key(settings):
        raise SettingsError([problem])
    path = key_file(environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return settings.replace(jwt_secret=Secret(path.read_text().strip()))
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        return settings.replace(jwt_secret=Secret(path.read_text().strip()))
    except OSError as error:
        raise StartupError(f"no key at {path}: {error.strerror}", "set SSE_JWT_SECRET") from None
