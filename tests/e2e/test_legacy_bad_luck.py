"""Things break under the legacy stack: no stored message is lost or overwritten, and clients are told. until phase 3

Its own local AWS: `@connections` is throttled in it, and its DynamoDB stands still for a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
import websockets
from e2e_support import frame
from local_stack import LocalStack, local_stack

pytestmark = pytest.mark.integration

MANAGEMENT_RATE = 400
"""`@connections` calls a second that the gateway allows: far fewer than what the tests ask for."""
GHOST = "AAAAAAAAAAAAAAA="


class Rooms:
    """The rooms stack of this module."""

    def __init__(self, local: LocalStack) -> None:
        self.local = local
        deployed = local.deploy("rooms")
        self.url = deployed["websocket_url"]
        self.tables: dict[str, str] = deployed["tables"]
        self.token = local.token("rooms", "ann", "--tenant", "acme")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[websockets.ClientConnection]:
        async with websockets.connect(f"{self.url}?token={self.token}", proxy=None, max_queue=None) as socket:
            yield socket

    def stored(self, room: str) -> list[str]:
        """Texts of a room, oldest first, from the table itself."""
        pages = (
            self.local.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.tables["messages"],
                KeyConditionExpression="roomId = :room",
                ExpressionAttributeValues={":room": {"S": room}},
                ConsistentRead=True,
            )
        )
        return [item["message"]["S"] for page in pages for item in page["Items"]]

    def connection_ids(self) -> set[str]:
        rows = self.local.client("dynamodb").scan(TableName=self.tables["connections"], ConsistentRead=True)["Items"]
        return {row["connectionId"]["S"] for row in rows}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    with local_stack(tmp_path_factory.mktemp("bad-luck"), "--management-rate", str(MANAGEMENT_RATE)) as local:
        yield Rooms(local)


async def _say(socket: websockets.ClientConnection, room: str, text: str) -> None:
    await socket.send(json.dumps({"action": "sendMessage", "roomId": room, "userName": "ann", "message": text}))


async def _wait_for(condition: Any, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.1)


async def test_a_dead_connection_leaves_the_table_with_its_first_410(rooms: Rooms) -> None:
    rooms.local.client("dynamodb").put_item(
        TableName=rooms.tables["connections"],
        Item={
            "connectionId": {"S": GHOST},
            "connectedAt": {"N": str(int(time.time()) - 60)},
            "ttl": {"N": str(int(time.time()) + 9000)},
        },
    )
    async with rooms.client() as socket:
        await _say(socket, "ghosts", "anybody there?")
        assert (await frame(socket))["message"] == "anybody there?"
        await _wait_for(lambda: GHOST not in rooms.connection_ids())


async def test_a_client_that_is_killed_leaves_the_table_and_costs_nobody_a_message(rooms: Rooms) -> None:
    async with rooms.client() as socket:
        await _wait_for(lambda: len(rooms.connection_ids()) == 1)
        killed = await websockets.connect(f"{rooms.url}?token={rooms.token}", proxy=None)
        await _wait_for(lambda: len(rooms.connection_ids()) == 2)
        killed.transport.abort()
        for number in range(5):
            await _say(socket, "killed", f"k{number}")
        got = [(await frame(socket))["message"] for _ in range(5)]
        assert sorted(got) == [f"k{number}" for number in range(5)]
        await _wait_for(lambda: len(rooms.connection_ids()) == 1)


async def test_1000_messages_from_50_clients_under_throttling_reach_everybody(rooms: Rooms) -> None:
    """50 senders at once, each its 20 messages one after the other; two of them listen to everything."""
    senders, each = 50, 20
    expected = senders * each

    async def collect(socket: websockets.ClientConnection) -> list[dict[str, Any]]:
        got = []
        while len(got) < expected:
            got.append(await frame(socket, within=90))
        return got

    async with rooms.client() as first, rooms.client() as second:
        reading = [asyncio.create_task(collect(socket)) for socket in (first, second)]

        async def send(index: int) -> None:
            # It sends, hangs up and comes back, so that the fan-out stays small and the time is spent on the throttle.
            async with rooms.client() as socket:
                for number in range(each):
                    await _say(socket, "many", f"{index}/{number}")
                    while (await frame(socket, within=90))["message"] != f"{index}/{number}":
                        pass

        gate = asyncio.Semaphore(4)

        async def gated(index: int) -> None:
            async with gate:
                await send(index)

        await asyncio.gather(*(gated(index) for index in range(senders)))
        for received in await asyncio.gather(*reading):
            assert len({one["messageId"] for one in received}) == expected
    stored = rooms.stored("many")
    assert len(stored) == len(set(stored)) == expected
    order = defaultdict(list)
    for text in stored:
        index, number = text.split("/")
        order[index].append(int(number))
    assert all(numbers == list(range(each)) for numbers in order.values())


async def test_dynamodb_stands_still_for_five_seconds(rooms: Rooms) -> None:
    """Whoever sends meanwhile gets the message delivered or an error frame; what was delivered is stored, once."""
    [ministack] = [
        child
        for child in psutil.Process(rooms.local.process.pid).children()
        if "ministack" in " ".join(child.cmdline())
    ]
    async with rooms.client() as socket:
        await _say(socket, "still", "before")
        await frame(socket)
        os.kill(ministack.pid, signal.SIGSTOP)
        try:
            for number in range(10):
                await _say(socket, "still", f"s{number}")
            await asyncio.sleep(5)  # that is the outage
        finally:
            os.kill(ministack.pid, signal.SIGCONT)
        delivered, refused = [], 0
        async with asyncio.timeout(60):
            while len(delivered) + refused < 10:
                answer = json.loads(await socket.recv())
                if answer.get("type") == "message":
                    delivered.append(answer["message"])
                else:
                    assert answer.get("type") == "error" or answer.get("message") == "Internal server error", answer
                    assert answer["requestId"]
                    refused += 1
        await _say(socket, "still", "after")
        assert (await frame(socket))["message"] == "after"
    stored = rooms.stored("still")
    assert len(stored) == len(set(stored))
    assert set(delivered) <= set(stored)
    assert len(delivered) == len(set(delivered))
    assert {"before", "after"} <= set(stored)
    [stack] = json.loads(rooms.local.legacy_ws("status", "--json"))["stacks"]
    assert stack["complete"], stack
