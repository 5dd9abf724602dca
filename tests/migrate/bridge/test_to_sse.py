"""Legacy -> SSE: nothing is lost, nothing blocks, nothing is dropped in silence. until phase 3 (MG8)"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from botocore.exceptions import ClientError

from migrate.bridge.applications import DELIVER
from migrate.bridge.core import NOBODY, Owner, Rules
from migrate.bridge.status import BridgeStatus
from migrate.bridge.to_sse import LegacyToSse
from migrate.config.model import Deliver, Feature
from migrate.shadow.faults import Faults
from migrate.tokens import mint

SECRET = "0123456789012345678901234567890123456789"


RULES = Rules([Feature(name="chat", deliver=DELIVER["rooms"]["chat"])], "demo")


def token(tenant: str) -> str:
    return mint("bridge", tenant, SECRET, ("events:publish",))


class Queue:
    """Stands for SQS: gives what waits, and what was not deleted again."""

    def __init__(self, *bodies: str) -> None:
        self.waiting = {str(number): body for number, body in enumerate(bodies)}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        if not self.waiting:
            import time

            time.sleep(0.01)
        return {"Messages": [{"Body": body, "ReceiptHandle": key} for key, body in list(self.waiting.items())[:10]]}

    def delete_message_batch(self, **call: Any) -> dict[str, Any]:
        for entry in call["Entries"]:
            self.waiting.pop(entry["ReceiptHandle"], None)
        return {}


class Service:
    """Stands for POST /api/events."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.down = 0
        self.private = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"].startswith("Bearer ")
        if request.method == "GET":
            if self.private:
                return httpx.Response(200, json={"conversationId": "main", "open": False, "participants": ["ann"]})
            return httpx.Response(404)
        if self.down:
            self.down -= 1
            return httpx.Response(503)
        events = json.loads(request.content)["events"]
        if any(event["key"] == "poison" for event in events):
            return httpx.Response(422)
        self.keys += [event["key"] for event in events if event["key"] not in self.keys]
        return httpx.Response(201)


def record(*keys: str) -> str:
    posts = [
        {
            "data": json.dumps({"type": "message", "roomId": "main", "messageId": key, "message": "x"}),
            "base64": False,
            "at": float(number),
            "ok": ["c"],
            "gone": [],
            "failed": [],
        }
        for number, key in enumerate(keys)
    ]
    fields = {"request_id": "r", "api_id": "a", "stage": "prod", "route_key": "sendMessage", "event_type": "MESSAGE"}
    rest = {"connection_id": "c", "connected_at": 0, "user": "alice", "tenant": "demo", "at": 0.0, "body": None}
    more = {"base64": False, "failed": False, "dropped_before": 0, "posts": posts}
    return json.dumps({"v": 1, **fields, **rest, **more})


async def run(
    queue: Queue, service: Service, folder: Path, *, rules: Rules = RULES,
    who: Callable[[str], Owner] = lambda _: NOBODY, seen: Callable[[str], None] = lambda _: None,
    loses: Callable[[], bool] = lambda: False, met: Callable[[str, Owner], None] = lambda *_: None,
) -> BridgeStatus:  # fmt: skip
    """Let the bridge work until the queue is empty."""
    status, stop = BridgeStatus(), asyncio.Event()
    transport = httpx.MockTransport(service)
    async with httpx.AsyncClient(base_url="http://sse", transport=transport) as http:
        aside = folder / "aside.jsonl"
        bridge = LegacyToSse(queue, "q", http, token, rules, status, aside, who, seen, loses, met)
        task = asyncio.create_task(bridge.run(stop))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                while queue.waiting:
                    await asyncio.sleep(0.01)
        stop.set()
        await task
    assert not queue.waiting
    return status


async def test_messages_are_published_and_then_deleted(tmp_path: Path) -> None:
    """MG8: in their order, counted."""
    service = Service()
    status = await run(Queue(record("a", "b"), record("c")), service, tmp_path)
    assert (service.keys, status.to_sse, status.problem_to_sse) == (["a", "b", "c"], 3, "")


async def test_a_message_can_be_lost_on_purpose(tmp_path: Path) -> None:
    """MG16: a rehearsal in which nothing can be lost would prove nothing."""
    service = Service()
    queue = Queue(record("a", "b", "c"))
    await run(queue, service, tmp_path, loses=Faults.parse("bridge-drop=2").loses_crossing)
    assert service.keys == ["a", "c"]


async def test_a_service_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """MG8: nothing is lost while the service answers 503."""
    service = Service()
    service.down = 3
    status = await run(Queue(record("a")), service, tmp_path)
    assert (service.keys, status.problem_to_sse) == (["a"], "")


async def test_one_message_that_is_refused_does_not_block_the_others(tmp_path: Path) -> None:
    """MG8: what the service will never take is put aside, with its reason; the rest goes on."""
    service = Service()
    status = await run(Queue(record("a", "poison", "b"), record("c")), service, tmp_path)
    assert service.keys == ["a", "b", "c"]
    assert status.refused == 1
    [line] = (tmp_path / "aside.jsonl").read_text().splitlines()
    assert "422" in json.loads(line)["reason"]
    assert "poison" in json.loads(line)["body"]


