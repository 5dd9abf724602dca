"""Where both stacks are and how to be a user of them, from what `migrate up` wrote. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from migrate.errors import UsageError
from migrate.tokens import mint

__all__ = ["UpInfo"]

TOKEN_TTL_S = 3600


@dataclass(frozen=True, slots=True)
class UpInfo:
    """Addresses of both stacks and the secret to sign tokens with.

    Args:
        websocket_url: ws:// address of the rooms application, stage included.
        sse_url: http:// address of the SSE service, no trailing slash.
        secret: HS256 secret of both stacks; never shown.
    """

    websocket_url: str
    sse_url: str
    tenant: str
    rooms: tuple[str, ...]
    secret: str = field(repr=False)

    @classmethod
    def load(cls, state_dir: Path) -> Self:
        """Read `up.json` of a state directory and the secret it names.

        Raises: UsageError: nothing was started there, or the file is not what `migrate up` writes.
        """
        path = state_dir / "up.json"
        try:
            up = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            message = f"no stack is running: there is no {path}"
            raise UsageError(message, "start both with `migrate up`") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}", "restart both with `migrate up`") from None
        if not isinstance(up, dict):
            raise UsageError(f"{path} is not what `migrate up` writes", "restart both with `migrate up`")
        return cls.from_mapping(up, state_dir)

    @classmethod
    def from_mapping(cls, up: Mapping[str, Any], state_dir: Path | None = None) -> Self:
        """From the contents of up.json; `jwt_secret` in it replaces the secret's file.

        Raises: UsageError: an entry is missing, or the secret's file cannot be read.
        """
        try:
            urls = up["legacy_ws_url"]
            return cls(
                websocket_url=str(urls["rooms"] if isinstance(urls, Mapping) else urls),
                sse_url=str(up["sse_url"]).rstrip("/"),
                tenant=str(up["tenant"]),
                rooms=tuple(str(room) for room in up["rooms"]),
                secret=str(up.get("jwt_secret") or _secret(Path(up["jwt"]["secret_file"]), state_dir)),
            )
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"up.json is not complete yet: {error} is missing",
                "wait until `migrate up` says that both stacks are ready",
            ) from None

    def headers(self, user: str) -> dict[str, str]:
        """Authorization of a user, with a token made now."""
        return {"Authorization": f"Bearer {mint(user, self.tenant, self.secret, ttl_s=TOKEN_TTL_S)}"}

    @property
    def stream_url(self) -> str:
        return f"{self.sse_url}/api/chat/stream"

    @property
    def send_url(self) -> str:
        return f"{self.sse_url}/api/chat/send"


def _secret(file: Path, state_dir: Path | None) -> str:
    if not file.is_absolute() and state_dir is not None and not file.exists():
        file = state_dir / file
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        message = f"the secret of both stacks cannot be read from {file}: {error.strerror}"
        raise UsageError(message, "run this as the user who ran `migrate up`") from None
