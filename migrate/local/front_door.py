"""The one `aws_endpoint_url` of the local AWS. until phase 3

Passes everything on to MiniStack, byte for byte and with the Host header as it came (signatures, S3 addressing and
pre-signed addresses depend on it), except:

- Lambda `Invoke`, which our own execution answers (invoke.py);
- answers that name WebSocket endpoints, which are pointed at our gateway;
- MiniStack's own `/_ministack/*` endpoints (reset, configuration), which are not reachable from here.

After a call that may change an API the gateway is told, and the caller gets the answer when the gateway has looked.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from migrate.addresses import is_loopback
from migrate.local.functions import LocalFunctions
from migrate.local.invoke import answer_invoke
from migrate.local.ports import ControlPlaneListener
from migrate.local.usage import USAGE_PATH, Usage
from migrate.local.watch import (
    Call,
    api_id_of,
    deployment_of,
    identify,
    invoked_function,
    operation_of,
    rewrite_endpoints,
)

__all__ = ["FrontDoor"]

log = logging.getLogger(__name__)

HEALTH = "/_ministack/health"
_ADMIN = ("/_ministack/", "/_localstack/")
_OPEN_ADMIN = (HEALTH, "/_ministack/lambda-code/", "/_ministack/lambda-layers/", "/_ministack/cfn-")
"""Health, what GetFunction and GetLayerVersion point at, and where CloudFormation's custom resources answer."""
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"})
_CHUNK = 256 * 1024
_MAX_HEADER = 64 * 1024
_SKIPPED = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class FrontDoor:
    """An HTTP server on 127.0.0.1:`port` in front of MiniStack at `ministack_url`.

    Args:
        websocket_base: `ws://127.0.0.1:{gateway_port}`, which WebSocket endpoints start with.
        listeners: are awaited after changes.
        ministack_up: whether MiniStack runs, for a quick and clear answer when it does not.
        usage: counts every call; `GET /_local/usage` shows it.
    """

    def __init__(
        self,
        ministack_url: str,
        functions: LocalFunctions,
        *,
        port: int,
        websocket_base: str,
        region: str,
        listeners: list[ControlPlaneListener],
        ministack_up: Callable[[], bool],
        usage: Usage,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._ministack_url = ministack_url
        self._functions = functions
        self._websocket_base = websocket_base
        self._region = region
        self._listeners = listeners
        self._ministack_up = ministack_up
        self._usage = usage
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Raises: OSError: the port is taken."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_CHUNK,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
        )
        server = web.Server(
            self._handle,
            access_log=None,
            auto_decompress=False,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
            keepalive_timeout=120.0,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=2.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        """Requests under way get two seconds."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def control_plane_changed(self) -> None:
        """Everything may be different: MiniStack was started again."""
        self._functions.changed(None)
        for listener in self._listeners:
            await listener.control_plane_changed(None)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not _from_this_machine(request):
            return _error(403, "AccessDenied", "The local AWS answers pages and programs of this machine only")
        path, _, query = request.raw_path.partition("?")
        call = identify(request.method, path, query, request.headers.get("Authorization"))
        if path == USAGE_PATH:
            return web.json_response(self._usage.snapshot())
        function = invoked_function(call)
        self._usage.call(call.service or "unsigned", operation_of(call, request.headers.get("X-Amz-Target")))
        if function is not None:
            return await answer_invoke(self._functions, request, call, function, self._region)
        if not path.startswith("/"):
            return _error(400, "InvalidRequest", "The request line must name a path")
        # Decoded, as MiniStack reads it.
        if (plain := unquote(path)).startswith(_ADMIN) and not plain.startswith(_OPEN_ADMIN):
            return _error(404, "UnknownOperationException", "MiniStack's own endpoints are not part of the local AWS")
        try:
            if call.changes_api or call.answers_with_endpoints or call.may_change_anything:
                return await self._watched(request, call)
            response = await self._pass_on(request)
            if call.changes_function is not None:
                self._functions.changed(call.changes_function or None)
        except (aiohttp.ClientError, TimeoutError) as error:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the caller is gone") from error
            return self._unavailable(error)
        return response

    def _unavailable(self, error: Exception) -> web.Response:
        state = "did not answer" if self._ministack_up() else "is not running (it is being started again)"
        log.warning("MiniStack %s: %s", state, error)
        return _error(503, "ServiceUnavailableException", f"The local AWS: MiniStack {state}.")

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        """Stream the request to MiniStack and the answer back."""
        async with self._upstream(request, request.content if request.body_exists else None) as upstream:
            response = _response(upstream)
            if request.method == "HEAD" or upstream.status in (204, 304):
                await response.prepare(request)
                return response
            length = upstream.content_length
            if length is not None and length <= _CHUNK:
                # One write for head and body.
                body = await upstream.content.read(-1)
                whole = web.Response(status=upstream.status, reason=upstream.reason, body=body)
                _copy(upstream, whole)
                return whole
            await response.prepare(request)
            try:
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
            except aiohttp.ClientPayloadError as error:
                # Part of the answer is out: the only honest end is a broken connection.
                log.warning("MiniStack broke off an answer: %s", error)
                if request.transport is not None:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response

    async def _watched(self, request: web.BaseRequest, call: Call) -> web.Response:
        """A small call whose question and answer matter to us."""
        asked = await request.read()
        async with self._upstream(request, asked if request.body_exists else None) as upstream:
            answer = await upstream.read()
        if upstream.status < 300:
            await self._tell(call, asked, answer)
            answer = rewrite_endpoints(call, answer, self._websocket_base)
        response = web.Response(status=upstream.status, reason=upstream.reason, body=answer)
        _copy(upstream, response)
        return response

    async def _tell(self, call: Call, asked: bytes, answer: bytes) -> None:
        if call.may_change_anything:
            await self.control_plane_changed()
            return
        if not call.changes_api:
            return
        api_id = api_id_of(call, answer)
        deployment = deployment_of(call, asked, answer)
        for listener in self._listeners:
            await listener.control_plane_changed(api_id)
            if deployment is not None:
                await listener.deployed(deployment.api_id, deployment.stage, deployment.deployment_id)

    def _upstream(
        self, request: web.BaseRequest, body: object
    ) -> aiohttp.client._RequestContextManager:  # the type of `session.request`
        assert self._session is not None  # noqa: S101 - started
        headers = [
            (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
            for name, value in request.raw_headers
            if name.lower() not in _HOP_BY_HOP and name.lower() not in (b"expect", b"transfer-encoding")
        ]
        return self._session.request(
            request.method,
            # As it came: another encoding of the path would break its signature.
            URL(self._ministack_url + request.raw_path, encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=_SKIPPED,
        )


def _from_this_machine(request: web.BaseRequest) -> bool:
    """Whether no page of another site is behind the request.

    MiniStack allows every origin and checks no credentials: any page open in a browser of this machine could read and
    delete what is rehearsed here, across origins or by a name of its own that resolves to 127.0.0.1.
    """
    origin = request.headers.get("Origin")
    return is_loopback(f"http://{request.host}") and (origin is None or is_loopback(origin))


def _copy(upstream: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    """The headers of MiniStack's answer, but for those of the connection."""
    response.headers.clear()
    for name, value in upstream.raw_headers:
        lower = name.lower()
        if lower not in _HOP_BY_HOP and lower not in (b"transfer-encoding", b"content-length"):
            response.headers.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))


def _response(upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
    _copy(upstream, response)
    if upstream.headers.get("Content-Length") is not None:
        response.headers["Content-Length"] = upstream.headers["Content-Length"]
    return response


def _error(status: int, code: str, message: str) -> web.Response:
    """An error that every JSON client of an AWS SDK understands."""
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    headers = {"x-amzn-ErrorType": code, "x-amzn-RequestId": str(uuid.uuid4())}
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
