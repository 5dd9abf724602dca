"""Publishing as a back end: POST /api/events."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest

from sse_service.app import make_backends
from sse_service.settings import Settings

SCOPE = "events:publish"
PATH = "/api/events"


def event(**changes: Any) -> dict[str, Any]:
    return {"topic": "room:main", "type": "message", "data": {"text": "hi"}, **changes}


async def publish(api: Any, *events: dict[str, Any], tenant: str = "demo", scope: str = SCOPE) -> Any:
    return await api.post(PATH, "bridge", {"events": list(events)}, tenant, scope=scope)


async def test_mg8_events_get_ids_in_their_order(api: Any) -> None:
    answer = await publish(api, *(event(data=n, key=f"k{n}", origin="legacy") for n in range(5)))
    assert answer.status_code == 201
    body = answer.json()
    events = await api.events()
    assert body["ids"] == [str(e.id) for e in events]
    assert body["events"] == [{"id": i, "duplicate": False} for i in body["ids"]]
    assert [(e.data, e.key, e.origin) for e in events] == [(str(n), f"k{n}", "legacy") for n in range(5)]


async def test_mg8_a_known_key_keeps_its_first_id(api: Any) -> None:
    first = (await publish(api, event(key="a"), event(key="b"))).json()
    again = (await publish(api, event(key="b", data=1), event(key="c"), event(key="a"), event(key="c"))).json()
    assert again["ids"][0] == first["ids"][1] and again["ids"][2] == first["ids"][0]
    assert again["ids"][1] == again["ids"][3]
    assert [one["duplicate"] for one in again["events"]] == [True, False, True, True]
    assert [e.key for e in await api.events()] == ["a", "b", "c"]


async def test_mg8_racing_publishers_of_the_same_keys_append_once(api: Any) -> None:
    batch = [event(key=f"k{n}") for n in range(6)]
    answers = await asyncio.gather(*(publish(api, *batch) for _ in range(4)))
    assert {a.status_code for a in answers} == {201}
    assert len({tuple(a.json()["ids"]) for a in answers}) == 1
    assert sorted(e.key for e in await api.events()) == sorted(f"k{n}" for n in range(6))


async def test_ensure_conversation_makes_an_open_room(api: Any) -> None:
    ensure = {"conversationId": "new", "open": True}
    assert (await publish(api, event(topic="room:new", ensureConversation=ensure))).status_code == 201
    assert (await publish(api, event(topic="room:new", ensureConversation=ensure))).status_code == 201
    assert (await api.get("/api/chat/history?conversationId=new", "anybody")).status_code == 200
    assert [e.type for e in await api.events()] == ["conversation", "message", "message"]


async def test_ensure_conversation_never_opens_one_that_exists(api: Any) -> None:
    """A private conversation stays private although a room of that name has a message elsewhere."""
    made = await api.post("/api/conversations", "ann", {"conversationId": "mine"})
    assert made.status_code == 201
    ensure = {"conversationId": "mine", "open": True}
    assert (await publish(api, event(topic="room:mine", ensureConversation=ensure))).status_code == 201
    assert (await api.get("/api/chat/history?conversationId=mine", "eve")).status_code == 403
    assert (await api.get("/api/chat/history?conversationId=mine", "ann")).status_code == 200


async def test_without_the_scope_nobody_publishes(memory_api: Any) -> None:
    for scope in ("", "streams:tenant", "events:publishX"):
        assert (await publish(memory_api, event(), scope=scope)).status_code == 403
    assert await memory_api.events() == []


async def test_a_tenant_in_the_body_is_refused_and_not_ignored(memory_api: Any, bearer: Any) -> None:
    """Who names a tenant must not find its events in that of the token."""
    for name in ("tenant", "tenantId", "tenant_id"):
        answer = await publish(memory_api, event(), event(**{name: "other"}))
        assert (answer.status_code, answer.json()["field"]) == (400, f"events.1.{name}")
        assert "the tenant is always the token's" in answer.json()["detail"]
    answer = await memory_api.post(PATH, "bridge", {"tenant": "other", "events": [event()]}, scope=SCOPE)
    assert (answer.status_code, answer.json()["field"]) == (400, "tenant")
    assert await memory_api.events() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat/send", {"conversationId": "main", "message": "hi"}),
        ("/api/chat/message", {"message": "hi"}),
        ("/api/chat/typing", {"with": "bob", "typing": True}),
        ("/api/conversations", {"conversationId": "mine"}),
        ("/api/streams/tickets", {"topics": ["user:ann"]}),
        ("/api/agent-runs", {"agent_id": "a", "input": {}}),
        ("/chat/main/stream", {"message": "hi"}),
    ],
)
async def test_a_field_that_is_not_known_is_refused_by_name(memory_api: Any, path: str, body: dict[str, Any]) -> None:
    answer = await memory_api.post(path, "ann", {**body, "idempotency_kee": "k"})
    assert (answer.status_code, answer.json()["field"]) == (400, "idempotency_kee")
    assert "there is no such field" in answer.json()["detail"]


async def test_another_tenants_topic_is_refused(memory_api: Any) -> None:
    assert (await publish(memory_api, event(topic="tenant:other"))).status_code == 403
    assert (await publish(memory_api, event(), event(topic="tenant:other"))).status_code == 403
    assert await memory_api.events() == []
    assert (await publish(memory_api, event(topic="tenant:demo"))).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "x\nevent: ready"},
        {"type": "x\rdata: y"},
        {"type": "a\x00"},
        {"type": ""},
        {"type": "é"},
        {"type": "x" * 65},
        {"type": "ready"},
        {"type": "farewell"},
        {"type": "conversation"},
        {"topic": "room:a\nid: 1"},
        {"topic": "room:\x00"},
        {"topic": "room"},
        {"topic": "*"},
        {"topic": "ROOM:x"},
        {"topic": "room:" + "x" * 300},
        {"topic": 5},
        {"key": "a\nb"},
        {"key": "x" * 300},
        {"origin": "a\r"},
        {"ensureConversation": {"conversationId": "a\nb"}},
        {"ensureConversation": {}},
    ],
    ids=repr,
)
async def test_header_injection_and_nonsense_are_refused(memory_api: Any, changes: dict[str, Any]) -> None:
    """CR, LF and NUL never reach the wire, and nothing of the batch is published."""
    answer = await publish(memory_api, event(), event(**changes))
    assert answer.status_code == 400, answer.text
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert await memory_api.events() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b'{"events": []}',
        b'{"events": {}}',
        b'{"events": [1]}',
        b'{"events": [{"topic": "room:a", "type": "x", "data": NaN}]}',
        b'{"events": [{"topic": "room:a", "type": "x", "data": "\\ud800"}]}',
        b'{"events": [{"topic": "room:\\ud800", "type": "x", "data": 1}]}',
        b'{"events": [{"topic": "room:a", "type": "x", "data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b'{"events": [{"topic": "room:a", "type": "x", "data": ' + b"9" * 5_000 + b"}]}",
        b"\xff\xfe",
    ],
    ids=lambda body: repr(body[:60]),
)
async def test_a_malformed_body_is_a_400(memory_api: Any, bearer: Any, body: bytes) -> None:
    headers = {**bearer("bridge", scope=SCOPE), "content-type": "application/json"}
    answer = await memory_api.client.post(PATH, content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_too_many_and_too_large(memory_api: Any) -> None:
    assert (await publish(memory_api, *[event()] * 501)).status_code == 400
    assert (await publish(memory_api, event(data="x" * (129 << 10)))).status_code == 413
    assert (await publish(memory_api, event(data="x" * (1 << 20)))).status_code == 413
    assert (await publish(memory_api, event(data="x" * (100 << 10)))).status_code == 201


async def test_large_batches_fit_into_items(api: Any) -> None:
    """More than one append's worth: split, still dense and in order."""
    answer = await publish(api, *(event(data="日" * 20_000, key=f"k{n}") for n in range(12)))
    assert answer.status_code == 201, answer.text
    assert [e.key for e in await api.events()] == [f"k{n}" for n in range(12)]


