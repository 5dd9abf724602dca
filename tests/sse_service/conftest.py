"""Fixtures of the service's tests: settings, a moto server as DynamoDB, servers on real sockets."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from moto.dynamodb.models import DynamoDBBackend
from moto.server import ThreadedMotoServer

from sse_service.app import Backends, create_app, make_backends
from sse_service.server import StreamServer, listen, make_server
from sse_service.settings import Secret, Settings
from sse_service.testing import Frame, SseReader, make_token

from .task_policy import TaskPolicy, is_called_by_the_service

SECRET = "a-key-for-tests-only-0123456789abcdef"
WAIT_S = 10.0

_prefixes = itertools.count()


def one_at_a_time(method: Callable[..., Any], lock: threading.RLock) -> Callable[..., Any]:
    @functools.wraps(method)
    def locked(*arguments: Any, **options: Any) -> Any:
        with lock:
            return method(*arguments, **options)

    return locked


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A DynamoDB on the loopback interface."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        # A write of DynamoDB's is atomic; moto's server reads, then writes, and its threads meet between the two.
        lock = threading.RLock()
        for name in ("put_item", "update_item", "delete_item", "batch_write_item", "transact_write_items"):
            patch.setattr(DynamoDBBackend, name, one_at_a_time(getattr(DynamoDBBackend, name), lock))
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(scope="session")
def refused_calls() -> Iterator[list[str]]:
    """Calls of the service to AWS that the template's policy would not permit."""
    from aiobotocore.client import AioBaseClient

    policy, refused = TaskPolicy(), list[str]()
    whole = AioBaseClient._make_api_call

    async def checked(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if is_called_by_the_service():
            refused.extend(policy.refusals(client.meta.service_model.service_name, operation, arguments))
        return await whole(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AioBaseClient, "_make_api_call", checked)
        yield refused


@pytest.fixture(autouse=True)
def only_what_the_template_permits(refused_calls: list[str]) -> Iterator[None]:
    """Whatever a test makes the service do must be in sse_service/deploy/data.yaml."""
    del refused_calls[:]
    yield
    assert sorted(set(refused_calls)) == []


@pytest.fixture
def settings() -> Settings:
    return Settings(jwt_secret=Secret(SECRET), grace_s=5, port=0)


@pytest.fixture
def dynamo_settings(settings: Settings, moto_url: str) -> Settings:
    """Settings for a DynamoDB log with tables of this test's own (not made yet)."""
    return settings.replace(
        log="dynamodb", aws_endpoint_url=moto_url, table_prefix=f"t{next(_prefixes)}", log_check_s=0.2
    )


@pytest.fixture
async def dynamo_tables(dynamo_settings: Settings) -> Settings:
    """The same, with the tables made."""
    from sse_service.adapters.dynamodb import Dynamo

    dynamo = Dynamo(dynamo_settings)
    await dynamo.connect()
    await dynamo.create_tables()
    await dynamo.close()
    return dynamo_settings


@pytest.fixture(name="bearer")
def bearer_fixture() -> Callable[..., dict[str, str]]:
    """Authorization headers: bearer("ann", "demo", scope=...)."""
    return bearer


@pytest.fixture
def jwt_secret() -> str:
    return SECRET


def token_for(user: str, tenant: str = "demo", *, ttl_s: float = 3600, **claims: object) -> str:
    return make_token(SECRET, user, tenant, expires_at=time.time() + ttl_s, **claims)


def bearer(user: str, tenant: str = "demo", **claims: object) -> dict[str, str]:
    return {"authorization": f"Bearer {token_for(user, tenant, **claims)}"}


@dataclass
class OpenStream:
    """A stream being read; frames are kept in the order of their arrival."""

    response: httpx.Response
    reader: SseReader = field(default_factory=SseReader)
    frames: list[Frame] = field(default_factory=list)
    ended: bool = False
    clean: bool = False
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        try:
            async for chunk in self.response.aiter_raw():
                self.frames.extend(self.reader.feed(chunk))
                self._more.set()
            self.clean = True
        except httpx.HTTPError:
            pass
        finally:
            self.ended = True
            self._more.set()

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (found := condition()):
                if self.ended:
                    raise AssertionError(f"the stream ended before {what}: {self.frames}")
                self._more.clear()
                await self._more.wait()
        return found

    async def frame(self, kind: str, count: int = 1) -> Frame:
        """The count-th event of a type, waited for."""

        def found() -> list[Frame]:
            return [frame for frame in self.frames if frame.type == kind][count - 1 : count]

        return (await self.until(found, f"{kind} number {count}"))[0]

    async def end(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while not self.ended:
                self._more.clear()
                await self._more.wait()

    def of_type(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.type == kind]


class Api:
    """The application without a socket."""

    def __init__(self, app: Any, client: httpx.AsyncClient, backends: Backends) -> None:
        self.app = app
        self.client = client
        self.backends = backends

    async def post(self, path: str, user: str, body: object, tenant: str = "demo", **claims: Any) -> httpx.Response:
        return await self.client.post(path, json=body, headers=bearer(user, tenant, **claims))

    async def get(self, path: str, user: str, tenant: str = "demo", **claims: Any) -> httpx.Response:
        return await self.client.get(path, headers=bearer(user, tenant, **claims))

    async def delete(self, path: str, user: str, tenant: str = "demo", **claims: Any) -> httpx.Response:
        return await self.client.delete(path, headers=bearer(user, tenant, **claims))

    async def room(self, conversation_id: str, *people: str, is_open: bool = False) -> None:
        body = {"conversationId": conversation_id, "participants": list(people), "open": is_open}
        answer = await self.post("/api/conversations", "service", body, scope="events:publish")
        assert answer.status_code in {200, 201}, answer.text

    async def events(self, tenant: str = "demo") -> list[Any]:
        """Everything in the log of a tenant."""
        log = self.backends.log
        tail = await log.tail(tenant)
        first = tail.position._replace(seq=0)
        return list((await log.read(tenant, first, max_bytes=1 << 30)).events)


@pytest.fixture
async def start_api() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(settings: Settings, backends: Backends | None = None) -> Api:
            chosen = backends or make_backends(settings, time.time)
            app = create_app(settings, chosen)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app)
            client = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://service", timeout=WAIT_S)
            )
            return Api(app, client, chosen)

        yield start


