"""Fetches a key that a token names before the routes check it. Plain ASGI, only where keys come from an issuer.

Checking itself then needs no waiting, so that routes stay free of it.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from sse_service.auth import bearer_token
from sse_service.errors import UnauthorizedError
from sse_service.jwks import KeySet
from sse_service.tokens import key_id

__all__ = ["KeysFirst"]


class KeysFirst:
    def __init__(self, app: ASGIApp, keys: KeySet) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"authorization":
                    await self._ensure(value.decode("latin-1"))
                    break
        await self._app(scope, receive, send)

    async def _ensure(self, header: str) -> None:
        try:
            kid = key_id(bearer_token(header))
        except UnauthorizedError:
            return
        if kid:
            await self._keys.ensure(kid)
