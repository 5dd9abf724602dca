"""No token in any URL: refused before a path is looked at, so that a mistyped one is no way around it. Plain ASGI."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from sse_service.api.problems import of_request_error
from sse_service.auth import refuse_token_in_url
from sse_service.errors import InvalidInputError

__all__ = ["NoTokenInUrl"]


class NoTokenInUrl:
    """Inside of CORS: the page that sent it is to be able to read why it was refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("query_string"):
            query = scope["query_string"].decode("latin-1")
            try:
                refuse_token_in_url({name for name, _ in parse_qsl(query, keep_blank_values=True)})
            except InvalidInputError as error:
                await of_request_error(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