@pytest.mark.parametrize("body", ["no json", '{"v": 99}', "[]"])
async def test_a_record_that_cannot_be_read_is_put_aside(tmp_path: Path, body: str) -> None:
    """MG8: a newer or broken tee does not stop the bridge."""
    service = Service()
    status = await run(Queue(body, record("a")), service, tmp_path)
    assert (service.keys, status.malformed) == (["a"], 1)
    assert json.loads((tmp_path / "aside.jsonl").read_text())["body"] == body


async def test_nothing_is_written_into_a_private_conversation(tmp_path: Path) -> None:
    """MG8, SQ6: a WebSocket room that has the name of a private conversation stays on its side, and is put aside."""
    service = Service()
    service.private = True
    status = await run(Queue(record("a")), service, tmp_path)
    assert (service.keys, status.refused) == ([], 1)
    assert "private" in (tmp_path / "aside.jsonl").read_text()
    assert (tmp_path / "aside.jsonl").stat().st_mode & 0o777 == 0o600


async def test_a_tenant_the_service_does_not_know_blocks_nobody(tmp_path: Path) -> None:
    """MG8: the legacy stack allows tenants whose tokens the service refuses; their messages are put aside."""

    class Picky(Service):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            token = request.headers["authorization"].removeprefix("Bearer ")
            if jwt.decode(token, SECRET, algorithms=["HS256"])["tenant_id"] != "demo":
                return httpx.Response(401)
            return super().__call__(request)

    service = Picky()
    odd = json.loads(record("odd"))
    odd["tenant"] = "odd\x01tenant"
    status = await run(Queue(json.dumps(odd), record("a")), service, tmp_path)
    assert (service.keys, status.refused) == (["a"], 1)


async def test_a_table_that_is_away_loses_nothing(tmp_path: Path) -> None:
    """Whose a connection is was asked of a table that did not answer: the records were deleted unpublished."""
    asked = 0

    def owner_of(_: str) -> Owner:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem")
        return Owner("bob", "demo")

    rule = Deliver(frame="message", event="message", topic="user:{$recipient}", key="{messageId}")
    queue, service = Queue(record("a")), Service()
    status = await run(
        queue, service, tmp_path, rules=Rules([Feature(name="n", deliver=(rule,))], "demo"), who=owner_of
    )
    assert service.keys == ["a"]
    assert status.to_sse == 1


async def test_recipients_nobody_knows_any_more_are_counted_and_kept(tmp_path: Path) -> None:
    """They were left out without a word."""
    rule = Deliver(frame="message", event="message", topic="user:{$recipient}", key="{messageId}")
    met: list[tuple[str, Owner]] = []
    entered = json.dumps({**json.loads(record()), "connection_id": "c7", "user": "eve", "tenant": "demo"})
    service = Service()
    status = await run(
        Queue(entered, record("a")), service, tmp_path, rules=Rules([Feature(name="n", deliver=(rule,))], "demo"),
        who=lambda _: NOBODY, met=lambda one, owner: met.append((one, owner)),
    )  # fmt: skip
    assert ("c7", Owner("eve", "demo")) in met
    assert (service.keys, status.malformed) == ([], 0)
    assert status.nobodys == 1
    [line] = (tmp_path / "aside.jsonl").read_text(encoding="utf-8").splitlines()
    assert "nobody knows any more whose 1 of the connections were" in json.loads(line)["reason"]


async def test_losses_that_the_tee_reports_are_counted_once_however_often_a_record_is_read(tmp_path: Path) -> None:
    asked = 0

    def owner_of(_: str) -> Owner:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem")
        return Owner("bob", "demo")

    rule = Deliver(frame="message", event="message", topic="user:{$recipient}", key="{messageId}")
    body = json.dumps({**json.loads(record("a")), "dropped_before": 7})
    status = await run(
        Queue("no record", body), Service(), tmp_path, rules=Rules([Feature(name="n", deliver=(rule,))], "demo"),
        who=owner_of,
    )  # fmt: skip
    assert (status.not_captured, status.malformed) == (7, 1)
    assert len((tmp_path / "aside.jsonl").read_text(encoding="utf-8").splitlines()) == 1


async def test_a_record_that_no_rule_can_be_applied_to_is_put_aside_and_blocks_nobody(tmp_path: Path) -> None:
    broken = json.dumps({**json.loads(record("x")), "at": 1e300})
    queue, service = Queue(broken, record("after")), Service()
    status = await run(queue, service, tmp_path)
    assert service.keys == ["after"]
    assert status.malformed == 1


async def test_a_tenant_is_known_as_soon_as_somebody_of_it_comes(tmp_path: Path) -> None:
    """Who only listens on WebSocket is owed what the new stack's users say."""
    connect = {**json.loads(record()), "event_type": "CONNECT", "route_key": "$connect", "tenant": "acme"}
    seen: list[str] = []
    await run(Queue(json.dumps(connect)), Service(), tmp_path, seen=seen.append)
    assert seen == ["acme"]
