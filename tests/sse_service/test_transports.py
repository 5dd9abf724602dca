"""GET /api/transport and the `transport` event: what a client learns, and what a table that is away changes."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import logging
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from sse_service.app import make_backends
from sse_service.errors import UnavailableError
from sse_service.settings import Secret, Settings

WAIT_S = 10.0
_tables = itertools.count()


def item(percent: float, epoch: int, feature: str = "chat", tenant: str = "*") -> dict[str, dict[str, Any]]:
    return {
        "pk": {"S": "flags"},
        "sk": {"S": f"{feature}#{tenant}"},
        "feature": {"S": feature},
        "tenant": {"S": tenant},
        "percent": {"N": str(percent)},
        "epoch": {"N": str(epoch)},
        "salt": {"S": "s"},
    }


class Flags:
    """A table in this process; `away`: it cannot be read."""

    def __init__(self, *items: Mapping[str, Mapping[str, object]]) -> None:
        self.items = list(items)
        self.away = False
        self.reads = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self) -> list[Mapping[str, Mapping[str, object]]]:
        self.reads += 1
        if self.away:
            raise UnavailableError("the store is away")
        return self.items

    async def was_read(self, times: int = 2) -> None:
        """Twice: the first of them may have begun before."""
        end = self.reads + times
        async with asyncio.timeout(WAIT_S):
            while self.reads < end:
                await asyncio.sleep(0.01)


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.replace(transport_table="ignored", transport_refresh_s=0.05, transport_poll_s=7)


def with_flags(settings: Settings, flags: Flags) -> Any:
    return dataclasses.replace(make_backends(settings.replace(transport_table=""), time.time), flags=flags)


async def test_without_a_table_everybody_is_on_sse(memory_api: Any) -> None:
    answer = await memory_api.get("/api/transport?feature=chat", "ann")
    assert answer.status_code == 200
    assert answer.json() == {"feature": "chat", "transport": "sse", "epoch": 0, "pollAfterMs": 30000}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_client_asks(start_api: Any, quick: Settings) -> None:
    api = await start_api(quick, with_flags(quick, Flags(item(100, 4, tenant="acme"), item(0, 2))))
    acme = await api.get("/api/transport?feature=chat", "ann", "acme")
    assert acme.json() == {"feature": "chat", "transport": "sse", "epoch": 4, "pollAfterMs": 7000}
    assert (await api.get("/api/transport?feature=chat", "ann")).json()["transport"] == "websocket"
    assert (await api.get("/api/transport?feature=unheard-of", "ann")).json()["transport"] == "websocket"
    for query in ("", "?feature=", "?feature=a%23b"):
        refused = await api.get(f"/api/transport{query}", "ann")
        assert (refused.status_code, refused.json()["field"]) == (400, "feature")
    assert (await api.client.get("/api/transport?feature=chat")).status_code == 401


async def test_a_table_that_is_away_changes_nothing(
    start_api: Any, quick: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    flags = Flags(item(100, 1))
    flags.away = True
    api = await start_api(quick, with_flags(quick, flags))

    async def where() -> str:
        return str((await api.get("/api/transport?feature=chat", "ann")).json()["transport"])

    with caplog.at_level(logging.WARNING):
        assert await where() == "websocket"  # the default: it was never read
        flags.away = False
        await flags.was_read()
        assert await where() == "sse"
        flags.away = True
        await flags.was_read(5)
        assert await where() == "sse"
        flags.items = [{**item(0, 2), "percent": {"S": "none"}}]
        flags.away = False
        await flags.was_read()
        assert await where() == "sse"
    said = [record.message for record in caplog.records if "cut-over flags" in record.message]
    assert len(said) == 3, said  # once each, however often it was tried


async def test_running_streams_are_told(start_service: Any, quick: Settings) -> None:
    flags = Flags(item(100, 1), item(100, 1, "files"))
    service = await start_service(quick, with_flags(quick, flags))
    async with service.stream("ann") as ann, service.stream("bob", tenant="acme") as bob:
        flags.items = [item(0, 2), item(100, 2, "files"), item(100, 2, tenant="acme")]
        told = await ann.frame("transport")
        assert json.loads(told.data) == {"feature": "chat", "transport": "websocket", "epoch": 2, "pollAfterMs": 7000}
        assert told.id == (await ann.frame("ready")).id  # the cursor stays
        flags.items = [item(100, 3), item(100, 2, "files"), item(0, 3, tenant="acme")]
        assert json.loads((await ann.frame("transport", 2)).data)["epoch"] == 3
        assert json.loads((await bob.frame("transport")).data)["transport"] == "websocket"
        assert [len(stream.of_type("transport")) for stream in (ann, bob)] == [2, 1]  # `files` moved nobody
        await service.room()
        await service.say("carol", "still here")
        await ann.frame("message")


async def test_a_publisher_may_not_say_it(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings)
    body = {"events": [{"topic": "user:ann", "type": "transport", "data": {}}]}
    answer = await service.post("/api/events", "back-end", body, scope="events:publish")
    assert answer.status_code == 400


API = """
[authorizers.token]
handler = "told_app:authorize"
identity_sources = ["route.request.querystring.token"]
[routes."$connect"]
handler = "told_app:connect"
authorizer = "token"
[routes."$default"]
handler = "told_app:connect"
"""


@pytest.fixture
def told_app(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("told_app")

    def authorize(event: dict[str, Any], context: Any) -> dict[str, Any]:
        user, _, tenant = event["queryStringParameters"]["token"].partition(".")
        statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        return {"principalId": user, "policyDocument": policy, "context": {"tenantId": tenant} if tenant else {}}

    def connect(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return {"statusCode": 200}

    module.authorize, module.connect = authorize, connect
    monkeypatch.setitem(sys.modules, "told_app", module)


@pytest.mark.usefixtures("told_app")
async def test_virtual_connections_are_told_as_their_authorizer_knows_them(
    start_service: Any, quick: Settings, tmp_path: Path
) -> None:
    definition = tmp_path / "api.toml"
    definition.write_text(API, encoding="utf-8")
    flags = Flags(item(100, 1))
    chosen = quick.replace(virtual_definition=str(definition), jwt_default_tenant="demo")
    service = await start_service(chosen, with_flags(chosen, flags))

    async def read(token: str, frames: asyncio.Queue[tuple[str, str]], ready: asyncio.Event) -> None:
        made = (await service.client.post("/prod", json={"query": f"token={token}"})).json()
        headers = {"authorization": f"Connection {made['secret']}"}
        async with service.client.stream("GET", made["streamPath"], headers=headers, timeout=None) as response:
            block: list[str] = []
            async for line in response.aiter_lines():
                if line:
                    block.append(line)
                    continue
                if "event: ready" in block:
                    ready.set()
                elif "event: transport" in block:
                    await frames.put((token, "\n".join(block)))
                block = []

    frames: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    readies = [asyncio.Event(), asyncio.Event()]
    tasks = [
        asyncio.create_task(read(token, frames, ready))
        for token, ready in zip(("ann", "bob.acme"), readies, strict=True)
    ]
    try:
        async with asyncio.timeout(WAIT_S):
            for ready in readies:
                await ready.wait()
            flags.items = [item(100, 2), item(0, 2, tenant="acme")]
            token, text = await frames.get()
            assert token == "bob.acme"
            assert "id:" not in text
            assert '"transport":"websocket","epoch":2' in text
            flags.items = [item(0, 3), item(0, 2, tenant="acme")]
            assert (await frames.get())[0] == "ann"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def table(moto_url: str) -> Callable[[], Any]:
    """A table of this test's own: (client, name)."""

    def make() -> tuple[Any, str]:
        client = boto3.client(
            "dynamodb",
            endpoint_url=moto_url,
            region_name="ap-northeast-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        name = f"flags-{next(_tables)}"
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
        return client, name

    return make


async def test_flags_come_from_dynamodb(start_api: Any, settings: Settings, moto_url: str, table: Any) -> None:
    client, name = await asyncio.to_thread(table)
    chosen = settings.replace(
        transport_table=name,
        transport_refresh_s=0.05,
        aws_endpoint_url=moto_url,
        jwt_secret=Secret(settings.jwt_secret),
    )
    for n in range(30):  # and what does not belong to it
        client.put_item(TableName=name, Item=item(100, 1, f"f{n}"))
        client.put_item(TableName=name, Item={"pk": {"S": "journal#2026-11"}, "sk": {"S": str(n)}})
    api = await start_api(chosen)
    assert (await api.get("/api/transport?feature=f29", "ann")).json()["transport"] == "sse"
    client.put_item(TableName=name, Item=item(0, 2, "f29"))
    async with asyncio.timeout(WAIT_S):
        while (await api.get("/api/transport?feature=f29", "ann")).json()["transport"] == "sse":
            await asyncio.sleep(0.02)


def test_settings_say_what_is_wrong(settings: Settings) -> None:
    _, problems = Settings.read(
        {"SSE_TRANSPORT_DEFAULT": "both", "SSE_TRANSPORT_TABLE": "a b", "SSE_TRANSPORT_POLL_S": "0"}
    )
    assert {problem.split("=")[0] for problem in problems} >= {
        "SSE_TRANSPORT_DEFAULT",
        "SSE_TRANSPORT_TABLE",
        "SSE_TRANSPORT_POLL_S",
    }
