"""1:1 chat as a user has it: `legacy-ws deploy direct` on the local AWS, its own user pool, real WebSocket clients
(DC1, DC2, read receipts of DC5). until phase 3
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import websockets
from e2e_support import frame
from local_stack import LocalStack, local_stack

pytestmark = pytest.mark.integration

ANN, BOB = "ann@example.com", "bob@example.com"


@dataclass
class Direct:
    """The deployed stack."""

    aws: LocalStack
    url: str
    tokens: dict[str, str]

    @contextlib.asynccontextmanager
    async def client(self, email: str) -> AsyncIterator[websockets.ClientConnection]:
        if email not in self.tokens:
            self.tokens[email] = await asyncio.to_thread(self.aws.token, "direct", email)
        async with websockets.connect(f"{self.url}?token={self.tokens[email]}", proxy=None, max_size=None) as socket:
            yield socket

    def connections_of(self, email: str) -> list[str]:
        found = self.aws.client("dynamodb").scan(TableName="direct-connections", ConsistentRead=True)["Items"]
        return [row["connectionId"]["S"] for row in found if row["email"]["S"] == email]


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    with local_stack(tmp_path_factory.mktemp("direct")) as aws:
        yield Direct(aws, aws.deploy("direct")["websocket_url"], {})


async def ask(socket: websockets.ClientConnection, action: str, answer: str, **fields: Any) -> dict[str, Any]:
    await socket.send(json.dumps({"action": action, **fields}))
    return await frame(socket, answer)


async def test_two_people_talk_on_three_devices(direct: Direct) -> None:
    """DC1, DC2, DC5: sent, delivered to every device of the receiver, confirmed, read, and in the history of both."""
    async with direct.client(ANN) as ann, direct.client(BOB) as bob, direct.client(BOB) as phone:
        sent = await ask(ann, "sendMessage", "messageSent", receiverEmail=BOB, message="안녕하세요")
        assert (sent["delivered"], sent["failed"]) == (2, 0)
        message = {name: value for name, value in sent.items() if name not in ("delivered", "failed")}
        message["type"] = "message"
        assert await frame(bob) == await frame(phone) == message
        assert (message["senderEmail"], message["roomId"]) == (ANN, f"{ANN}#{BOB}")

        done = await ask(bob, "read", "readDone", **{"with": ANN})
        assert (done["count"], done["upTo"], done["readerEmail"]) == (1, message["timestamp"], BOB)
        assert await frame(ann, "read") == {**done, "type": "read"}

        answer = await ask(phone, "sendMessage", "messageSent", receiverEmail=ANN, message="hi")
        assert (await frame(ann))["messageId"] == answer["messageId"]
        for socket, partner in ((ann, BOB), (bob, ANN)):
            page = await ask(socket, "getHistory", "history", **{"with": partner, "limit": 2})
            assert [(one["message"], one["read"]) for one in page["messages"]] == [("hi", False), ("안녕하세요", True)]


async def test_both_send_at_once_and_nothing_is_lost_or_stored_twice(direct: Direct) -> None:
    """DC2, fault 7: 60 messages without waiting from both sides, every time unique, every message there once."""
    one, other = "carol@example.com", "dave@example.com"
    async with direct.client(one) as carol, direct.client(other) as dave:
        for number in range(30):
            await carol.send(json.dumps({"action": "sendMessage", "receiverEmail": other, "message": f"c{number}"}))
            await dave.send(json.dumps({"action": "sendMessage", "receiverEmail": one, "message": f"d{number}"}))
        confirmed = [await frame(carol, "messageSent") for _ in range(30)]
        assert {one["message"] for one in confirmed} == {f"c{number}" for number in range(30)}
        # Dave's own may still be on their way.
        confirmed += [await frame(dave, "messageSent") for _ in range(30)]
        stored, before = [], None
        while True:
            page = await ask(carol, "getHistory", "history", **{"with": other, "limit": 25, "before": before})
            stored += page["messages"]
            before = page["before"]
            if before is None:
                break
    times = [one["timestamp"] for one in stored]
    assert times == sorted(set(times), reverse=True)
    assert sorted(one["messageId"] for one in stored) == sorted(one["messageId"] for one in confirmed)
    assert len(stored) == 60


async def test_a_ghost_of_the_receiver_goes_and_does_not_count(direct: Direct) -> None:
    """Faults 6 and 15: 410 removes the ghost's row, and no other."""
    email = "erin@example.com"
    row = {
        "connectionId": {"S": "AAAAAAAAAAAAAAA="},
        "email": {"S": email},
        "connectedAt": {"S": "2024-06-18T06:13:20Z"},
    }
    direct.aws.client("dynamodb").put_item(TableName="direct-connections", Item=row)
    async with direct.client(ANN) as ann, direct.client(email) as erin:
        sent = await ask(ann, "sendMessage", "messageSent", receiverEmail=email, message="boo")
        assert (sent["delivered"], sent["failed"]) == (1, 0)
        assert (await frame(erin))["message"] == "boo"
        left = direct.connections_of(email)
        assert len(left) == 1
        assert row["connectionId"]["S"] not in left


async def test_a_sender_whose_row_is_gone_is_still_who_they_are(direct: Direct) -> None:
    """The authorizer's context comes with every frame of the connection."""
    email = "frank@example.com"
    async with direct.client(email) as frank:
        (connection,) = direct.connections_of(email)
        key = {"connectionId": {"S": connection}}
        direct.aws.client("dynamodb").delete_item(TableName="direct-connections", Key=key)
        sent = await ask(frank, "sendMessage", "messageSent", receiverEmail=email, message="note")
        assert (sent["senderEmail"], sent["delivered"]) == (email, 1)
    assert direct.connections_of(email) == []


async def test_whoever_has_no_token_of_this_pool_stays_out(direct: Direct) -> None:
    """DC1: GetUser would answer for a token of anybody's pool; ours alone counts."""
    theirs = await asyncio.to_thread(direct.aws.deploy, "theirs", "--app", "direct")
    stranger = await asyncio.to_thread(direct.aws.token, "theirs", BOB)
    async with websockets.connect(f"{theirs['websocket_url']}?token={stranger}", proxy=None):
        pass
    for query in (f"?token={stranger}", "?token=nonsense", ""):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with websockets.connect(direct.url + query, proxy=None):
                pass
        assert refused.value.response.status_code == 401
