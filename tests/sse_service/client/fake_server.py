"""A small, faithful server of the virtual connections' wire protocol, with faults on demand.

    python fake_server.py        prints the address of its control API and runs until its input ends

One FakeServer listens on a port of its own. The API's path chooses what its application does: `/ws/echo` answers
each message with the same, `/ws/room` gives it to every connection of the path, anything else keeps it.
The control API starts servers with faults, cuts, restarts, pushes, and tells what arrived.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

DIST = Path(__file__).parents[3] / "sse_service" / "client" / "dist"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "authorization, content-type, last-event-id",
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-expose-headers": "retry-after",
}


@dataclass
class Faults:
    drop_every: int = 0
    """Every n-th POST is carried out and its connection cut instead of answered."""
    drop_opens: bool = False
    """Handshakes count among them."""
    drop_deletes: int = 0
    """As many DELETEs are carried out and not answered."""
    refuse_sends: int = 0
    """As many POSTs are answered with 503 and not carried out."""
    cut_every: int = 0
    """The stream is cut after as many events."""
    rotate_every: int = 0
    answer_delay_s: float = 0
    open_delay_s: float = 0
    dribble: bool = False
    """Streams are written byte by byte."""
    silent: bool = False
    """Streams write nothing any more after `ready`, no heartbeats either; for good, as a dead TCP connection."""
    hang_answers: bool = False
    """POSTs are carried out and never answered; only the stream acknowledges."""
    skip_event: bool = False
    """The next event is lost, its number is not."""
    refuse: int = 0
    """Status of the handshake."""
    token: str = ""
    """The only token that gets in, when there is one."""
    protocol: str = ""
    """The subprotocol chosen, of what the client offers."""
    resume_window_ms: int = 60_000
    heartbeat_ms: int = 1_000
    max_message_bytes: int = 131_072
    max_batch_bytes: int = 400_000
    foreign_paths: bool = False
    no_streams: bool = False
    """Streams are answered with 503."""


@dataclass(eq=False)
class Connection:
    path: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    query: str = ""
    authorization: str = ""
    log: list[tuple[int, str, str]] = field(default_factory=list)
    next_id: int = 1
    acked: int = 0
    received: list[str | dict[str, str]] = field(default_factory=list)
    streams: int = 0
    """Streams opened so far; the last one is the one in use."""
    streaming: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    expiry: asyncio.TimerHandle | None = None

    def push(self, event: str, data: object) -> None:
        self.log.append((self.next_id, event, json.dumps(data) if event != "binary" else str(data)))
        self.next_id += 1
        self.tell()

    def tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class FakeServer:
    def __init__(self, **faults: Any) -> None:
        self.faults = Faults(**faults)
        self.connections: dict[str, Connection] = {}
        self.all: list[Connection] = []
        self.closes: list[dict[str, Any]] = []
        self.counts = {"opens": 0, "posts": 0, "streams": 0, "deletes": 0, "beacons": 0, "at_once": 0, "dropped": 0}
        self.last_event_ids: list[str] = []
        self.urls: list[str] = []
        self.port = 0
        self._posting = 0
        self._runner: web.AppRunner | None = None
        self._transports: set[asyncio.BaseTransport] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 26, middlewares=[self._every])
        app.router.add_get("/page", self._page)
        app.router.add_static("/dist", DIST)
        app.router.add_post("/ws/{api}", self._open)
        app.router.add_get("/ws/{api}/{id}/stream", self._stream)
        app.router.add_post("/ws/{api}/{id}/messages", self._send)
        app.router.add_delete("/ws/{api}/{id}", self._close)
        app.router.add_post("/ws/{api}/{id}/close", self._beacon)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.cut()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def restart(self, *, lose: bool = False, down_s: float = 0.0) -> None:
        """lose: the connections are forgotten, as by a process without a shared store."""
        await self.stop()
        if lose:
            for connection in list(self.connections.values()):
                self._end(connection, 1006, "", by="restart")
        await asyncio.sleep(down_s)
        await self.start()

    def cut(self) -> None:
        """Break every TCP connection, without a word."""
        for transport in list(self._transports):
            transport.abort()  # type: ignore[attr-defined]  # every one is a socket's
        self._transports.clear()

    def push(self, *texts: str) -> None:
        for connection in list(self.connections.values()):
            for text in texts:
                connection.push("text", text)

    def push_binary(self, data: str) -> None:
        for connection in list(self.connections.values()):
            connection.push("binary", data)

    def close_all(self, code: int | None, reason: str = "") -> None:
        for connection in list(self.connections.values()):
            connection.push("close", {"code": code, "reason": reason})
            self._end(connection, code, reason, by="server")

    def rotate(self) -> None:
        for connection in self.connections.values():
            connection.log.append((0, "rotate", "{}"))
            connection.tell()

    def trim(self) -> None:
        """Forget events that nobody has confirmed: what a bounded window does."""
        for connection in self.connections.values():
            connection.log.clear()

    def picture(self) -> dict[str, Any]:
        return {
            "connections": [
                {
                    "id": one.id,
                    "path": one.path,
                    "query": one.query,
                    "authorization": one.authorization,
                    "received": one.received,
                    "open": one.id in self.connections,
                }
                for one in self.all
            ],
            "closes": self.closes,
            "counts": self.counts,
            "lastEventIds": self.last_event_ids,
            "urls": self.urls,
        }

    @web.middleware
    async def _every(self, request: web.Request, handler: Any) -> web.StreamResponse:
        assert request.transport is not None
        self._transports.add(request.transport)
        self.urls.append(request.path_qs)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=CORS)
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            error.headers.update(CORS)
            raise
        if not response.prepared:
            response.headers.update(CORS)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>page</title>", content_type="text/html")

    async def _answer(
        self, request: web.Request, body: object, *, status: int = 200, counted: bool = True
    ) -> web.Response:
        if self.faults.answer_delay_s:
            await asyncio.sleep(self.faults.answer_delay_s)
        if counted:
            self.counts["posts"] += 1
            if self.faults.drop_every and self.counts["posts"] % self.faults.drop_every == 0:
                self._drop(request)
        return web.json_response(body, status=status)

    def _drop(self, request: web.Request) -> None:
        self.counts["dropped"] += 1
        if request.transport is not None:
            request.transport.abort()

    async def _open(self, request: web.Request) -> web.Response:
        self.counts["opens"] += 1
        body = await request.json()
        await asyncio.sleep(self.faults.open_delay_s)
        authorization = request.headers.get("authorization", "")
        if self.faults.refuse:
            return web.json_response({"title": "no"}, status=self.faults.refuse)
        if self.faults.token and authorization != f"Bearer {self.faults.token}":
            return web.json_response({"title": "no"}, status=401)
        made = Connection(request.path, query=body["query"], authorization=authorization)
        self.connections[made.id] = made
        self.all.append(made)
        self._expire_later(made)
        paths = "http://127.0.0.1:1" if self.faults.foreign_paths else ""
        chosen = self.faults.protocol if self.faults.protocol in body["protocols"] else ""
        offer = {
            "connectionId": made.id,
            "protocol": chosen,
            "secret": made.secret,
            "streamPath": f"{paths}{request.path}/{made.id}/stream",
            "sendPath": f"{paths}{request.path}/{made.id}/messages",
            "resumeWindowMs": self.faults.resume_window_ms,
            "maxMessageBytes": self.faults.max_message_bytes,
            "maxBatchBytes": self.faults.max_batch_bytes,
            "heartbeatMs": self.faults.heartbeat_ms,
            "idleMs": 600_000,
        }
        return await self._answer(request, offer, status=201, counted=self.faults.drop_opens)

    def _owned(self, request: web.Request) -> Connection:
        found = self.connections.get(request.match_info["id"])
        if found is None or request.headers.get("authorization") != f"Connection {found.secret}":
            raise web.HTTPNotFound
        return found

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.counts["streams"] += 1
        if self.faults.no_streams:
            return web.json_response({"title": "later"}, status=503)
        self.last_event_ids.append(request.headers.get("last-event-id", ""))
        known = next((one for one in self.all if one.id == request.match_info["id"]), None)
        last = int(request.headers.get("last-event-id") or 0)
        # A closed connection still tells its close event to the one who comes for it.
        ended = known is not None and known.closed and bool(known.log) and known.log[-1][1] == "close"
        connection = known if known and ended and last < known.next_id - 1 else self._owned(request)
        connection.log = [event for event in connection.log if event[0] > last]
        waiting = connection.log[0][0] if connection.log else connection.next_id
        if waiting > last + 1:
            raise web.HTTPGone
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-store", **CORS}
        )
        await response.prepare(request)
        connection.streams += 1
        mine = connection.streams
        connection.streaming = True
        connection.tell()
        if connection.expiry:
            connection.expiry.cancel()
        try:
            await self._feed(connection, response, mine, last)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            if connection.streams == mine:
                connection.streaming = False
                self._expire_later(connection)
        return response

    async def _feed(self, connection: Connection, response: web.StreamResponse, mine: int, last: int) -> None:
        told, written = connection.acked, 0
        await self._write(response, None, "ready", json.dumps({"resumed": True, "acked": told}))
        dead = False
        while connection.streams == mine:
            news = connection.news
            dead = dead or self.faults.silent
            if dead:
                await news.wait()
                continue
            for number, event, data in list(connection.log):
                if event == "rotate" or 0 < number <= last:
                    if event == "rotate":
                        connection.log.remove((number, event, data))
                        await self._write(response, None, "rotate", "{}")
                        return
                    continue
                last = number
                if self.faults.skip_event:
                    self.faults.skip_event = False
                    continue
                await self._write(response, number, event, data)
                written += 1
                if event == "close":
                    return
                if self.faults.cut_every and written >= self.faults.cut_every:
                    raise ConnectionResetError
                if self.faults.rotate_every and written >= self.faults.rotate_every:
                    await self._write(response, None, "rotate", "{}")
                    return
            if connection.acked > told:
                told = connection.acked
                await self._write(response, None, "ack", json.dumps({"seq": told}))
            try:
                async with asyncio.timeout(self.faults.heartbeat_ms / 1000):
                    await news.wait()
            except TimeoutError:
                await response.write(b":\n\n")

    async def _write(self, response: web.StreamResponse, number: int | None, event: str, data: str) -> None:
        head = "" if number is None else f"id: {number}\n"
        frame = f"{head}event: {event}\ndata: {data}\n\n".encode()
        if not self.faults.dribble:
            await response.write(frame)
            return
        for at in range(len(frame)):
            await response.write(frame[at : at + 1])

    def _take(self, connection: Connection, messages: list[dict[str, Any]]) -> bool:
        """False for a gap."""
        for message in messages:
            if message["seq"] > connection.acked + 1:
                return False
            if message["seq"] == connection.acked + 1:
                connection.acked += 1
                event = "binary" if "binary" in message else "text"
                connection.received.append(message["text"] if event == "text" else {"binary": message["binary"]})
                self._apply(connection, event, message[event])
        connection.tell()
        return True

    def _apply(self, sender: Connection, event: str, data: str) -> None:
        if sender.path == "/ws/echo":
            sender.push(event, data)
        elif sender.path == "/ws/room":
            for one in self.connections.values():
                if one.path == sender.path:
                    one.push(event, data)

    async def _send(self, request: web.Request) -> web.Response:
        connection = self._owned(request)
        self._posting += 1
        self.counts["at_once"] = max(self.counts["at_once"], self._posting)
        try:
            messages = (await request.json())["messages"]
            if self.faults.refuse_sends:
                self.faults.refuse_sends -= 1
                return web.json_response({"title": "later"}, status=503, headers={"retry-after": "0.01"})
            for message in messages:
                size = len(message["text"].encode()) if "text" in message else len(base64.b64decode(message["binary"]))
                if size > self.faults.max_message_bytes:
                    return web.json_response({"title": "too big"}, status=413)
            taken = self._take(connection, messages)
            if self.faults.hang_answers:
                await asyncio.sleep(3600)
            return await self._answer(request, {"acked": connection.acked}, status=200 if taken else 409)
        finally:
            self._posting -= 1

    async def _close(self, request: web.Request) -> web.Response:
        self.counts["deletes"] += 1
        connection = self._owned(request)
        body = await request.json()
        self._end(connection, body.get("code"), body.get("reason", ""), by="client")
        if self.faults.drop_deletes:
            self.faults.drop_deletes -= 1
            self._drop(request)
        return web.Response(status=204)

    async def _beacon(self, request: web.Request) -> web.Response:
        self.counts["beacons"] += 1
        connection = self.connections.get(request.match_info["id"])
        body = json.loads(await request.text())
        if connection is None or body["secret"] != connection.secret:
            raise web.HTTPNotFound
        self._take(connection, body.get("messages", []))
        self._end(connection, body["code"], body["reason"], by="beacon")
        return web.Response(status=204)

    def _end(self, connection: Connection, code: int | None, reason: str, *, by: str) -> None:
        if self.connections.pop(connection.id, None) is None:
            return
        connection.closed = True
        if connection.expiry:
            connection.expiry.cancel()
        self.closes.append({"id": connection.id, "code": code, "reason": reason, "by": by})
        if by != "server":
            connection.streams += 1
            connection.tell()

    def _expire_later(self, connection: Connection) -> None:
        if connection.expiry:
            connection.expiry.cancel()
        connection.expiry = asyncio.get_running_loop().call_later(
            self.faults.resume_window_ms / 1000, lambda: self._end(connection, 1006, "", by="window")
        )


class Control:
    """Servers by HTTP, for tests that do not run in this process."""

    def __init__(self) -> None:
        self.servers: dict[str, FakeServer] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/servers", self._create)
        app.router.add_get("/servers/{id}", self._picture)
        app.router.add_post("/servers/{id}/{verb}", self._do)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for server in self.servers.values():
            await server.stop()
        if self._runner:
            await self._runner.cleanup()

    async def _create(self, request: web.Request) -> web.Response:
        server = FakeServer(**await request.json())
        await server.start()
        name = str(server.port)
        self.servers[name] = server
        return web.json_response({"id": name, "url": server.url})

    async def _picture(self, request: web.Request) -> web.Response:
        return web.json_response(self.servers[request.match_info["id"]].picture())

    async def _do(self, request: web.Request) -> web.Response:
        server, body = self.servers[request.match_info["id"]], await request.json()
        match request.match_info["verb"]:
            case "cut":
                server.cut()
            case "stop":
                await server.stop()
            case "restart":
                await server.restart(**body)
            case "push":
                server.push(*body["texts"])
            case "push-binary":
                server.push_binary(body["data"])
            case "close":
                server.close_all(**body)
            case "rotate":
                server.rotate()
            case "trim":
                server.trim()
            case "faults":
                server.faults = Faults(**{**asdict(server.faults), **body})
            case _:
                raise web.HTTPNotFound
        return web.json_response({})


async def main() -> None:
    control = Control()
    sys.stdout.write(await control.start() + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await control.stop()


if __name__ == "__main__":
    asyncio.run(main())