async def test_data_full_of_quotes_fits_into_items_as_well(api: Any) -> None:
    """Escaping must not make an item larger than DynamoDB takes (400 KB)."""
    answer = await publish(api, *(event(data='"' * 60_000, key=f"k{n}") for n in range(6)))
    assert answer.status_code == 201, answer.text
    assert [len(e.data) for e in await api.events()] == [120_002] * 6


class Crossing:
    """Claims that two publishers of the same keys get in opposite order, a moment apart."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._owners: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def claim(self, key: str, owner: str, facts: Any, **times: Any) -> Any:
        if owner not in self._owners:
            self._owners.append(owner)
        place = int(key[-1])
        await asyncio.sleep(0.01 * (place if self._owners.index(owner) == 0 else 5 - place))
        return await self._inner.claim(key, owner, facts, **times)


async def test_mg8_publishers_that_claim_the_same_keys_never_wait_for_each_other(
    start_api: Any, settings: Settings
) -> None:
    """Each gets half of the keys first: one lets go, both are answered, everything is there once."""
    backends = make_backends(settings, time.time)
    api = await start_api(settings, dataclasses.replace(backends, claims=Crossing(backends.claims)))
    batch = [event(key=f"k{n}") for n in range(6)]
    answers = await asyncio.gather(publish(api, *batch), publish(api, *batch))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["ids"] == answers[1].json()["ids"]
    assert sorted(e.key for e in await api.events()) == sorted(f"k{n}" for n in range(6))


async def test_a_kind_of_topic_that_nobody_knows_is_refused_and_named(service: Any) -> None:
    """`rom:x` would be stored, answered with success and reach nobody. Both ways of publishing, streams, tickets."""
    scopes = {"scope": "events:publish streams:tenant"}
    one, keyed = event(topic="rom:x"), event(topic="rom:x", key="k")
    answers = [
        await service.post("/api/events", "worker", {"events": [one]}, **scopes),
        await service.post("/api/events", "worker", {"events": [event(), keyed]}, **scopes),
        await service.post("/api/streams/tickets", "worker", {"topics": ["rom:x"]}, **scopes),
        await service.get("/api/streams?topic=rom:x", "worker", **scopes),
    ]
    for answer, field in zip(answers, ("events[0].topic", "events[1].topic", "topics", "topic"), strict=True):
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
        for part in ("'rom'", "user, room, tenant", "SSE_TOPIC_KINDS"):
            assert part in answer.json()["detail"]


async def test_kinds_of_topics_of_the_applications_own(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(more_topic_kinds=("prices", "room")))
    watcher = {"scope": "streams:tenant"}
    async with service.stream("desk", "/api/streams?topic=prices:eur", **watcher) as stream:
        for topic in ("prices:usd", "prices:eur"):
            one = {"events": [event(topic=topic)]}
            sent = await service.post("/api/events", "worker", one, scope="events:publish")
            assert sent.status_code == 201, sent.text
        assert (await stream.frame("message")).json["topic"] == "prices:eur"
    refused = await service.get("/api/streams?topic=prices:eur", "ann")
    assert refused.status_code == 403
    document = (await service.client.get("/openapi.json")).json()
    pattern = document["components"]["schemas"]["EventItem"]["properties"]["topic"]["pattern"]
    assert pattern.startswith("^(user|room|tenant|prices):")


def test_kinds_that_no_topic_can_have_are_a_problem_of_the_settings(settings: Settings) -> None:
    problems = list(dataclasses.replace(settings, more_topic_kinds=("Prices", "a:b")).problems())
    assert len(problems) == 2 and all("SSE_TOPIC_KINDS" in problem for problem in problems)
