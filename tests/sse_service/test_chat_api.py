"""Sending, history and conversations over HTTP, on both back ends."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest

from sse_service.app import make_backends
from sse_service.errors import UnavailableError
from sse_service.settings import Settings

SEND = "/api/chat/send"


async def test_sq1_send_then_history(api: Any) -> None:
    await api.room("main", "ann", "bob")
    sent = await api.post(SEND, "ann", {"conversationId": "main", "message": "hi", "userName": "Ann"})
    assert sent.status_code == 201
    body = sent.json()
    assert set(body) == {"messageId", "conversationId", "timestamp", "duplicate"}
    assert body["duplicate"] is False and abs(body["timestamp"] - time.time()) < 60
    history = (await api.get("/api/chat/history?conversationId=main", "bob")).json()
    assert history["messages"] == [
        {
            "roomId": "main",
            "messageId": body["messageId"],
            "userName": "Ann",
            "message": "hi",
            "timestamp": body["timestamp"],
        }
    ]


async def test_rc4_history_pages_back_without_overlap_or_hole(api: Any) -> None:
    await api.room("main", "ann")
    for n in range(7):
        await api.post(SEND, "ann", {"conversationId": "main", "message": str(n)})
    pages, before = [], None
    while True:
        query = f"?conversationId=main&limit=3{f'&before={before!r}' if before else ''}"
        page = (await api.get(f"/api/chat/history{query}", "ann")).json()
        pages.append([row["message"] for row in page["messages"]])
        before = page["before"]
        if before is None:
            break
    assert pages == [["4", "5", "6"], ["1", "2", "3"], ["0"]]
    all_rows = (await api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]
    after = all_rows[4]["timestamp"]
    newer = (await api.get(f"/api/chat/history?conversationId=main&after={after!r}", "ann")).json()
    assert [row["message"] for row in newer["messages"]] == ["5", "6"] and newer["before"] is None


@pytest.mark.parametrize(
    "query",
    ["", "?conversationId=", "?conversationId=main&limit=0", "?conversationId=main&limit=x"]
    + [f"?conversationId=main&before={value}" for value in ("x", "nan", "-1", "1e99", "inf")],
)
async def test_history_says_what_is_wrong_with_a_query(memory_api: Any, query: str) -> None:
    await memory_api.room("main", "ann")
    answer = await memory_api.get(f"/api/chat/history{query}", "ann")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_sq5_a_repeated_key_returns_the_first_message(api: Any) -> None:
    await api.room("main", "ann", "bob")
    body = {"conversationId": "main", "message": "once", "idempotencyKey": "k-1"}
    first = await api.post(SEND, "ann", body)
    again = await api.post(SEND, "ann", body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {**first.json(), "duplicate": True}
    other = await api.post(SEND, "bob", body)  # another user's key is another key
    assert other.status_code == 201 and other.json()["messageId"] != first.json()["messageId"]
    history = (await api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]
    assert len(history) == 2
    assert len([e for e in await api.events() if e.type == "message"]) == 2


async def test_sq5_racing_repeats_store_and_publish_once(api: Any) -> None:
    await api.room("main", "ann")
    body = {"conversationId": "main", "message": "once", "idempotencyKey": "race"}
    answers = await asyncio.gather(*(api.post(SEND, "ann", body) for _ in range(8)))
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    assert len({a.json()["messageId"] for a in answers}) == 1
    assert len({a.json()["timestamp"] for a in answers}) == 1
    assert len((await api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]) == 1
    assert len([e for e in await api.events() if e.type == "message"]) == 1


class Faulty:
    """A back end that fails once; `carried_out`: the call has its effect, only its answer is lost."""

    def __init__(self, inner: Any, method: str, *, carried_out: bool) -> None:
        self._inner = inner
        self._method = method
        self._carried_out = carried_out
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        if name == "append_now":  # force the log's slow path
            raise AttributeError(name)
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        async def call(*arguments: Any, **options: Any) -> Any:
            if not self.fails:
                return await found(*arguments, **options)
            self.fails = False
            if self._carried_out:
                await found(*arguments, **options)
            if name == "append":  # not one that the publisher would try again itself
                raise RuntimeError("injected")
            raise UnavailableError("injected")

        return call


@pytest.mark.parametrize("carried_out", [False, True], ids=["not carried out", "answer lost"])
@pytest.mark.parametrize(
    ("part", "method"), [("claims", "claim"), ("messages", "put"), ("log", "append"), ("claims", "complete")]
)
async def test_sq5_a_failed_send_is_completed_by_its_repeat(
    start_api: Any, dynamo_tables: Settings, part: str, method: str, carried_out: bool
) -> None:
    """503 names the key; repeating with it stores and publishes the message exactly once."""
    real = make_backends(dynamo_tables, time.time)
    faulty: Any = Faulty(getattr(real, part), method, carried_out=carried_out)
    api = await start_api(dynamo_tables, dataclasses.replace(real, **{part: faulty}))
    await api.room("main", "ann")
    faulty.fails = True
    body = {"conversationId": "main", "message": "hi", "idempotencyKey": "k"}
    first = await api.post(SEND, "ann", body)
    assert not faulty.fails
    if method == "complete":  # all work is done by then
        assert first.status_code == 201
        return
    assert first.status_code == 503
    assert first.headers["retry-after"]
    assert first.json()["idempotencyKey"] == "k"
    second = await api.post(SEND, "ann", body)
    assert second.status_code == 201, second.text
    third = await api.post(SEND, "ann", body)
    assert third.status_code == 200 and third.json()["messageId"] == second.json()["messageId"]
    assert len((await api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]) == 1
    events = [e for e in await api.events() if e.type == "message"]
    assert [e.key for e in events] == [second.json()["messageId"]]


async def test_a_503_without_a_key_of_the_client_brings_the_one_to_repeat_with(
    start_api: Any, dynamo_tables: Settings
) -> None:
    real = make_backends(dynamo_tables, time.time)
    faulty: Any = Faulty(real.log, "append", carried_out=True)
    api = await start_api(dynamo_tables, dataclasses.replace(real, log=faulty))
    await api.room("main", "ann")
    faulty.fails = True
    body = {"conversationId": "main", "message": "hi"}
    first = await api.post(SEND, "ann", body)
    assert first.status_code == 503
    second = await api.post(SEND, "ann", {**body, "idempotencyKey": first.json()["idempotencyKey"]})
    assert second.status_code == 201
    assert len([e for e in await api.events() if e.type == "message"]) == 1


async def test_messages_of_one_microsecond_keep_their_own_places(api: Any) -> None:
    """A taken timestamp moves the message by a microsecond instead of overwriting what is there."""
    await api.room("main", "ann")
    answers = await asyncio.gather(
        *(api.post(SEND, "ann", {"conversationId": "main", "message": str(n)}) for n in range(20))
    )
    assert len({a.json()["timestamp"] for a in answers}) == 20
    rows = (await api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]
    assert sorted(int(row["message"]) for row in rows) == list(range(20))


async def test_sq6_only_participants_send_and_read(api: Any) -> None:
    """Somebody else's conversation and one that does not exist get the same answer."""
    await api.room("theirs", "ann")
    answers = []
    for room in ("theirs", "nowhere"):
        answers.append(await api.post(SEND, "eve", {"conversationId": room, "message": "x"}))
        answers.append(await api.get(f"/api/chat/history?conversationId={room}", "eve"))
        answers.append(await api.get(f"/api/chat/stream?conversationId={room}", "eve"))
    assert {a.status_code for a in answers} == {403}
    assert len({(a.json()["title"], a.json()["detail"]) for a in answers}) == 1
    # The same names in another tenant are other people and other conversations.
    foreign = await api.post(SEND, "ann", {"conversationId": "theirs", "message": "x"}, "other")
    assert foreign.status_code == 403


