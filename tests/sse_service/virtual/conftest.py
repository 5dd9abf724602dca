"""A service with virtual connections in front of handlers of this process, and a client that knows the protocol."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from sse_service.errors import UnavailableError
from sse_service.settings import Secret, Settings
from sse_service.testing import Frame, SseReader
from sse_service.virtual.errors import GoneError

KEY, KEY_SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
WAIT_S = 10.0

DEFINITION = """
[authorizers.token]
handler = "virtual_app:authorize"
identity_sources = ["route.request.querystring.token"]

[routes."$connect"]
handler = "virtual_app:connect"
authorizer = "token"

[routes."$disconnect"]
handler = "virtual_app:disconnect"

[routes."$default"]
handler = "virtual_app:default"

[routes.echo]
handler = "virtual_app:echo"
answers = true
"""


@dataclass
class App:
    """What the handlers were given, and what they are to do."""

    connects: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    disconnects: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=lambda: {"statusCode": 200})
    gate: asyncio.Event | None = None
    early: int = 0
    """Posts to a connection that was not made yet, refused as gone."""

    @property
    def texts(self) -> list[str]:
        return [event["body"] for event in self.messages]

    def ends(self) -> list[tuple[str, int, str]]:
        contexts = [event["requestContext"] for event in self.disconnects]
        return [(one["connectionId"], one["disconnectStatusCode"], one["disconnectReason"]) for one in contexts]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    made = App()
    module: Any = types.ModuleType("virtual_app")

    def authorize(event: dict[str, Any], context: Any) -> dict[str, Any]:
        token = event["queryStringParameters"]["token"]
        if token == "unknown":
            raise PermissionError("Unauthorized")
        effect = "Deny" if token == "denied" else "Allow"
        statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        return {"principalId": token, "policyDocument": policy, "context": {"userId": token}}

    async def connect(event: dict[str, Any], context: Any) -> dict[str, Any]:
        made.connects.append(event)
        try:
            await context.connections.post(event["requestContext"]["connectionId"], "early")
        except GoneError:
            made.early += 1
        except UnavailableError:
            pass  # the store is away
        return made.answer

    async def disconnect(event: dict[str, Any], context: Any) -> dict[str, Any]:
        made.disconnects.append(event)
        return {"statusCode": 200}

    async def default(event: dict[str, Any], context: Any) -> dict[str, Any]:
        made.messages.append(event)
        if made.gate is not None:
            await made.gate.wait()
        return {"statusCode": 200}

    def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
        context.connections.post(event["requestContext"]["connectionId"], f"posted {event['body']}")
        return {"statusCode": 200, "body": f"answered {event['body']}"}

    for handler in (authorize, connect, disconnect, default, echo):
        setattr(module, handler.__name__, handler)
    monkeypatch.setitem(sys.modules, "virtual_app", module)
    return made


@pytest.fixture
def virtual_settings(settings: Settings, app: App, tmp_path: Path) -> Settings:
    definition = tmp_path / "api.toml"
    definition.write_text(DEFINITION, encoding="utf-8")
    return settings.replace(
        virtual_definition=str(definition),
        virtual_management_keys=(KEY,),
        virtual_management_secrets=Secret(KEY_SECRET),
        virtual_domain_name="ws.example.com",
        grace_s=3,
    )


class Virtual:
    """One virtual connection as a client has it."""

    def __init__(self, client: httpx.AsyncClient, opened: dict[str, Any]) -> None:
        self.client = client
        self.opened = opened
        self.id: str = opened["connectionId"]
        self.headers = {"authorization": f"Connection {opened['secret']}"}
        self.frames: list[Frame] = []
        self.last_id = 0
        self.sent = 0

    @property
    def path(self) -> str:
        return str(self.opened["sendPath"]).rpartition("/")[0]

    async def post(self, *messages: dict[str, Any], **more: Any) -> httpx.Response:
        body = {"messages": list(messages), **more}
        return await self.client.post(self.opened["sendPath"], json=body, headers=self.headers)

    async def send(self, *texts: str) -> httpx.Response:
        messages = []
        for text in texts:
            self.sent += 1
            messages.append({"seq": self.sent, "text": text})
        answer = await self.post(*messages)
        assert answer.status_code == 200, answer.text
        return answer

    async def close(self, **body: Any) -> httpx.Response:
        return await self.client.request("DELETE", self.path, json=body, headers=self.headers)

    @asynccontextmanager
    async def stream(self, cursor: int | None = None) -> AsyncIterator[Stream]:
        headers = {**self.headers, "last-event-id": str(self.last_id if cursor is None else cursor)}
        async with self.client.stream("GET", self.opened["streamPath"], headers=headers, timeout=None) as response:
            assert response.status_code == 200, await response.aread()
            stream = Stream(self, response)
            task = asyncio.create_task(stream.read())
            try:
                yield stream
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class Stream:
    """A stream of it, being read; what has a number counts once."""

    def __init__(self, virtual: Virtual, response: httpx.Response) -> None:
        self.virtual = virtual
        self.response = response
        self.frames: list[Frame] = []
        self.ended = False
        self.clean = False
        self._reader = SseReader()
        self._more = asyncio.Event()

    async def read(self) -> None:
        try:
            async for chunk in self.response.aiter_raw():
                for frame in self._reader.feed(chunk):
                    self.frames.append(frame)
                    if frame.type in {"text", "binary", "close"}:
                        assert int(frame.id) == self.virtual.last_id + 1
                        self.virtual.last_id = int(frame.id)
                        self.virtual.frames.append(frame)
                self._more.set()
            self.clean = True
        except httpx.HTTPError:
            pass
        finally:
            self.ended = True
            self._more.set()

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (found := condition()):
                if self.ended:
                    raise AssertionError(f"the stream ended: {self.frames}")
                self._more.clear()
                await self._more.wait()
        return found

    async def frame(self, kind: str, count: int = 1) -> Frame:
        """The count-th frame of a type on this stream."""
        return (await self.until(lambda: [one for one in self.frames if one.type == kind][count - 1 : count]))[0]

    async def texts(self, count: int) -> list[str]:
        """The first `count` texts on this stream."""
        await self.frame("text", count)
        return [json.loads(one.data) for one in self.frames if one.type == "text"][:count]

    async def end(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while not self.ended:
                self._more.clear()
                await self._more.wait()


Connect = Callable[..., Any]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """connect(client, token="ann", **options): an open virtual connection."""
    async with AsyncExitStack():

        async def make(client: httpx.AsyncClient, token: str = "ann", path: str = "/prod", **options: Any) -> Virtual:
            answer = await client.post(path, json={"query": f"token={token}", **options})
            assert answer.status_code == 201, answer.text
            return Virtual(client, answer.json())

        yield make


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """What a condition gives once it is true."""

    async def poll(condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (found := condition()):
                await asyncio.sleep(0.01)
        return found

    return poll
