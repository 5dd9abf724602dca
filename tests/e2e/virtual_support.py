"""`sse-service serve` in front of a deployed application, and a client that speaks the protocol. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from e2e_support import Sse
from local_stack import LocalStack

SSE_SERVICE = str(Path(sys.executable).parent / "sse-service")
KEYS = ("000000000000", "local")
"""With which functions of the local AWS sign."""


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
                tell_functions(local, deployed, f"http://127.0.0.1:{ports[0]}/prod" if ports else f"{url}/prod")
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


def tell_functions(local: LocalStack, deployed: dict[str, Any], url: str) -> None:
    """The one change: configuration. No code of the application is touched."""
    client = local.client("lambda")
    for name in deployed["functions"].values():
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        changed = {**variables, "LEGACY_WS_MANAGEMENT_URL": url}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": changed})
