"""The dashboard over HTTP: page, state, stream, actions. until phase 3 (MG18)

Whoever reaches it may look: it is meant for this machine. A request must name this machine or the address that it
listens on (a name of somebody else's that leads here, "DNS rebinding", is refused), nothing is given to other sites,
and what changes something needs the operator's token, which no page and no address ever holds.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from migrate.addresses import LOCAL_NAMES, host_name
from migrate.dashboard.action_table import WrongActionError
from migrate.dashboard.actions import BusyError, Operator
from migrate.dashboard.hub import Hub
from migrate.dashboard.stream import StreamResponse

__all__ = ["Access", "create_app"]

STATIC = Path(__file__).parent / "static"
MOST_BODY = 16 << 10
MOST_READERS = 64
PROBLEM = "application/problem+json"
READ_ONLY = "this dashboard is read-only: it was started without a token"
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
log = logging.getLogger("migrate.dashboard")


@dataclass(frozen=True)
class Access:
    """Who may do what.

    Attributes:
        host: that is listened on.
        token: the operator's; None: nobody may do anything. Never shown.
    """

    host: str = "127.0.0.1"
    token: str | None = None

    def __repr__(self) -> str:
        return f"Access({self.host!r}, {'read-only' if self.token is None else 'with a token'})"

    def is_us(self, host: str) -> bool:
        """Whether a Host header names this machine. Its port is not compared: a tunnel may have another one."""
        name = host_name(host)
        if name in LOCAL_NAMES or name == self.host.lower():
            return True
        if self.host not in ("0.0.0.0", "::"):
            return False
        # Listening everywhere: by number, which no name of somebody else's is, or by this machine's own name.
        return name == socket.gethostname().lower() or _is_number(name)

    def is_operator(self, authorization: str) -> bool:
        """Compared in constant time."""
        kind, _, given = authorization.partition(" ")
        wanted = (self.token or "").encode()
        return bool(wanted) and kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted)


def create_app(
    hub: Hub,
    operator: Operator | None = None,
    access: Access | None = None,
    lifespan: Callable[[Any], Any] | None = None,
    static: Path = STATIC,
) -> ASGIApp:
    """The application.

    Args:
        operator: carries out actions; None: read-only, whatever the access says.
    """
    access = access or Access()
    view = _View(hub, operator if access.token is not None else None, access, static)
    routes = [
        Route("/", view.page, methods=["GET"]),
        Route("/state", view.state, methods=["GET"]),
        Route("/events", view.events, methods=["GET"]),
        Route("/actions", view.actions, methods=["POST"]),
        Route("/actions/check", view.check, methods=["POST"]),
        Mount("/static", StaticFiles(directory=static, check_dir=False)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: _not_found, 405: _not_found})
    return _Guard(app, access)


class _View:
    def __init__(self, hub: Hub, operator: Operator | None, access: Access, static: Path) -> None:
        self._hub = hub
        self._operator = operator
        self._access = access
        self._page = static / "index.html"
        self._streams = 0

    async def page(self, _: Request) -> Response:
        if not self._page.is_file():
            return _problem(HTTPStatus.NOT_FOUND, "this installation has no page; GET /state and /events are there")
        return FileResponse(self._page, headers={"cache-control": "no-cache"})

    async def state(self, _: Request) -> Response:
        return Response(self._hub.snapshot(), media_type="application/json", headers={"cache-control": "no-store"})

    async def events(self, request: Request) -> Response:
        if self._streams >= MOST_READERS:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_READERS} streams are open", {"retry-after": "10"})
        # Counted here: of many that ask at once, none is a reader of the hub before the last of them has been let in.
        self._streams += 1
        return StreamResponse(self._hub.frames(request.headers.get("last-event-id", "")), self._stream_ended)

    def _stream_ended(self) -> None:
        self._streams -= 1

    async def check(self, request: Request) -> Response:
        """Whether the token is the operator's; nothing is done. Who guesses is refused as with an action."""
        return self._refusal(request) or Response(status_code=204, headers={"cache-control": "no-store"})

    def _refusal(self, request: Request) -> Response | None:
        """In this order: no operator, another site, no token."""
        headers = request.headers
        if self._operator is None:
            return _problem(HTTPStatus.FORBIDDEN, READ_ONLY)
        if not _is_from(headers.get("origin", ""), headers.get("host", "")):
            return _problem(HTTPStatus.FORBIDDEN, "the Origin of a request must be the dashboard itself")
        if not self._access.is_operator(headers.get("authorization", "")):
            log.warning("an action without the operator's token was refused")
            challenge = {"www-authenticate": 'Bearer realm="dashboard"'}
            return _problem(HTTPStatus.UNAUTHORIZED, "the operator's token is missing or wrong", challenge)
        return None

    async def actions(self, request: Request) -> Response:
        """Refused in this order: no operator, another site, no token, no JSON, no such action."""
        if (refusal := self._refusal(request)) is not None or self._operator is None:
            return refusal or _problem(HTTPStatus.FORBIDDEN, READ_ONLY)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
        body = await _body(request)
        if body is None:
            return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {MOST_BODY} bytes")
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("execute", False), bool):
            return _problem(HTTPStatus.BAD_REQUEST, "send {action, arguments, execute: true or false}")
        try:
            answer = await self._operator.act(
                asked.get("action"), asked.get("arguments") or {}, execute=asked.get("execute", False)
            )
        except WrongActionError as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error))
        except OSError:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "this machine starts no more processes")
        except BusyError:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "several actions are under way", {"retry-after": "5"})
        return JSONResponse(answer.as_json(), headers={"cache-control": "no-store"})


class _Guard:
    """Refuses requests that do not mean us, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                if b"cache-control" not in given:
                    more.append((b"cache-control", b"no-cache"))
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._access.is_us(hosts[0]):
            refusal = _problem(HTTPStatus.FORBIDDEN, "the Host of a request must be the address of the dashboard")
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)


def _is_from(origin: str, host: str) -> bool:
    """Whether an Origin header (RFC 6454, 7) names the host that was asked."""
    try:
        return bool(origin) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as RFC 9457 has it."""
    value = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    given = {"cache-control": "no-store", **(headers or {})}
    return Response(json.dumps(value), int(status), given, media_type=PROBLEM)


async def _not_found(_: Request, error: Exception) -> Response:
    status = HTTPStatus(getattr(error, "status_code", 404))
    return _problem(status, "there is /, /state, /events, /actions and /static", getattr(error, "headers", None))


async def _body(request: Request) -> bytes | None:
    """None: it is too long."""
    body = b""
    chunks: AsyncIterator[bytes] = request.stream()
    try:
        async for chunk in chunks:
            body += chunk
            if len(body) > MOST_BODY:
                return None
    except ClientDisconnect:
        return b""
    return body


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
