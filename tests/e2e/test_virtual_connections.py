"""The three legacy applications over virtual connections: the same Lambdas and tables, a plain httpx client that speaks
the protocol in place of a WebSocket (MG19). until phase 3
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e_support import Sse
from local_stack import LocalStack, local_stack

pytestmark = pytest.mark.integration

SSE_SERVICE = str(Path(sys.executable).parent / "sse-service")
KEYS = ("000000000000", "local")
"""With which functions of the local AWS sign."""
ANN, BOB = "ann@example.com", "bob@example.com"


class Connection:
    """One virtual connection, used as a WebSocket."""

    def __init__(self, http: httpx.AsyncClient, opened: dict[str, Any], stream: Sse) -> None:
        self.http = http
        self.opened = opened
        self.id = str(opened["connectionId"])
        self.stream = stream
        self.sent = 0
        self.headers = {"Authorization": f"Connection {opened['secret']}"}

    async def send(self, **frame: Any) -> None:
        self.sent += 1
        body = {"messages": [{"seq": self.sent, "text": json.dumps(frame)}]}
        answer = await self.http.post(self.opened["sendPath"], json=body, headers=self.headers)
        assert (answer.status_code, answer.json()) == (200, {"acked": self.sent})

    async def recv(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads((await self.stream.next("text", 30)).data)
        return frame

    async def frame(self, kind: str, **fields: Any) -> dict[str, Any]:
        return (await self.until(kind, **fields))[-1]

    async def until(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Frames up to the first of this type with these fields."""
        got = [await self.recv()]
        while got[-1].get("type") != kind or not fields.items() <= got[-1].items():
            got.append(await self.recv())
        return got

    async def close(self, code: int = 1000) -> None:
        path = self.opened["sendPath"].rpartition("/")[0]
        body = {"code": code, "reason": "done", "seq": self.sent}
        answer = await self.http.request("DELETE", path, json=body, headers=self.headers)
        assert answer.status_code == 204


@dataclass
class Served:
    """A deployed application and the service in front of its functions."""

    local: LocalStack
    deployed: dict[str, Any]
    url: str

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.local.ready["ca_bundle"])

    async def open(self, query: str = "", headers: dict[str, str] | None = None) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=40, verify=self.tls) as http:
            return await http.post(f"{self.url}/prod", json={"query": query}, headers=headers)

    @asynccontextmanager
    async def connect(self, query: str = "", headers: dict[str, str] | None = None) -> AsyncIterator[Connection]:
        opened = await self.open(query, headers)
        assert opened.status_code == 201, opened.text
        made = opened.json()
        timeout = httpx.Timeout(40, read=None)
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=timeout, verify=self.tls) as http:
            own = {"Authorization": f"Connection {made['secret']}"}
            async with http.stream("GET", made["streamPath"], headers=own) as response:
                assert response.status_code == 200
                stream = Sse(response)
                await stream.next("ready")
                try:
                    yield Connection(http, made, stream)
                finally:
                    stream.stop()

    def rows(self, key: str = "connectionId") -> set[str]:
        table = self.deployed["tables"]["connections"]
        rows = self.local.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
        return {row[key]["S"] for row in rows}

    async def gone(self, connection: Connection, key: str = "connectionId") -> None:
        """Wait until `$disconnect` has removed the connection's row."""
        async with asyncio.timeout(20):
            while connection.id in await asyncio.to_thread(self.rows, key):
                await asyncio.sleep(0.1)

    def management(self, url: str = "") -> Any:
        return self.local.client("apigatewaymanagementapi", endpoint_url=f"{url or self.url}/prod")


@contextlib.contextmanager
def service(
    local: LocalStack, deployed: dict[str, Any], log: Path, *, tell: bool = True, port: int = 0, **more: str
) -> Iterator[Served]:
    """`sse-service serve` in front of a deployed API. tell: its functions are configured to post here."""
    env = {
        **os.environ,
        **local.env,
        "SSE_VIRTUAL_API_ID": deployed["api_id"],
        "SSE_VIRTUAL_STAGE": deployed["stage"],
        "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID": f"{KEYS[0]},test",
        "SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY": f"{KEYS[1]},test",
        **more,
    }
    with (
        log.open("wb") as output,
        subprocess.Popen([SSE_SERVICE, "serve", "--port", str(port)], env=env, stderr=output) as process,
    ):
        try:
            lines = _ready(process, log)
            url = next(line["url"] for line in lines if "url" in line)
            ports = [line["port"] for line in lines if "port" in line]
            if tell:
                _tell(local, deployed, f"http://127.0.0.1:{ports[0]}/prod" if ports else f"{url}/prod")
            yield Served(local, deployed, url)
        finally:
            process.terminate()
            process.wait(30)


def _ready(process: subprocess.Popen[bytes], log: Path) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        if any("url" in line for line in lines):
            return lines
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))


def _tell(local: LocalStack, deployed: dict[str, Any], url: str) -> None:
    """The one change: configuration. No code of the application is touched."""
    client = local.client("lambda")
    for name in deployed["functions"].values():
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        changed = {**variables, "LEGACY_WS_MANAGEMENT_URL": url}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": changed})


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("virtual")) as made:
        yield made


