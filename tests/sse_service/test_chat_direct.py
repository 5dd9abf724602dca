"""Direct conversations (DC2, DC3), the support conversation (SQ6), participants, on both back ends."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from sse_service.chat.addresses import direct_id, direct_room, support_id
from sse_service.errors import InvalidInputError

SEND = "/api/chat/send"
ANN, BOB, EVE = "ann@x.kr", "bob@x.kr", "eve@x.kr"


def test_dc2_rooms_of_different_pairs_never_meet() -> None:
    """REQUIREMENTS, fault 18: `#`, `%` and case in addresses; and both sides name the same room."""
    people = ["a", "A", "b", "a#b", "a%23b", "a%b", "b#c", "c", "#", "%", "a#", "#b", "한"]
    pairs = {frozenset({one, other}) for one in people for other in people}
    rooms = {direct_room(min(pair), max(pair)) for pair in pairs}
    assert len(rooms) == len(pairs)
    assert direct_room("bob@x", "ann@x") == direct_room("ann@x", "bob@x") == "ann@x#bob@x"
    assert direct_room("a#b", "c%d") == "a%23b#c%25d"


def test_names_too_long_for_a_conversation_get_a_digest() -> None:
    long = ["x" * 190 + str(n) for n in range(3)]
    names = {direct_id(long[0], long[1]), direct_id(long[0], long[2]), support_id(long[0]), support_id(long[1])}
    assert len(names) == 4 and all(len(name) <= 200 for name in names)


async def test_dc2_dc3_direct_messages_have_the_frames_of_the_other_stack(any_service: Any) -> None:
    async with any_service.stream(BOB) as theirs, any_service.stream(ANN) as mine:
        sent = await any_service.post(SEND, ANN, {"with": BOB, "message": "안녕하세요"})
        assert sent.status_code == 201, sent.text
        frame = (await theirs.frame("message")).json
        assert frame == {
            "type": "message",
            "roomId": f"{ANN}#{BOB}",
            "messageId": sent.json()["messageId"],
            "senderEmail": ANN,
            "receiverEmail": BOB,
            "message": "안녕하세요",
            "timestamp": frame["timestamp"],
            "read": False,
        }
        assert len(frame["timestamp"]) == 27 and frame["timestamp"].endswith("Z")
        assert (await mine.frame("message")).json == frame  # the sender's other tabs
    history = (await any_service.get(f"/chat/history?with={ANN}", BOB)).json()
    assert history == {
        "type": "history",
        "roomId": f"{ANN}#{BOB}",
        "conversationId": f"direct:{ANN}#{BOB}",
        "messages": [frame],
        "before": None,
    }


async def test_dc3_history_is_newest_first_and_pages(api: Any) -> None:
    for n in range(7):
        sender, receiver = (ANN, BOB) if n % 2 else (BOB, ANN)
        await api.post(SEND, sender, {"with": receiver, "message": str(n)})
    pages, before = [], ""
    while True:
        page = (await api.get(f"/chat/history?with={ANN}&limit=3{before}", BOB)).json()
        pages.append([row["message"] for row in page["messages"]])
        if page["before"] is None:
            break
        before = f"&before={quote(page['before'])}"
    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    name = quote(f"direct:{ANN}#{BOB}")
    other_way = (await api.get(f"/api/chat/history?conversationId={name}", ANN)).json()
    assert [row["message"] for row in other_way["messages"]] == list("0123456")
    alias = (await api.get(f"/api/chat/history/direct?with={BOB}", ANN)).json()
    assert [row["message"] for row in alias["messages"]] == list("6543210")
    by_id = f"/api/chat/history?conversationId={name}&order=desc&limit=2"
    assert [row["message"] for row in (await api.get(by_id, ANN)).json()["messages"]] == ["6", "5"]


async def test_dc3_history_with_somebody_new_is_empty_and_makes_nothing(api: Any) -> None:
    assert (await api.get(f"/chat/history?with={BOB}", ANN)).json()["messages"] == []
    assert await api.events() == []
    assert (await api.get("/chat/history", ANN)).status_code == 400
    assert (await api.get("/chat/history?with=a%0Ab", ANN)).status_code == 400
    assert (await api.get(f"/chat/history?with={BOB}&before=2026-02-31T00:00:00Z", ANN)).status_code == 400


async def test_a_direct_conversation_is_its_two_users_alone(api: Any) -> None:
    """Nobody can make it for others before they do, widen it, open it or leave it."""
    path, name = "/api/conversations", f"direct:{ANN}#{BOB}"
    assert (await api.post(path, EVE, {"conversationId": name})).status_code == 403
    assert (await api.post(path, EVE, {"conversationId": name, "participants": [ANN, BOB]})).status_code == 403
    await api.post(SEND, ANN, {"with": BOB, "message": "hi"})
    for body in ({"participants": [EVE]}, {"open": True}):
        assert (await api.post(path, ANN, {"conversationId": name, **body})).status_code == 403
    assert (await api.get(f"/api/chat/history?conversationId={quote(name)}", EVE)).status_code == 403
    left = await api.delete(f"{path}/participants?conversationId={quote(name)}&user={ANN}", ANN)
    assert left.status_code == 403
    assert (await api.get(f"/chat/history?with={ANN}", BOB, "other")).json()["messages"] == []
    # A back end may make it, for its two users only.
    service: dict[str, Any] = {"scope": "events:publish"}
    assert (await api.post(path, "w", {"conversationId": name, "participants": [EVE]}, **service)).status_code == 403
    made = await api.post(path, "w", {"conversationId": name, "participants": [ANN, BOB]}, **service)
    assert made.status_code == 200


async def test_send_names_one_conversation_only(memory_api: Any) -> None:
    for body in ({}, {"conversationId": "main", "with": BOB}):
        answer = await memory_api.post(SEND, ANN, {**body, "message": "x"})
        assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"


async def test_sq6_support_is_made_on_demand_and_once(api: Any) -> None:
    """Requests that race make one conversation, told once; it is the user's alone."""
    answers = await asyncio.gather(*(api.post("/api/chat/support", "demo", {}) for _ in range(6)))
    assert {a.status_code for a in answers} == {200}
    assert answers[0].json() == {"conversationId": "support-demo", "participants": ["demo"], "open": False}
    assert [(e.type, e.topic) for e in await api.events()] == [("conversation", "user:demo")]
    assert (await api.get("/api/chat/history?conversationId=support-demo", "eve")).status_code == 403
    sent = await api.post(SEND, "zoe", {"conversationId": "support-zoe", "message": "help"})
    assert sent.status_code == 201  # made by the first message as well
    rows = (await api.get("/api/chat/history?conversationId=support-zoe", "zoe")).json()["messages"]
    assert [row["message"] for row in rows] == ["help"]


