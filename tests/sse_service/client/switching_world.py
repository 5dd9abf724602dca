"""A chat that is on both transports: one room behind a native WebSocket server and behind virtual connections.

    python switching_world.py        prints {"ws", "sse", "control"} and runs until its input ends

Whoever says something is heard by every connection of the room, whichever transport it came by, as a broadcast of
Lambdas would have it: each connection gets it a little later than the last, in order. What is said is written down, so
that a test can tell whether something went up twice, never, or in another order. `ask` is answered to the asking
connection alone, in parts.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
import types
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
from aiohttp import WSMsgType, web

from sse_service.app import create_app, make_backends
from sse_service.server import listen, make_server
from sse_service.settings import Secret, Settings
from sse_service.testing import make_token
from sse_service.virtual.errors import GoneError

DIST = Path(__file__).parents[3] / "sse_service" / "client" / "dist"
SECRET = "a-key-for-tests-only-0123456789abcdef"
TENANT = "demo"
API = """
route_selection = "$request.body.action"
[authorizers.token]
handler = "switching_world_handlers:authorize"
identity_sources = ["route.request.querystring.token"]
[routes."$connect"]
handler = "switching_world_handlers:connect"
authorizer = "token"
[routes."$disconnect"]
handler = "switching_world_handlers:disconnect"
[routes."$default"]
handler = "switching_world_handlers:default"
"""

Post = Callable[[str], Awaitable[None]]


class Flags:
    """The table: what `flag` wrote last."""

    def __init__(self) -> None:
        self.percent, self.epoch = 0.0, 1

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self) -> list[Mapping[str, Mapping[str, object]]]:
        flag = {"pk": {"S": "flags"}, "sk": {"S": "chat#*"}, "feature": {"S": "chat"}, "tenant": {"S": "*"}}
        return [{**flag, "percent": {"N": str(self.percent)}, "epoch": {"N": str(self.epoch)}, "salt": {"S": "s"}}]


class Room:
    """connections: by id, with what was to be sent to each in order; late_ms: how much later each may get it."""

    def __init__(self) -> None:
        self.connections: dict[str, asyncio.Queue[str]] = {}
        self.users: dict[str, tuple[str, str]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.heard: list[list[Any]] = []
        self.late_ms = 20.0
        self.count = 0

    def enter(self, connection: str, user: str, kind: str, post: Post) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.connections[connection], self.users[connection] = queue, (user, kind)

        async def write() -> None:
            while True:
                texts = [await queue.get()]
                await asyncio.sleep(random.random() * self.late_ms / 1000)
                while not queue.empty():
                    texts.append(queue.get_nowait())
                try:
                    for text in texts:
                        await post(text)
                except (GoneError, ConnectionError):
                    return

        self.tasks[connection] = asyncio.create_task(write())

    def leave(self, connection: str) -> None:
        self.connections.pop(connection, None)
        self.users.pop(connection, None)
        if task := self.tasks.pop(connection, None):
            task.cancel()

    async def take(self, connection: str, text: str) -> None:
        said = json.loads(text)
        user, kind = self.users.get(connection, ("", ""))
        self.heard.append([user, said.get("n"), kind])
        if said["action"] == "ask":
            for part in range(5):
                await asyncio.sleep(0.1)
                if queue := self.connections.get(connection):
                    queue.put_nowait(json.dumps({"type": "answer", "n": said["n"], "part": part}))
            return
        self.count += 1
        frame = json.dumps({"type": "message", "id": self.count, "from": user, "n": said["n"]})
        for queue in self.connections.values():
            queue.put_nowait(frame)


class World:
    def __init__(self) -> None:
        self.flags = Flags()
        self.room = Room()
        self.refuses_ws = self.refuses_sse = False
        self.sockets: set[web.WebSocketResponse] = set()
        self.app: Any = None
        self._stack = AsyncExitStack()
        self.urls: dict[str, str] = {}

    # The WebSocket side -----------------------------------------------------------------------------------

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if self.refuses_ws:
            return web.Response(status=503)
        user = jwt.decode(request.query["token"], SECRET, algorithms=["HS256"])["sub"]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = f"ws-{id(socket)}"
        self.sockets.add(socket)
        self.room.enter(connection, user, "websocket", socket.send_str)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self.room.take(connection, message.data)
        finally:
            self.sockets.discard(socket)
            self.room.leave(connection)
        return socket

    # The service's side -----------------------------------------------------------------------------------

    def handlers(self) -> types.ModuleType:
        module: Any = types.ModuleType("switching_world_handlers")

        def authorize(event: dict[str, Any], context: Any) -> dict[str, Any]:
            if self.refuses_sse:
                raise PermissionError("Unauthorized")
            claims = jwt.decode(event["queryStringParameters"]["token"], SECRET, algorithms=["HS256"])
            statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
            policy = {"Version": "2012-10-17", "Statement": [statement]}
            identity = {"userId": claims["sub"], "tenantId": claims["tenant_id"]}
            return {"principalId": claims["sub"], "policyDocument": policy, "context": identity}

        async def connect(event: dict[str, Any], context: Any) -> dict[str, Any]:
            found = event["requestContext"]
            connection, user = found["connectionId"], found["authorizer"]["userId"]
            self.room.enter(connection, user, "sse", lambda text: context.connections.post(connection, text))
            return {"statusCode": 200}

        async def disconnect(event: dict[str, Any], context: Any) -> dict[str, Any]:
            self.room.leave(event["requestContext"]["connectionId"])
            return {"statusCode": 200}

        async def default(event: dict[str, Any], context: Any) -> dict[str, Any]:
            await self.room.take(event["requestContext"]["connectionId"], event["body"])
            return {"statusCode": 200}

        for handler in (authorize, connect, disconnect, default):
            setattr(module, handler.__name__, handler)
        return module

    # Control ----------------------------------------------------------------------------------------------

    async def flag(self, request: web.Request) -> web.Response:
        self.flags.percent, self.flags.epoch = float((await request.json())["percent"]), self.flags.epoch + 1
        await self.app.state.services.transports.refresh()  # so that nobody is told the old one any more
        return web.json_response({})

    async def refuse(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.refuses_ws = body.get("ws", self.refuses_ws)
        self.refuses_sse = body.get("sse", self.refuses_sse)
        return web.json_response({})

    async def kick(self, request: web.Request) -> web.Response:
        """Close every WebSocket, as a server does."""
        code = (await request.json())["code"]
        for socket in list(self.sockets):
            await socket.close(code=code)
        return web.json_response({})

    async def picture(self, _: web.Request) -> web.Response:
        return web.json_response({"heard": self.room.heard, "users": list(self.room.users.values())})

    async def token(self, request: web.Request) -> web.Response:
        user = (await request.json())["user"]
        return web.json_response({"token": make_token(SECRET, user, TENANT, expires_at=time.time() + 600)})

    async def start(self) -> dict[str, str]:
        sys.modules["switching_world_handlers"] = self.handlers()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        definition = folder / "api.toml"
        definition.write_text(API, encoding="utf-8")

        app = web.Application()
        app.router.add_get("/ws", self.socket)
        app.router.add_get("/page", _html)
        app.router.add_static("/dist", DIST)
        for name in ("flag", "refuse", "kick", "token"):
            app.router.add_post(f"/{name}", getattr(self, name))
        app.router.add_get("/picture", self.picture)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._stack.push_async_callback(runner.cleanup)
        control = f"http://127.0.0.1:{runner.addresses[0][1]}"

        settings = Settings(
            jwt_secret=Secret(SECRET),
            port=0,
            grace_s=1,
            virtual_definition=str(definition),
            virtual_path="/ws",
            virtual_ordered=1,
            transport_refresh_s=0.05,
            transport_poll_s=0.3,
            cors_origins=(control,),
        )
        backends = replace(make_backends(settings, time.time), flags=self.flags)
        self.app = create_app(settings, backends)
        server = make_server(self.app, settings)
        sock = listen("127.0.0.1", 0)
        task = asyncio.create_task(server.serve([sock]))
        while not server.started:
            await asyncio.sleep(0.01)
            if task.done():
                task.result()

        async def stop() -> None:
            server.leave()
            await task

        self._stack.push_async_callback(stop)
        port = sock.getsockname()[1]
        self.urls = {
            "control": control,
            "ws": f"{control.replace('http', 'ws')}/ws",
            "sse": f"ws://127.0.0.1:{port}/ws",
        }
        return self.urls

    async def stop(self) -> None:
        for socket in list(self.sockets):
            await socket.close()
        await self._stack.aclose()


async def _html(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>page</title>", content_type="text/html")


async def main() -> None:
    world = World()
    print(json.dumps(await world.start()), flush=True)  # noqa: T201 - the protocol
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await world.stop()


if __name__ == "__main__":
    asyncio.run(main())
