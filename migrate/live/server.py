"""The page's own small server: static files, and addresses with short-lived tokens for the page's users.
until phase 3

It hands out tokens to whoever can reach it, so it listens on the loopback interface, answers only requests
whose Host is this machine (another site's name that resolves to 127.0.0.1, "DNS rebinding", is refused),
sends no CORS headers, and refuses `/config.json` to requests that the browser marks as coming from another
site.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web

from migrate.addresses import LOCAL_NAMES, host_name
from migrate.clients import UpInfo
from migrate.errors import UsageError
from migrate.tokens import mint
from migrate.up.sample_traffic import PEOPLE

__all__ = ["PageConfig", "create_app", "serve"]

TOKEN_TTL_S = 600
VIEWER = "viewer"
OWN = files("migrate.live") / "static"
STATIC = {
    "/": (OWN / "index.html", "text/html"),
    "/app.js": (OWN / "app.js", "text/javascript"),
    "/streams.js": (OWN / "streams.js", "text/javascript"),
    "/pairs.js": (OWN / "pairs.js", "text/javascript"),
    "/style.css": (OWN / "style.css", "text/css"),
    "/favicon.svg": (OWN / "favicon.svg", "image/svg+xml"),
    # The dashboard's page reads the same format.
    "/event-parser.js": (files("migrate.dashboard") / "static" / "event-parser.js", "text/javascript"),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class PageConfig:
    """What the page needs to know.

    Args:
        websocket_url, sse_url, tenant, rooms: as in UpInfo.
        users: who can be chosen as the sender; the page itself listens as "viewer".
        secret: HS256 secret of both stacks; it never leaves this process.
    """

    websocket_url: str
    sse_url: str
    tenant: str
    rooms: tuple[str, ...]
    users: tuple[str, ...]
    secret: str = field(repr=False)

    @classmethod
    def from_up(cls, up: Mapping[str, Any], secret: str) -> Self:
        """From the contents of up.json. Raises: UsageError."""
        info = UpInfo.from_mapping({**up, "jwt_secret": secret})
        users = ("you", *(person.name for person in PEOPLE))
        return cls(info.websocket_url, info.sse_url, info.tenant, info.rooms, users, info.secret)

    def document(self, now: float) -> dict[str, Any]:
        """The page's /config.json, with tokens minted at `now` (epoch seconds).

        {"websocket_url": ..., "sse_url": ..., "tenant": "demo", "rooms": [...], "viewer": {"name", "token"},
         "users": [{"name", "token"}], "expires_at": epoch seconds}
        """

        def user(name: str) -> dict[str, str]:
            token = mint(name, self.tenant, self.secret, ttl_s=TOKEN_TTL_S, now=now)
            return {"name": name, "token": token}

        return {
            "websocket_url": self.websocket_url,
            "sse_url": self.sse_url,
            "tenant": self.tenant,
            "rooms": list(self.rooms),
            "viewer": user(VIEWER),
            "users": [user(name) for name in self.users],
            "expires_at": int(now) + TOKEN_TTL_S,
        }


def create_app(config: PageConfig, clock: Callable[[], float] = time.time) -> web.Application:
    """The page as an aiohttp application."""
    app = web.Application(middlewares=[_guard(config)])
    for path, (file, kind) in STATIC.items():
        app.router.add_get(path, _static(file.read_bytes(), kind))

    async def config_json(request: web.Request) -> web.Response:
        # Absent in clients that are no browsers; "none" is typed into the address bar.
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise web.HTTPForbidden(text="not for other sites\n")
        return web.json_response(config.document(clock()))

    app.router.add_get("/config.json", config_json)
    return app


async def serve(host: str, port: int, config: PageConfig, stop: asyncio.Event) -> None:
    """Serve the page until `stop` is set.

    Raises: UsageError: the port cannot be used.
    """
    runner = web.AppRunner(create_app(config), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            message = f"the live page cannot use port {port} on {host}: {error.strerror}"
            raise UsageError(message, "choose another port for the page") from error
        await stop.wait()
    finally:
        await runner.cleanup()


def _static(content: bytes, kind: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return handler


def _guard(config: PageConfig) -> Any:
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": _policy(config),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if host_name(request.headers.get("Host", "")) not in LOCAL_NAMES:
            response: web.StreamResponse = web.Response(status=403, text="this page answers to this machine only\n")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=error.text)
        response.headers.update(headers)
        return response

    return guard


def _policy(config: PageConfig) -> str:
    """Everything from here, connections to the two stacks only."""
    stacks = " ".join(
        f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, (config.websocket_url, config.sse_url))
    )
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {stacks}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