async def test_sq6_nobody_takes_somebody_elses_support_conversation(api: Any) -> None:
    path = "/api/conversations"
    assert (await api.post(path, "eve", {"conversationId": "support-ann"})).status_code == 403
    widened = {"conversationId": "support-eve", "participants": ["bob"]}
    assert (await api.post(path, "eve", widened)).status_code == 403
    assert (await api.post(path, "eve", {"conversationId": "support-eve", "open": True})).status_code == 403
    agents = {"conversationId": "support-ann", "participants": ["agent"]}
    assert (await api.post(path, "desk", agents, scope="events:publish")).status_code == 201
    both = (await api.post("/api/chat/support", "ann", {})).json()
    assert both["participants"] == ["agent", "ann"]


async def test_sq6_the_first_stream_makes_it_as_well(service: Any) -> None:
    async with service.stream("ann", "/api/chat/stream?conversationId=support-ann") as stream:
        await service.say("ann", "help", "support-ann")
        assert (await stream.frame("message")).json["message"] == "help"
    assert (await service.get("/api/chat/stream?conversationId=support-ann", "eve")).status_code == 403


async def test_support_participants_are_a_setting(start_api: Any, settings: Any) -> None:
    api = await start_api(settings.replace(support_participants=("desk",)))
    assert (await api.post("/api/chat/support", "ann", {})).json()["participants"] == ["ann", "desk"]
    assert (await api.post(SEND, "desk", {"conversationId": "support-ann", "message": "hello"})).status_code == 201


async def test_wl7_message_is_the_short_form_of_send(any_service: Any) -> None:
    async with any_service.stream("ann") as stream:
        body = {"message": "hello", "idempotencyKey": "k"}
        sent = await any_service.post("/api/chat/message", "ann", body)
        assert sent.status_code == 201 and sent.json()["conversationId"] == "support-ann"
        assert (await stream.frame("message")).json["message"] == "hello"
        again = await any_service.post("/api/chat/message", "ann", body)
        assert again.status_code == 200 and again.json()["messageId"] == sent.json()["messageId"]


PARTICIPANTS = "/api/conversations/participants"


async def remove(api: Any, caller: str, conversation: str, user: str, **claims: Any) -> Any:
    query = f"?conversationId={quote(conversation)}&user={quote(user)}"
    return await api.delete(PARTICIPANTS + query, caller, **claims)