async def test_rooms(local: LocalStack, tmp_path: Path) -> None:
    deployed = await asyncio.to_thread(local.deploy, "rooms")
    ann, bob = (f"token={local.token('rooms', user, '--tenant', 'acme')}" for user in ("ann", "bob"))
    with service(local, deployed, tmp_path / "service.log") as served:
        assert (await served.open("token=nonsense")).status_code in {401, 403}
        assert (await served.open("")).status_code == 401
        async with served.connect(ann) as one, served.connect(bob) as two:
            assert served.rows() == {one.id, two.id}
            await one.send(action="sendMessage", message="日本語 \r\n\0", userName="Ann", roomId="main")
            heard = await two.frame("message")
            assert (heard["message"], heard["userName"]) == ("日本語 \r\n\0", "Ann")
            assert await one.frame("message") == heard
            await two.send(action="getHistory", roomId="main", limit=10)
            history = await two.frame("history")
            assert [message["messageId"] for message in history["messages"]] == [heard["messageId"]]

            await one.close()
            assert (await one.stream.next("close")).data == {"code": 1000, "reason": "done"}
            await served.gone(one)
            gone = served.management()
            with pytest.raises(gone.exceptions.GoneException):
                gone.post_to_connection(ConnectionId=one.id, Data=b"x")
            await two.send(action="sendMessage", message="alone", roomId="main")
            assert (await two.frame("message"))["message"] == "alone"
    # SIGTERM: the connections end with their process, and $disconnect has run for them.
    assert served.rows() == set()
    log = (tmp_path / "service.log").read_text(encoding="utf-8")
    assert ann.removeprefix("token=") not in log


async def test_direct(local: LocalStack, tmp_path: Path) -> None:
    """Nothing at all is changed: its functions post to `https://{domainName}/{stage}` of their events."""
    deployed = await asyncio.to_thread(local.deploy, "direct")
    queries = {email: f"token={await asyncio.to_thread(local.token, 'direct', email)}" for email in (ANN, BOB)}
    ghost = "AAAAAAAAAAAAAAA="
    certificates = Path(local.ready["ca_bundle"]).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = {
        "SSE_TLS_CERTFILE": str(certificates / "server.pem"),
        "SSE_TLS_KEYFILE": str(certificates / "server.key"),
        "SSE_VIRTUAL_DOMAIN_NAME": f"127.0.0.1:{port}",
    }
    with service(local, deployed, tmp_path / "service.log", tell=False, port=port, **more) as served:
        row = {
            "connectionId": {"S": ghost},
            "email": {"S": BOB},
            "connectedAt": {"S": "2024-06-18T06:13:20Z"},
        }
        local.client("dynamodb").put_item(TableName=deployed["tables"]["connections"], Item=row)
        async with served.connect(queries[ANN]) as ann, served.connect(queries[BOB]) as bob:
            await ann.send(action="sendMessage", receiverEmail=BOB, message="안녕하세요")
            sent = await ann.frame("messageSent")
            # The ghost's 410 removes its row and is no failure.
            assert (sent["delivered"], sent["failed"]) == (1, 0)
            assert ghost not in served.rows()
            assert (await bob.frame("message"))["messageId"] == sent["messageId"]
            await bob.send(action="read", **{"with": ANN})
            assert (await bob.frame("readDone"))["count"] == 1
            assert (await ann.frame("read"))["readerEmail"] == BOB
            await ann.send(action="getHistory", **{"with": BOB})
            assert [one["message"] for one in (await ann.frame("history"))["messages"]] == ["안녕하세요"]
            await bob.close(4000)
            await served.gone(bob)


async def test_layers(local: LocalStack, tmp_path: Path) -> None:
    """Its functions post to the listener that trusts the network."""
    deployed = await asyncio.to_thread(local.deploy, "layers")

    def headers(user: str, tenant: str = "acme") -> dict[str, str]:
        return {"Authorization": f"Bearer {local.token('layers', user, '--tenant', tenant)}"}

    more = {"SSE_VIRTUAL_MANAGEMENT_BIND": "127.0.0.1:0", "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID": ""}
    more["SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY"] = ""
    with service(local, deployed, tmp_path / "service.log", **more) as served:
        assert (await served.open()).status_code == 401
        async with AsyncExitStack() as stack:
            ann = await stack.enter_async_context(served.connect(headers=headers("ann")))
            bob = await stack.enter_async_context(served.connect(headers=headers("bob")))
            eve = await stack.enter_async_context(served.connect(headers=headers("eve", "other")))
            await ann.send(type="chat", chat_id="c1", message_id="m1", message="hello world")
            got = await ann.until("chat_stream_end")
            assert got[-1]["status"] == "completed"
            chunks = {one["index"]: one["text"] for one in got if one["type"] == "chat_stream_chunk"}
            assert "".join(chunks[index] for index in sorted(chunks)) == "You said: hello world"
            assert (await bob.frame("chat_message"))["message"] == "hello world"
            await bob.send(type="library_process", library_id="l1", documents=["a.pdf"], job_id="j1")
            assert (await ann.frame("library_processing_notification", status="completed"))["result"] == {
                "processed": 1
            }
            await eve.send(type="ping")
            assert (await eve.until("pong")) == [{"type": "pong"}]  # and nothing of the other tenant before it

            await bob.send(type="disconnect")  # the server closes it
            assert (await bob.stream.next("close", 30)).data["code"] == 1000
            await served.gone(bob, "connection_id")
            await ann.close()
            await served.gone(ann, "connection_id")