async def test_conversations_are_made_once_and_widened_by_their_creator(api: Any) -> None:
    path, body = "/api/conversations", {"conversationId": "c", "participants": ["bob"]}
    made = await api.post(path, "ann", body)
    assert made.status_code == 201
    assert made.json() == {"conversationId": "c", "participants": ["ann", "bob"], "open": False}
    assert (await api.post(path, "ann", body)).status_code == 200
    assert (await api.post(path, "bob", body)).status_code == 200  # nothing to change
    assert (await api.post(path, "bob", {"conversationId": "c"})).status_code == 200
    assert (await api.post(path, "bob", {"conversationId": "c", "participants": ["eve"]})).status_code == 403
    assert (await api.post(path, "bob", {"conversationId": "c", "open": True})).status_code == 403
    assert (await api.post(path, "eve", {"conversationId": "c"})).status_code == 403
    widened = await api.post(path, "ann", {"conversationId": "c", "participants": ["eve"]})
    assert widened.json()["participants"] == ["ann", "bob", "eve"]
    assert (await api.get("/api/chat/history?conversationId=c", "eve")).status_code == 200


async def test_a_shared_messages_table_has_the_rooms_format_and_one_tenant(
    start_api: Any, dynamo_tables: Settings, moto_url: str
) -> None:
    """RC3, RC4: rows of the stack that is left are history here, and rows written here have its format."""
    from sse_service.adapters.dynamodb import Dynamo, TableSpec

    settings = dynamo_tables.replace(
        messages_table=f"{dynamo_tables.table_prefix}-rooms-ChatMessages",
        messages_partition_key="roomId",
        messages_tenant="demo",
    )
    dynamo = Dynamo(settings)
    await dynamo.connect()
    await dynamo._create(TableSpec(settings.messages_table, ("roomId", "S"), ("timestamp", "N")))
    old = {"messageId": {"S": "m0"}, "userName": {"S": "old"}, "message": {"S": "before"}}
    item = {"roomId": {"S": "main"}, "timestamp": {"N": "1718700020.1234560"}, **old}
    await dynamo.call("put_item", TableName=settings.messages_table, Item=item)
    api = await start_api(settings)
    await api.room("main", is_open=True)
    sent = (await api.post(SEND, "ann", {"conversationId": "main", "message": "after"})).json()
    rows = (await api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]
    assert [(r["messageId"], r["timestamp"]) for r in rows] == [
        ("m0", 1718700020.123456),
        (sent["messageId"], sent["timestamp"]),
    ]
    items = await dynamo.query(
        TableName=settings.messages_table,
        KeyConditionExpression="roomId = :r",
        ExpressionAttributeValues={":r": {"S": "main"}},
    )
    assert set(items[1]) == {"roomId", "timestamp", "messageId", "userName", "message"}
    assert len(items[1]["timestamp"]["N"].partition(".")[2]) <= 6
    # Another tenant may have a conversation of that name; it must not see this table.
    other = {"conversationId": "main", "open": True}
    assert (await api.post("/api/conversations", "eve", other, "other")).status_code == 201
    assert (await api.post(SEND, "eve", {"conversationId": "main", "message": "x"}, "other")).status_code == 201
    theirs = (await api.get("/api/chat/history?conversationId=main", "eve", "other")).json()["messages"]
    assert [row["message"] for row in theirs] == ["x"]
    # Whoever talks to the stack that is left may read any partition of its table: private ones are kept elsewhere.
    await api.room("private", "ann")
    assert (await api.post(SEND, "ann", {"conversationId": "private", "message": "secret"})).status_code == 201
    rows = (await api.get("/api/chat/history?conversationId=private", "ann")).json()["messages"]
    assert [row["message"] for row in rows] == ["secret"]
    shared = await dynamo.call("scan", TableName=settings.messages_table)
    assert {row["message"]["S"] for row in shared["Items"]} == {"before", "after"}
    opened = await api.post("/api/conversations", "ann", {"conversationId": "private", "open": True})
    assert opened.status_code in (400, 403)
    await dynamo.close()


