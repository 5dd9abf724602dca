"""The layers application with real clients on the local AWS (WL1-WL6, WL8, WL9). until phase 3"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import websockets
from e2e_support import frame
from local_stack import LocalStack, local_stack
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.integration


class Layers:
    """The layers stack of this module."""

    def __init__(self, local: LocalStack) -> None:
        self.local = local
        self.deployed = local.deploy("layers")
        self.url = self.deployed["websocket_url"]
        self._tokens: dict[tuple[str, str], str] = {}

    def token(self, user: str, tenant: str) -> str:
        key = (user, tenant)
        if key not in self._tokens:
            self._tokens[key] = self.local.token("layers", user, "--tenant", tenant)
        return self._tokens[key]

    @asynccontextmanager
    async def client(
        self, user: str, tenant: str = "acme", **options: Any
    ) -> AsyncIterator[websockets.ClientConnection]:
        token = await asyncio.to_thread(self.token, user, tenant)
        headers = {"Authorization": f"Bearer {token}"}
        async with websockets.connect(self.url, additional_headers=headers, proxy=None, **options) as socket:
            yield socket

    def rows(self) -> dict[str, dict[str, Any]]:
        table = self.deployed["tables"]["connections"]
        rows = self.local.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
        return {row["connection_id"]["S"]: row for row in rows}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    with local_stack(tmp_path_factory.mktemp("layers")) as local:
        yield Layers(local)


async def say(socket: websockets.ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket: websockets.ClientConnection, last: str, **fields: Any) -> list[dict[str, Any]]:
    """Frames up to the first of type `last` that has these fields."""
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while True:
            got.append(json.loads(await socket.recv()))
            if got[-1].get("type") == last and fields.items() <= got[-1].items():
                return got


async def asked(socket: websockets.ClientConnection) -> list[dict[str, Any]]:
    """What a connection got up to the answer to a ping: nothing that was sent to it before comes later."""
    await say(socket, "ping")
    return (await until(socket, "pong"))[:-1]


async def test_a_chat_is_shown_to_the_tenant_and_answered_to_the_user(layers: Layers) -> None:
    """WL1, WL6, WL8, WL9: two connections of ann, one of bob, and somebody of another tenant."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ann, ann2 = await enter(layers.client("ann")), await enter(layers.client("ann"))
        bob, eve = await enter(layers.client("bob")), await enter(layers.client("ann", "other"))
        await say(ann, "chat", chat_id="c1", message_id="m1", message="こんにちは world")
        got = await until(ann, "chat_stream_end")
        ids = {"chat_id": "c1", "message_id": "m1"}
        assert {**ids, "status": "accepted"}.items() <= next(f for f in got if f["type"] == "chat_response").items()
        stream = [one for one in got if one["type"].startswith("chat_stream")]
        assert [one["type"] for one in stream] == ["chat_stream_start", *["chat_stream_chunk"] * 4, "chat_stream_end"]
        assert [one["index"] for one in stream[1:-1]] == [0, 1, 2, 3]
        assert "".join(one["text"] for one in stream[1:-1]) == "You said: こんにちは world"
        assert stream[-1] == {"type": "chat_stream_end", **ids, "chunks": 4, "status": "completed"}
        assert [one for one in await until(ann2, "chat_stream_end") if one["type"].startswith("chat_stream")] == stream
        shown = await frame(bob, "chat_message")
        assert (shown["message"], shown["user_id"], shown["message_id"]) == ("こんにちは world", "ann", "m1")
        assert await asked(bob) == []
        assert await asked(eve) == []


async def test_many_answers_at_once_each_keep_their_order(layers: Layers) -> None:
    """WL6: a FIFO queue with a group per message."""
    async with layers.client("carl", max_queue=None) as carl:
        for number in range(10):
            await say(carl, "chat", chat_id="c", message_id=f"m{number}", message=" ".join("abcdefgh"))
        frames: list[dict[str, Any]] = []
        while sum(one["type"] == "chat_stream_end" for one in frames) < 10:
            frames += await until(carl, "chat_stream_end")
        for number in range(10):
            stream = [one for one in frames if one.get("message_id") == f"m{number}" and "stream" in one["type"]]
            chunks = [one for one in stream if one["type"] == "chat_stream_chunk"]
            # What arrives twice has the same index, and nothing overtakes: without repeats it is in order.
            assert list(dict.fromkeys(one["index"] for one in chunks)) == list(range(10))
            assert stream[0]["type"] == "chat_stream_start" and stream[-1]["status"] == "completed"


async def test_an_agent_run_is_told_to_the_user(layers: Layers) -> None:
    """WL8"""
    async with layers.client("ann") as ann, layers.client("bob") as bob:
        await say(ann, "agent_run", agent_id="writer", input={"topic": "SSE"}, run_id="r1")
        got = await until(ann, "agent_run_notification", status="completed")
        assert {"type": "agent_run_response", "run_id": "r1", "status": "accepted"} in got
        news = [one for one in got if one["type"] == "agent_run_notification"]
        assert [(one["progress"], one.get("step")) for one in news] == [
            (25, "plan"),
            (50, "search"),
            (75, "write"),
            (100, "check"),
            (100, None),
        ]
        assert [one["index"] for one in news] == [0, 1, 2, 3, 4]
        assert news[-1]["result"] == {"summary": "writer: 16 characters of input"}
        assert await asked(bob) == []