async def test_sq6_a_removed_participant_is_out_at_once(any_service: Any) -> None:
    """Open streams of theirs stop getting the conversation, their requests are refused; the others go on."""
    service = any_service
    made = {"conversationId": "c", "participants": ["bob", "zoe"]}
    assert (await service.post("/api/conversations", "ann", made)).status_code == 201
    async with (
        service.stream("bob") as bob,
        service.stream("bob", "/api/streams?topic=room:c") as chosen,
        service.stream("zoe") as zoe,
    ):
        await service.say("ann", "one", "c")
        await bob.frame("message")
        await chosen.frame("message")
        gone = await remove(service, "ann", "c", "bob")
        assert gone.json()["participants"] == ["ann", "zoe"]
        again = await remove(service, "ann", "c", "bob")
        assert again.status_code == 200
        await service.say("ann", "two", "c")
        left = await bob.frame("left")
        assert left.json == {"type": "left", "conversationId": "c", "open": False}
        assert (await zoe.frame("message", 2)).json["message"] == "two"
        # Something that comes to bob after "two" would have come.
        await service.post(SEND, "ann", {"with": "bob", "message": "sorry"})
        assert (await bob.frame("message", 2)).json["message"] == "sorry"
        assert len(chosen.of_type("message")) == 1 and len(bob.of_type("left")) == 1
        assert (await service.post(SEND, "bob", {"conversationId": "c", "message": "x"})).status_code == 403
        assert (await service.get("/api/chat/history?conversationId=c", "bob")).status_code == 403
        # Added again, the same stream gets it again.
        back = {"conversationId": "c", "participants": ["bob"]}
        assert (await service.post(PARTICIPANTS, "ann", back)).json()["participants"] == ["ann", "bob", "zoe"]
        await service.say("ann", "three", "c")
        assert (await bob.frame("message", 3)).json["message"] == "three"
        cursor = bob.frames[0].id
    async with service.stream("bob", cursor=cursor) as resumed:
        await resumed.frame("message", 3)
        texts = [frame.json["message"] for frame in resumed.of_type("message")]
        assert texts == ["one", "sorry", "three"]  # what was said while they were out is not replayed either


async def test_who_may_add_and_remove(api: Any) -> None:
    made = {"conversationId": "c", "participants": ["bob", "zoe"]}
    await api.post("/api/conversations", "ann", made)
    add = {"conversationId": "c", "participants": ["eve"]}
    assert (await api.post(PARTICIPANTS, "bob", add)).status_code == 403
    assert (await api.post(PARTICIPANTS, "eve", add)).status_code == 403
    assert (await api.post(PARTICIPANTS, "ann", add)).status_code == 200
    assert (await remove(api, "bob", "c", "zoe")).status_code == 403
    assert (await remove(api, "mallory", "c", "zoe")).status_code == 403
    assert (await remove(api, "mallory", "nowhere", "mallory")).status_code == 403
    assert (await remove(api, "ann", "c", "nobody")).status_code == 404
    assert (await remove(api, "bob", "c", "bob")).status_code == 200  # leaves
    assert (await remove(api, "bob", "c", "bob")).status_code == 200
    worker = await remove(api, "worker", "c", "zoe", scope="events:publish")
    assert worker.json()["participants"] == ["ann", "eve"]
    assert (await remove(api, "worker", "nowhere", "x", scope="events:publish")).status_code == 404
    assert [e.topic for e in await api.events() if e.type == "left"] == ["user:bob", "user:zoe"]


async def test_racing_additions_and_removals_leave_store_and_streams_agreeing(api: Any) -> None:
    """Whoever is no participant has no row that would open a stream to the conversation."""
    await api.post("/api/conversations", "ann", {"conversationId": "c"})
    people = [f"u{n}" for n in range(4)]
    add = {"conversationId": "c", "participants": people}
    jobs = [api.post(PARTICIPANTS, "ann", add)]
    jobs += [remove(api, "ann", "c", user) for user in people]
    jobs += [api.post(PARTICIPANTS, "ann", {"conversationId": "c", "participants": [user]}) for user in people[:2]]
    await asyncio.gather(*jobs)
    now = (await api.get("/api/conversations?conversationId=c", "ann")).json()["participants"]
    for user in people:
        rooms = await api.backends.conversations.of_user("demo", user)
        assert ("c" in rooms) == (user in now)


async def test_left_is_a_word_of_the_service(memory_api: Any) -> None:
    event = {"topic": "user:bob", "type": "left", "data": {"conversationId": "c"}}
    answer = await memory_api.post("/api/events", "w", {"events": [event]}, scope="events:publish")
    assert answer.status_code == 400


