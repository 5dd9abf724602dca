"""Read receipts, unread counts, recent conversations (DC4, DC5), typing, single messages (SQ3), on both back ends."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import quote

from sse_service.adapters.memory import MemoryMessages
from sse_service.app import make_backends
from sse_service.chat.sending import message_id_at
from sse_service.chat.typing import TYPING_LIFE_S
from sse_service.ports import Message
from sse_service.settings import Settings
from sse_service.testing import FakeClock

SEND, READ, UNREAD, RECENT = "/api/chat/send", "/api/chat/read", "/api/chat/unread", "/api/chat/conversations"


async def say(api: Any, sender: str, text: str, **where: str) -> dict[str, Any]:
    answer = await api.post(SEND, sender, {"message": text, **where})
    assert answer.status_code == 201, answer.text
    sent: dict[str, Any] = answer.json()
    return sent


async def test_dc5_reading_tells_the_partner_and_marks_the_history(any_service: Any) -> None:
    service = any_service
    async with service.stream("ann") as ann:
        for text in ("one", "two"):
            await say(service, "ann", text, **{"with": "bob"})
        await say(service, "bob", "three", **{"with": "ann"})
        rows = (await service.get("/chat/history?with=ann", "bob")).json()["messages"]
        done = await service.post(READ, "bob", {"with": "ann", "upTo": rows[2]["timestamp"]})
        frame = {"roomId": "ann#bob", "readerEmail": "bob", "upTo": rows[2]["timestamp"], "count": 1}
        assert done.json() == {"type": "readDone", **frame}
        assert (await ann.frame("read")).json == {"type": "read", **frame}
        all_of_it = (await service.post(READ, "bob", {"with": "ann"})).json()
        assert (all_of_it["count"], all_of_it["upTo"]) == (1, rows[0]["timestamp"])
        await ann.frame("read", 2)
        rows = (await service.get("/chat/history?with=bob", "ann")).json()["messages"]
        assert [(row["message"], row["read"]) for row in rows] == [("three", False), ("two", True), ("one", True)]


async def test_dc5_a_cursor_never_goes_back_and_a_repeat_tells_nobody(api: Any) -> None:
    await api.room("c", "ann", "bob")
    sent = [await say(api, "ann", str(n), conversationId="c") for n in range(4)]

    async def read(up_to: object = None) -> dict[str, Any]:
        answer = await api.post(READ, "bob", {"conversationId": "c", "upTo": up_to})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert (await read(sent[2]["timestamp"]))["count"] == 3
    again, back = await read(sent[2]["timestamp"]), await read(sent[0]["timestamp"])
    assert again["upTo"] == back["upTo"] == sent[2]["timestamp"]
    assert back["count"] == 0
    # The future holds messages that nobody has read.
    assert (await read(9_999_999_999))["upTo"] == sent[3]["timestamp"]
    await say(api, "ann", "later", conversationId="c")
    assert (await api.get(UNREAD, "bob")).json() == {
        "unread": 1,
        "conversations": [{"conversationId": "c", "unread": 1}],
    }
    told = [e for e in await api.events() if e.type == "read"]
    assert len(told) == 2


async def test_dc5_racing_readers_count_each_message_once(api: Any) -> None:
    await api.room("c", "ann", "bob")
    sent = [await say(api, "ann", str(n), conversationId="c") for n in range(6)]
    times = [one["timestamp"] for one in sent]
    answers = await asyncio.gather(
        *(api.post(READ, "bob", {"conversationId": "c", "upTo": at}) for at in (*times, *reversed(times)))
    )
    assert max(a.json()["upTo"] for a in answers) == times[-1]
    assert sum(json.loads(e.data)["count"] for e in await api.events() if e.type == "read") == 6
    assert (await api.get(UNREAD, "bob")).json()["unread"] == 0


async def test_dc5_unread_is_exact_while_many_send_and_read(api: Any) -> None:
    """No counter to drift: what is unread is what the table holds behind the cursor."""
    await api.room("c", "ann", "bob", "zoe")

    async def send(n: int) -> None:
        await say(api, "ann" if n % 2 else "zoe", str(n), conversationId="c")

    async def read() -> None:
        await api.post(READ, "bob", {"conversationId": "c"})

    await asyncio.gather(*(send(n) for n in range(8)), read(), *(send(n) for n in range(8, 12)), read())
    rows = (await api.get("/api/chat/history?conversationId=c", "bob")).json()["messages"]
    up_to = (await api.get(RECENT, "bob")).json()["conversations"][0]["readUpTo"] or 0
    expected = len([row for row in rows if row["timestamp"] > up_to])
    assert (await api.get(UNREAD, "bob")).json()["unread"] == expected
    # One's own messages are nobody's to read for oneself.
    assert (await api.get(UNREAD, "ann")).json()["unread"] == len([r for r in rows if r["userName"] != "ann"])


async def test_dc5_nobody_reads_or_types_in_a_conversation_of_others(api: Any) -> None:
    await api.room("c", "ann")
    for body in ({"conversationId": "c"}, {"conversationId": "nowhere"}):
        assert (await api.post(READ, "eve", body)).status_code == 403
        assert (await api.post("/api/chat/typing", "eve", {**body, "typing": True})).status_code == 403
    assert (await api.post(READ, "ann", {"conversationId": "c", "upTo": "yesterday"})).status_code == 400
    # JSON has integers that are beyond every float.
    assert (await api.post(READ, "ann", {"conversationId": "c", "upTo": 10**400})).status_code == 200
    assert (await api.post(READ, "ann", {})).status_code == 400
    empty = (await api.post(READ, "ann", {"conversationId": "c"})).json()
    assert (empty["upTo"], empty["count"]) == (None, 0)


async def test_dc4_recent_conversations_newest_first_with_unread(api: Any) -> None:
    await say(api, "bob", "b1", **{"with": "ann"})
    await api.room("team", "ann", "bob")
    await say(api, "bob", "t1", conversationId="team")
    await say(api, "zoe", "z1", **{"with": "ann"})
    await say(api, "bob", "b2", **{"with": "ann"})
    await api.room("quiet", "ann")
    page = (await api.get(RECENT, "ann")).json()
    shown = [(one["conversationId"], one["unread"], one.get("with")) for one in page["conversations"]]
    assert shown == [
        ("direct:ann#bob", 2, "bob"),
        ("direct:ann#zoe", 1, "zoe"),
        ("team", 1, None),
        ("quiet", 0, None),
    ]
    assert page["conversations"][0]["lastMessage"]["message"] == "b2"
    assert page["conversations"][2]["lastMessage"]["userName"] == "bob"
    assert page["conversations"][3]["lastMessage"] is None
    await api.post(READ, "ann", {"with": "bob"})
    names, before = [], ""
    while True:
        part = (await api.get(f"{RECENT}?limit=2{before}", "ann")).json()
        names.append([(one["conversationId"], one["unread"]) for one in part["conversations"]])
        if part["before"] is None:
            break
        before = f"&before={part['before']!r}"
    assert names == [[("direct:ann#bob", 0), ("direct:ann#zoe", 1)], [("team", 1), ("quiet", 0)]]
    assert [one["conversationId"] for one in (await api.get(RECENT, "eve")).json()["conversations"]] == []


async def test_dc4_conversations_of_the_same_moment_are_not_stepped_over(api: Any) -> None:
    for n in range(5):
        await api.room(f"r{n}", "ann")
    first = (await api.get(f"{RECENT}?limit=2", "ann")).json()
    assert len(first["conversations"]) == 5 and first["before"] is None


async def test_unread_counts_what_others_write_into_a_shared_table(start_api: Any, dynamo_tables: Settings) -> None:
    """Messages that another stack has stored, without telling this service."""
    from sse_service.adapters.dynamodb import Dynamo, TableSpec

    settings = dynamo_tables.replace(
        messages_table=f"{dynamo_tables.table_prefix}-rooms-ChatMessages",
        messages_partition_key="roomId",
        messages_tenant="demo",
    )
    dynamo = Dynamo(settings)
    await dynamo.connect()
    await dynamo._create(TableSpec(settings.messages_table, ("roomId", "S"), ("timestamp", "N")))
    api = await start_api(settings)
    await api.room("main", is_open=True)
    await say(api, "ann", "mine", conversationId="main")
    await api.post(READ, "ann", {"conversationId": "main"})
    old = {"messageId": {"S": "m0"}, "userName": {"S": "bob"}, "message": {"S": "from there"}}
    item = {"roomId": {"S": "main"}, "timestamp": {"N": "4000000000.123456"}, **old}
    await dynamo.call("put_item", TableName=settings.messages_table, Item=item)
    assert (await api.get(UNREAD, "ann")).json()["unread"] == 1
    assert (await api.get("/api/chat/messages/m0?conversationId=main", "ann")).json()["message"] == "from there"
    await dynamo.close()


async def test_unread_is_counted_no_further_than_a_thousand() -> None:
    store = MemoryMessages()
    for n in range(1200):
        await store.put("t", Message("c", str(n), "bob", "x", n + 1, "bob"), is_open=False)
    where: dict[str, Any] = {"is_open": False, "after_us": 100, "until_us": None}
    assert await store.count("t", "c", **where, not_by=("ann",), limit=1000) == 1000
    assert await store.count("t", "c", **where, not_by=("bob",), limit=1000) == 0


async def test_typing_is_told_to_the_others_and_not_replayed(start_service: Any, settings: Settings) -> None:
    """An event with a short life: live for the others, gone for who comes back later."""
    clock = FakeClock(time.time())
    service = await start_service(settings, None, clock)
    path = "/api/chat/typing"
    await say(service, "bob", "hello", **{"with": "ann"})
    async with service.stream("bob") as bob, service.stream("ann") as ann:
        start = bob.frames[0].id
        said = await service.post(path, "ann", {"with": "bob", "typing": True})
        assert said.json() == {"told": True}
        event = (await bob.frame("chat_typing")).json
        assert event == {"type": "chat_typing", "chat_id": "direct:ann#bob", "typing": True, "user_id": "ann"}
        # The same again is not worth an event; the other thing, or the same later, is.
        assert (await service.post(path, "ann", {"with": "bob", "typing": True})).json() == {"told": False}
        assert (await service.post(path, "ann", {"with": "bob", "typing": False})).json() == {"told": True}
        clock.advance(TYPING_LIFE_S)
        assert (await service.post(path, "ann", {"with": "bob", "typing": False})).json() == {"told": True}
        await bob.frame("chat_typing", 3)
        await say(service, "bob", "ok", **{"with": "ann"})
        await ann.frame("message")
        assert ann.of_type("chat_typing") == []
    async with service.stream("bob", cursor=start) as again:
        await again.frame("message")
        assert [frame.json["typing"] for frame in again.of_type("chat_typing")] == [False]  # the one that still lives
    clock.advance(TYPING_LIFE_S)
    async with service.stream("bob", cursor=start) as later:
        await later.frame("message")
        assert later.of_type("chat_typing") == []


async def test_typing_to_a_user_makes_no_conversation(memory_api: Any) -> None:
    for is_typing in (True, False):
        said = await memory_api.post("/api/chat/typing", "ann", {"with": "bob", "typing": is_typing})
        assert (said.status_code, said.json()) == (202, {"told": False})
    assert await memory_api.events() == []
    for user in ("ann", "bob"):
        assert (await memory_api.get(RECENT, user)).json()["conversations"] == []
    await say(memory_api, "ann", "hello", **{"with": "bob"})
    told = await memory_api.post("/api/chat/typing", "ann", {"with": "bob", "typing": True})
    assert (told.status_code, told.json()) == (200, {"told": True})


async def test_sq3_events_carry_the_id_alone_and_say_where_the_message_is(
    start_service: Any, settings: Settings
) -> None:
    service = await start_service(settings.replace(notify="id"))
    for where, user in (({"with": "bob"}, "bob"), ({"conversationId": "support-ann"}, "ann")):
        async with service.stream(user) as stream:
            sent = await say(service, "ann", "secret text", **where)
            event = (await stream.frame("message")).json
            assert set(event) == {"type", "roomId", "messageId", "href"}
            assert event["messageId"] == sent["messageId"]
            found = (await service.get(event["href"], user)).json()
            assert (found["message"], found["messageId"]) == ("secret text", sent["messageId"])
            assert (await service.get(event["href"], "eve")).status_code == 403


async def test_sq3_a_message_is_found_by_its_id(api: Any) -> None:
    await api.room("c", "ann")
    sent = [await say(api, "ann", str(n), conversationId="c") for n in range(3)]
    for one, text in zip(sent, "012", strict=True):
        found = await api.get(f"/api/chat/messages/{one['messageId']}?conversationId=c", "ann")
        assert found.json()["message"] == text
    for name in (message_id_at(1), "nonsense", "a" * 256):
        assert (await api.get(f"/api/chat/messages/{name}?conversationId=c", "ann")).status_code == 404
    assert (await api.get(f"/api/chat/messages/{sent[0]['messageId']}", "ann")).status_code == 400
    odd = quote("x/y?z", safe="")
    assert (await api.get(f"/api/chat/messages/{odd}?conversationId=c", "ann")).status_code == 404


async def test_stores_agree_on_inboxes(settings: Settings, dynamo_tables: Settings) -> None:
    """One behaviour: forward only, previous step known, what was never touched is absent."""
    for chosen in (settings, dynamo_tables):
        backends = make_backends(chosen, time.time)
        await backends.log.start()
        inbox = backends.inbox
        await inbox.touch("t", "c", 50)
        await inbox.touch("t", "c", 40)
        assert await inbox.activity("t", ["c", "d"]) == {"c": 50}
        assert await inbox.activity("u", ["c"]) == {}
        assert (await inbox.advance("t", "ann", "c", 10)).previous_us == 0
        cursor = await inbox.advance("t", "ann", "c", 30)
        assert (cursor.up_to_us, cursor.previous_us) == (30, 10)
        assert await inbox.advance("t", "ann", "c", 20) == cursor
        many = [f"n{n}" for n in range(230)]
        await asyncio.gather(*(inbox.touch("t", name, n + 1) for n, name in enumerate(many)))
        assert len(await inbox.activity("t", many)) == 230
        assert await inbox.cursors("t", "ann", ["c", *many]) == {"c": cursor}
        await backends.log.close()