async def test_a_library_job_is_told_to_the_tenant(layers: Layers) -> None:
    """WL8, WL9"""
    async with layers.client("ann") as ann, layers.client("bob") as bob, layers.client("eve", "other") as eve:
        await say(ann, "library_process", library_id="l1", documents=["a.pdf", "b.pdf"], job_id="j1")
        for socket in (ann, bob):
            got = await until(socket, "library_processing_notification", status="completed")
            news = [one for one in got if one["type"] == "library_processing_notification"]
            assert [(one["progress"], one.get("document")) for one in news] == [
                (50, "a.pdf"),
                (100, "b.pdf"),
                (100, None),
            ]
            assert news[-1]["result"] == {"processed": 2}
        assert await asked(eve) == []


async def test_who_leaves_before_the_answer_is_no_error(layers: Layers) -> None:
    """WL6: the answer has nowhere to go; the next one works."""
    async with layers.client("dora") as dora:
        await say(dora, "chat", chat_id="c", message_id="left", message="x " * 20)
        await frame(dora, "chat_response")
    async with layers.client("dora") as dora:
        await say(dora, "chat", chat_id="c", message_id="back", message="again")
        assert (await until(dora, "chat_stream_end", message_id="back"))[-1]["status"] == "completed"
    logged = await asyncio.to_thread(layers.local.legacy_ws, "lambda-logs", layers.deployed["functions"]["answer"])
    assert "ERROR" not in logged


async def test_messages_and_typing_reach_the_tenant(layers: Layers) -> None:
    """WL1, WL2"""
    async with layers.client("ann") as ann, layers.client("bob") as bob, layers.client("eve", "other") as eve:
        await say(ann, "chat_typing", chat_id="c1", typing=True)
        assert await frame(bob, "chat_typing") == {
            "type": "chat_typing",
            "chat_id": "c1",
            "typing": True,
            "user_id": "ann",
        }
        await say(ann, "message", message="hello")
        heard = await frame(bob, "message")
        assert (heard["user_id"], heard["message"]) == ("ann", "hello")
        sent = await frame(ann, "message_sent")
        assert (sent["message_id"], sent["failed"]) == (heard["message_id"], 0)
        assert await asked(eve) == []


async def test_a_connection_knows_itself_and_can_be_closed_by_the_server(layers: Layers) -> None:
    """WL1, WL2: connect, disconnect, and the row in between."""
    async with layers.client("ann", user_agent_header="layers-test/1") as ann:
        await say(ann, "connect")
        who = await frame(ann, "connect")
        assert (who["user_id"], who["tenant_id"]) == ("ann", "acme")
        row = (await asyncio.to_thread(layers.rows))[who["connection_id"]]
        assert row["metadata"]["M"]["user_agent"] == {"S": "layers-test/1"}
        assert row["metadata"]["M"]["source_ip"] == {"S": "127.0.0.1"}
        assert int(row["ttl"]["N"]) > time.time() + 2 * 3600
        await say(ann, "disconnect")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(ann.recv(), 10)
    deadline = time.monotonic() + 10
    while who["connection_id"] in await asyncio.to_thread(layers.rows):
        assert time.monotonic() < deadline, "the row of the closed connection stays"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ('{"type":"chat_stream_start","chat_id":"c"}', "server_only_type"),
        ('{"type":"dance"}', "unknown_type"),
        ('{"chat_id":"c"}', "bad_request"),
        ("nope", "bad_request"),
        ('{"type":"chat","chat_id":"c"}', "bad_request"),
    ],
)
async def test_mistakes_get_an_error_frame(layers: Layers, sent: str, code: str) -> None:
    """WL3, WL5"""
    async with layers.client("ann") as ann:
        await ann.send(sent)
        error = await frame(ann, "error")
        assert error["code"] == code
        assert error["requestId"]


async def test_without_a_token_nobody_gets_in(layers: Layers) -> None:
    """WL4"""
    with pytest.raises(InvalidStatus) as caught:
        async with websockets.connect(layers.url, proxy=None):
            pass
    assert caught.value.response.status_code == 401


async def test_a_processing_function_that_may_not_be_called_is_unavailable(layers: Layers) -> None:
    """WL5: last, for it breaks the hand-off and mends it again."""
    client = layers.local.client("lambda")
    name = layers.deployed["functions"]["chat"]
    environment = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    broken = environment | {"LEGACY_WS_PROCESSING_FUNCTION": "no-such-function"}

    async def configure(variables: dict[str, str]) -> None:
        await asyncio.to_thread(
            client.update_function_configuration, FunctionName=name, Environment={"Variables": variables}
        )

    async with layers.client("ann") as ann:
        await configure(broken)
        try:
            await say(ann, "chat", chat_id="c", message_id="m", message="x")
            error = await frame(ann, "error")
        finally:
            await configure(environment)
        assert error["code"] == "unavailable"
        assert "no-such-function" not in json.dumps(error)
        await say(ann, "chat", chat_id="c", message_id="m", message="x")
        assert (await until(ann, "chat_stream_end"))[-1]["status"] == "completed"