@pytest.fixture(params=["memory", "dynamodb"])
async def api(request: pytest.FixtureRequest, start_api: Any, settings: Settings) -> Api:
    """The application on each of the back ends."""
    if request.param == "dynamodb":
        settings = await _tables(request)
    made: Api = await start_api(settings)
    return made


@pytest.fixture
async def memory_api(start_api: Any, settings: Settings) -> Api:
    made: Api = await start_api(settings)
    return made


@dataclass
class RunningService:
    server: StreamServer
    url: str
    port: int
    client: httpx.AsyncClient
    task: asyncio.Task[None]

    @property
    def app(self) -> Any:
        return self.server.config.app

    @property
    def hub(self) -> Any:
        return self.app.state.services.hub

    @asynccontextmanager
    async def stream(
        self,
        user: str,
        path: str = "/api/chat/stream",
        *,
        tenant: str = "demo",
        cursor: str | None = None,
        **claims: Any,
    ) -> AsyncIterator[OpenStream]:
        headers = bearer(user, tenant, **claims)
        if cursor is not None:
            headers["last-event-id"] = cursor
        async with self.client.stream("GET", path, headers=headers, timeout=None) as response:
            assert response.status_code == 200, await response.aread()
            opened = OpenStream(response)
            task = asyncio.create_task(opened.read())
            try:
                await opened.frame("ready")
                yield opened
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def post(self, path: str, user: str, body: object, tenant: str = "demo", **claims: Any) -> httpx.Response:
        return await self.client.post(path, json=body, headers=bearer(user, tenant, **claims))

    async def get(self, path: str, user: str, tenant: str = "demo", **claims: Any) -> httpx.Response:
        return await self.client.get(path, headers=bearer(user, tenant, **claims))

    async def delete(self, path: str, user: str, tenant: str = "demo", **claims: Any) -> httpx.Response:
        return await self.client.delete(path, headers=bearer(user, tenant, **claims))

    async def room(self, conversation_id: str = "main", *, tenant: str = "demo") -> None:
        """An open conversation."""
        body = {"conversationId": conversation_id, "open": True}
        answer = await self.post("/api/conversations", "maker", body, tenant)
        assert answer.status_code in {200, 201}, answer.text

    async def say(self, user: str, text: str, room: str = "main", **more: str) -> dict[str, Any]:
        body = {"conversationId": room, "message": text, **more}
        answer = await self.post("/api/chat/send", user, body)
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def stop(self) -> None:
        if not self.task.done():
            if self.server._leaving is None:
                self.server.leave()
            async with asyncio.timeout(WAIT_S):
                await self.task


StartService = Callable[..., Any]


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """Starts services on free ports; what is still running at the end of the test is stopped."""
    async with AsyncExitStack() as stack:

        async def start(
            settings: Settings, backends: Backends | None = None, clock: Callable[[], float] = time.time
        ) -> RunningService:
            sock = listen("127.0.0.1", settings.port)
            port = sock.getsockname()[1]
            server = make_server(create_app(settings, backends, clock), settings)
            task = asyncio.create_task(server.serve([sock]))
            while not server.started:
                if task.done():
                    await task
                await asyncio.sleep(0.005)
            url = f"http://127.0.0.1:{port}"
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=WAIT_S, limits=httpx.Limits(max_connections=None))
            )
            service = RunningService(server, url, port, client, task)
            stack.push_async_callback(service.stop)
            return service

        yield start


@pytest.fixture
async def service(start_service: StartService, settings: Settings) -> RunningService:
    """A service on the memory log."""
    started: RunningService = await start_service(settings)
    return started


@pytest.fixture(params=["memory", "dynamodb"])
async def any_service(
    request: pytest.FixtureRequest, start_service: StartService, settings: Settings
) -> RunningService:
    """A service on each of the logs."""
    if request.param == "dynamodb":
        settings = await _tables(request)
    started: RunningService = await start_service(settings)
    return started


async def _tables(request: pytest.FixtureRequest) -> Settings:
    from sse_service.adapters.dynamodb import Dynamo

    made: Settings = request.getfixturevalue("dynamo_settings")
    dynamo = Dynamo(made)
    await dynamo.connect()
    await dynamo.create_tables()
    await dynamo.close()
    return made