async def test_wl9_multicast_leaves_out_one_user_also_in_a_replay(any_service: Any) -> None:
    service = any_service
    async with service.stream("ann") as ann, service.stream("bob") as bob:
        start = ann.frames[0].id
        for topic, exclude in (("tenant:demo", "ann"), ("tenant:demo", None), ("user:ann", None)):
            event = {"topic": topic, "type": "note", "data": [topic, exclude], "excludeUser": exclude}
            sent = await service.post("/api/events", "worker", {"events": [event]}, scope="events:publish")
            assert sent.status_code == 201, sent.text
        await ann.frame("note", 2)
        await bob.frame("note", 2)
        assert [f.json for f in ann.of_type("note")] == [["tenant:demo", None], ["user:ann", None]]
        assert [f.json for f in bob.of_type("note")] == [["tenant:demo", "ann"], ["tenant:demo", None]]
    async with service.stream("ann", cursor=start) as again:
        await again.frame("note", 2)
        assert [f.json for f in again.of_type("note")] == [["tenant:demo", None], ["user:ann", None]]


@pytest.mark.parametrize("bad", [{"excludeUser": "a\nb"}, {"excludeUser": ""}, {"ttlSeconds": 0}, {"ttlSeconds": "x"}])
async def test_bad_exclusions_are_refused(memory_api: Any, bad: dict[str, Any]) -> None:
    event = {"topic": "tenant:demo", "type": "note", "data": 1, **bad}
    answer = await memory_api.post("/api/events", "w", {"events": [event]}, scope="events:publish")
    assert answer.status_code == 400
    assert InvalidInputError.code in answer.json()["type"]


# Removals whose instance ends between the store and the event -------------------------------------------------


async def removed_and_not_told(api: Any, caller: str, conversation: str, user: str) -> None:
    """The instance ends after the transaction: what it was to tell is never told by it."""
    stored = asyncio.Event()

    async def never(*_: object) -> None:
        stored.set()
        await asyncio.Event().wait()

    api.app.state.services.chat.conversations._tell = never
    async with asyncio.timeout(60):
        while not stored.is_set():  # a store that is too slow for a moment is 503, and asked again
            request = asyncio.create_task(remove(api, caller, conversation, user))
            seen = asyncio.create_task(stored.wait())
            await asyncio.wait({request, seen}, return_when=asyncio.FIRST_COMPLETED)
            for task in (request, seen):
                task.cancel()
            await asyncio.gather(request, seen, return_exceptions=True)


async def test_sq6_a_removal_is_told_by_another_instance_when_its_own_ends(
    dynamo_tables: Any, start_service: Any, start_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody repeats the request; the open stream must not go on with the conversation."""
    dying = await start_api(dynamo_tables)
    monkeypatch.setattr("sse_service.chat.SWEEP_S", 0.1)
    service = await start_service(dynamo_tables)
    assert (
        await service.post("/api/conversations", "ann", {"conversationId": "c", "participants": ["bob"]})
    ).is_success
    async with service.stream("bob") as bob:
        await removed_and_not_told(dying, "ann", "c", "bob")
        left = await bob.frame("left")
        assert left.json == {"type": "left", "conversationId": "c", "open": False}
        await service.say("ann", "not for bob", "c")
        await service.post(SEND, "ann", {"with": "bob", "message": "for bob"})
        assert (await bob.frame("message")).json["message"] == "for bob"
        async with asyncio.timeout(10):
            while await dying.backends.conversations.untold():
                await asyncio.sleep(0.02)
        assert len(bob.of_type("left")) == 1


async def test_sq6_who_was_added_again_is_not_told_that_they_left(api: Any) -> None:
    """The removal was not told, the addition was: what is told late must not undo it."""
    chat = api.app.state.services.chat
    await api.post("/api/conversations", "ann", {"conversationId": "c", "participants": ["bob"]})
    await removed_and_not_told(api, "ann", "c", "bob")
    del chat.conversations._tell
    assert len(await api.backends.conversations.untold()) == 1
    await api.post(PARTICIPANTS, "ann", {"conversationId": "c", "participants": ["bob"]})
    await chat.conversations.tell_untold()
    assert await api.backends.conversations.untold() == []
    assert [e.type for e in await api.events() if e.topic == "user:bob"] == ["conversation", "conversation"]


async def test_sq6_added_again_while_the_removal_is_being_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of store and events: the last event says what the store says."""
    chat = api.app.state.services.chat
    await api.post("/api/conversations", "ann", {"conversationId": "c", "participants": ["bob"]})
    tell = chat.conversations._tell

    async def late(tenant: str, told: Any) -> None:
        monkeypatch.setattr(chat.conversations, "_tell", tell)
        back = await api.post(PARTICIPANTS, "ann", {"conversationId": "c", "participants": ["bob"]})
        assert back.status_code == 200
        await tell(tenant, told)

    monkeypatch.setattr(chat.conversations, "_tell", late)
    assert (await remove(api, "ann", "c", "bob")).status_code == 200
    kinds = [e.type for e in await api.events() if e.topic == "user:bob"]
    assert kinds == ["conversation", "conversation", "left", "conversation"]
    assert await api.backends.conversations.untold() == []
