"""Names as long as they may be, in a script whose characters are long: no store may find them too long."""

from __future__ import annotations

from typing import Any

from sse_service.events import MAX_KEY_PART, MAX_NAME, key_part

CLEF = "\N{MUSICAL SYMBOL G CLEF}"


async def test_the_longest_names_work_everywhere(api: Any) -> None:
    user, other = CLEF * MAX_NAME, "\u65e5" * MAX_NAME
    tenant, room = "\ud55c" * MAX_NAME, CLEF * MAX_NAME
    made = await api.post("/api/conversations", user, {"conversationId": room, "participants": [other]}, tenant)
    assert made.status_code == 201, made.text
    body = {"conversationId": room, "message": "hello", "idempotencyKey": CLEF * 256}
    sent = [await api.post("/api/chat/send", user, body, tenant) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 200], sent[0].text
    direct = await api.post("/api/chat/send", user, {"with": other, "message": "you"}, tenant)
    assert direct.status_code == 201, direct.text
    assert (await api.post("/api/chat/read", other, {"conversationId": room}, tenant)).status_code == 200
    unread = await api.get("/api/chat/unread", other, tenant)
    assert unread.status_code == 200 and unread.json()["unread"] == 1, unread.text
    gone = await api.delete(f"/api/conversations/participants?conversationId={room}&user={other}", user, tenant)
    assert gone.status_code == 200, gone.text
    key = {"topic": "room:x", "type": "m", "data": 1, "key": CLEF * 256}
    back = await api.post("/api/events", user, {"events": [key]}, tenant, scope="events:publish")
    assert back.status_code in {200, 201, 202}, back.text


async def test_one_more_is_a_wrong_name(api: Any) -> None:
    answer = await api.post("/api/chat/send", "ann", {"with": CLEF * (MAX_NAME + 1), "message": "x"})
    assert answer.status_code == 400 and answer.json()["field"] == "with"


def test_parts_of_keys_are_short_and_different() -> None:
    long = key_part(CLEF * 200)
    assert len(long) <= MAX_KEY_PART and long != key_part(CLEF * 199) and "#" not in long
    # A name that looks like a shortened one is another one.
    assert key_part(long) != long and key_part("a:b#c") == "a%3Ab%23c"