async def test_tenants_with_conversations_of_the_same_name_do_not_meet(api: Any) -> None:
    for tenant in ("a", "a#b", "b"):
        body = {"conversationId": "main", "open": True}
        assert (await api.post("/api/conversations", "ann", body, tenant)).status_code == 201
        await api.post(SEND, "ann", {"conversationId": "main", "message": tenant}, tenant)
    for tenant in ("a", "a#b", "b"):
        rows = (await api.get("/api/chat/history?conversationId=main", "x", tenant)).json()["messages"]
        assert [row["message"] for row in rows] == [tenant]
    made = await api.post("/api/conversations", "ann", {"conversationId": "b#main", "open": True}, "a")
    assert made.status_code == 201
    rows = (await api.get("/api/chat/history?conversationId=b%23main", "x", "a")).json()["messages"]
    assert rows == []


async def test_a_conversation_is_shown_to_participants_and_back_ends(api: Any) -> None:
    """SQ6: others cannot tell whether it exists; a back end is told that it does not."""
    await api.room("private", "ann", "bob")
    path = "/api/conversations?conversationId="
    assert (await api.get(path + "private", "bob")).json() == {
        "conversationId": "private",
        "participants": ["ann", "bob"],
        "open": False,
    }
    refused = [await api.get(path + name, "eve") for name in ("private", "absent")]
    assert [answer.status_code for answer in refused] == [403, 403]
    service = {"scope": "events:publish"}
    assert (await api.get(path + "private", "worker", **service)).json()["open"] is False
    assert (await api.get(path + "absent", "worker", **service)).status_code == 404


async def test_announcements_of_different_users_never_share_a_key(api: Any) -> None:
    """SQ6: user "a" with conversation "b:c" and user "a:b" with conversation "c" are both told."""
    service = {"scope": "events:publish"}
    for name, user in (("b:c", "a"), ("c", "a:b")):
        body = {"conversationId": name, "participants": [user]}
        assert (await api.post("/api/conversations", "worker", body, **service)).status_code == 201
    told = [event for event in await api.events() if event.type == "conversation"]
    assert {event.topic for event in told} == {"user:a", "user:a:b"}
    assert len({event.key for event in told}) == 2
