"""WL8: agent runs and library jobs: accepted once, told with progress, ended once; on both back ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sse_service.app import make_backends
from sse_service.chat.jobs import LEASE_S
from sse_service.ports import Job
from sse_service.settings import Settings
from sse_service.testing import FakeClock

from . import chat_responders

STEERED = f"{chat_responders.__name__}:steered"
RUNS, JOBS = "/api/agent-runs", "/api/library-jobs"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    chat_responders.reset()
    yield
    chat_responders.GO_ON.set()


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


async def told(api: Any, kind: str) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in await api.events() if event.type == f"{kind}_notification"]


async def ended(api: Any, path: str, user: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (state := (await api.get(path, user)).json())["status"] == "running":
            await asyncio.sleep(0.01)
    found: dict[str, Any] = state
    return found


async def test_wl8_an_agent_run_tells_its_user_with_the_frames_of_the_other_stack(any_service: Any) -> None:
    service = any_service
    async with service.stream("ann") as ann, service.stream("bob") as bob:
        body = {"agent_id": "a7", "input": {"b": 1, "a": "x"}, "run_id": "r1"}
        accepted = await service.post(RUNS, "ann", body)
        assert accepted.status_code == 202, accepted.text
        assert accepted.json() == {"type": "agent_run_response", "run_id": "r1", "status": "accepted"}
        await ann.frame("agent_run_notification", 5)
        head = {"type": "agent_run_notification", "run_id": "r1", "agent_id": "a7"}
        frames = [frame.json for frame in ann.of_type("agent_run_notification")]
        steps = [("plan", 25), ("search", 50), ("write", 75), ("check", 100)]
        assert frames[:4] == [
            {**head, "status": "running", "progress": progress, "step": step, "index": n}
            for n, (step, progress) in enumerate(steps)
        ]
        result = {"summary": "a7: 18 characters of input"}
        assert frames[4] == {**head, "status": "completed", "progress": 100, "result": result, "index": 4}
        assert (await service.get(f"{RUNS}/r1", "ann")).json() == frames[4]
        again = await service.post(RUNS, "ann", body)
        assert again.status_code == 200 and again.json() == accepted.json()
        await service.post("/api/chat/message", "bob", {"message": "x"})
        await bob.frame("message")
        assert bob.of_type("agent_run_notification") == []
        assert len(ann.of_type("agent_run_notification")) == 5


async def test_wl8_a_library_job_tells_the_tenant(any_service: Any) -> None:
    service = any_service
    async with service.stream("bob") as bob:
        accepted = await service.post(JOBS, "ann", {"library_id": "l1", "documents": ["x", "y", "z"]})
        job_id = accepted.json()["job_id"]
        assert accepted.json() == {"type": "library_process_response", "job_id": job_id, "status": "accepted"}
        await bob.frame("library_processing_notification", 4)
        head = {"type": "library_processing_notification", "job_id": job_id, "library_id": "l1"}
        assert [frame.json for frame in bob.of_type("library_processing_notification")] == [
            {**head, "status": "running", "progress": 33, "document": "x", "index": 0},
            {**head, "status": "running", "progress": 66, "document": "y", "index": 1},
            {**head, "status": "running", "progress": 100, "document": "z", "index": 2},
            {**head, "status": "completed", "progress": 100, "result": {"processed": 3}, "index": 3},
        ]
        state = await service.get(f"{JOBS}/{job_id}", "bob")
        assert state.json()["status"] == "completed"
        assert (await service.get(f"{JOBS}/{job_id}", "bob", "other")).status_code == 404


async def test_racing_repeats_start_one_run(start_api: Any, dynamo_tables: Settings) -> None:
    api = await start_api(dynamo_tables.replace(responder=STEERED))
    body = {"agent_id": "a", "input": "x", "run_id": "r"}
    answers = await asyncio.gather(*(api.post(RUNS, "ann", body) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [200] * 5 + [202]
    assert (await ended(api, f"{RUNS}/r", "ann"))["result"] == {"done": "x"}
    assert len(chat_responders.CALLS) == 1
    assert [one["index"] for one in await told(api, "agent_run")] == [0, 1]


async def test_runs_are_their_users_alone(api: Any) -> None:
    body = {"agent_id": "a", "input": "x", "run_id": "r"}
    await api.post(RUNS, "ann", body)
    assert (await api.post(RUNS, "eve", body)).status_code == 409
    assert (await api.get(f"{RUNS}/r", "eve")).status_code == 404
    assert (await api.get(f"{RUNS}/nothing", "ann")).status_code == 404
    assert (await api.get(f"{JOBS}/r", "ann")).status_code == 404  # another kind of job
    assert (await api.post(RUNS, "ann", body, "other")).status_code == 202
    await ended(api, f"{RUNS}/r", "ann")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RUNS, {}),
        (RUNS, {"agent_id": "", "input": "x"}),
        (RUNS, {"agent_id": "a\nb", "input": "x"}),
        (RUNS, {"agent_id": "a", "input": 5}),
        (RUNS, {"agent_id": "a", "input": "x", "run_id": "a\x00"}),
        (RUNS, {"agent_id": "a", "input": "x", "run_id": "r" * 300}),
        (JOBS, {"library_id": "l", "documents": []}),
        (JOBS, {"library_id": "l", "documents": [""]}),
        (JOBS, {"library_id": "l", "documents": "x"}),
        (JOBS, {"library_id": "l", "documents": ["x"] * 1001}),
    ],
    ids=repr,
)
async def test_work_that_is_none_is_a_400(memory_api: Any, path: str, body: object) -> None:
    answer = await memory_api.post(path, "ann", body)
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert await memory_api.events() == []


async def test_a_large_input_is_a_413_and_half_a_surrogate_a_400(memory_api: Any, bearer: Any) -> None:
    large = {"agent_id": "a", "input": "x" * 200_000}
    assert (await memory_api.post(RUNS, "ann", large)).status_code == 413
    headers = {**bearer("ann"), "content-type": "application/json"}
    broken = b'{"agent_id": "a", "input": {"k": "\\ud800"}}'
    assert (await memory_api.client.post(RUNS, content=broken, headers=headers)).status_code == 400


@pytest.mark.parametrize("word", ["fail first", "fail later"])
async def test_a_failed_run_says_so_and_not_why(start_api: Any, settings: Settings, word: str) -> None:
    api = await start_api(settings.replace(responder=STEERED))
    await api.post(RUNS, "ann", {"agent_id": "a", "input": word, "run_id": "r"})
    state = await ended(api, f"{RUNS}/r", "ann")
    assert state["status"] == "failed" and "result" not in state and "step" not in state
    assert (await told(api, "agent_run"))[-1] == state
    assert "secret" not in json.dumps(await told(api, "agent_run"))


async def test_too_many_at_once_are_refused_and_nothing_is_begun(start_api: Any, settings: Settings) -> None:
    api = await start_api(settings.replace(responder=STEERED, max_jobs_per_user=1, max_jobs=2))
    for user in ("ann", "bob"):
        started = await api.post(RUNS, user, {"agent_id": "a", "input": "wait", "run_id": user})
        assert started.status_code == 202
    for user, scope in (("ann", "node"), ("eve", "node")):
        refused = await api.post(RUNS, user, {"agent_id": "a", "input": "x", "run_id": "more"})
        assert refused.status_code == 429 and refused.json()["scope"] == scope and refused.headers["retry-after"]
        assert (await api.get(f"{RUNS}/more", user)).status_code == 404
    # A repeat of what runs is no new work.
    again = await api.post(RUNS, "ann", {"agent_id": "a", "input": "wait", "run_id": "ann"})
    assert again.status_code == 200
    chat_responders.GO_ON.set()
    assert (await ended(api, f"{RUNS}/ann", "ann"))["status"] == "completed"
    await until(lambda: api.app.state.services.chat.jobs.work.running < 2, "a place is free")
    assert (await api.post(RUNS, "eve", {"agent_id": "a", "input": "x", "run_id": "more"})).status_code == 202


async def test_sigterm_ends_each_run_with_completed_or_interrupted(start_service: Any, dynamo_tables: Settings) -> None:
    """And it is told: whoever comes back to the next instance gets it."""
    service = await start_service(dynamo_tables.replace(responder=STEERED, grace_s=1))
    async with service.stream("ann") as stream:
        cursor = stream.frames[0].id
    await service.post(RUNS, "ann", {"agent_id": "a", "input": "wait", "run_id": "slow"})
    await service.post(JOBS, "ann", {"library_id": "l", "documents": ["block"], "job_id": "stuck"})
    await until(lambda: len(chat_responders.CALLS) == 2, "both run")
    await service.stop()
    next_one = await start_service(dynamo_tables)
    async with next_one.stream("ann", cursor=cursor) as stream:
        for kind in ("agent_run", "library_processing"):
            await stream.until(
                lambda kind=kind: [f for f in stream.of_type(f"{kind}_notification") if f.json["status"] != "running"],
                "the end",
            )
            last = stream.of_type(f"{kind}_notification")[-1].json
            assert (last["status"], last["result"]) == ("failed", {"error": "interrupted"})
    assert (await next_one.get(f"{RUNS}/slow", "ann")).json()["status"] == "failed"


async def test_a_run_whose_instance_died_fails_once_when_its_lease_has_run_out(
    start_service: Any, dynamo_tables: Settings
) -> None:
    """kill -9: nobody is left to say it; whoever asks next says it, once."""
    clock = FakeClock(time.time())
    backends = make_backends(dynamo_tables, clock)
    service = await start_service(dynamo_tables, backends, clock)
    died = Job("agent_run", "r", "ann", "a", "running", 40, "half", "", 2, "gone", clock() + LEASE_S)
    await backends.jobs.begin("demo", died, now=clock(), keep_s=600)
    async with service.stream("ann") as stream:
        assert (await service.get(f"{RUNS}/r", "ann")).json()["status"] == "running"
        clock.advance(LEASE_S + 1)
        states = await asyncio.gather(*(service.get(f"{RUNS}/r", "ann") for _ in range(4)))
        assert {state.json()["status"] for state in states} == {"failed"}
        last = (await stream.frame("agent_run_notification")).json
        assert last == {
            "type": "agent_run_notification",
            "run_id": "r",
            "agent_id": "a",
            "status": "failed",
            "progress": 40,
            "result": {"error": "interrupted"},
            "index": 3,
        }
        again = await service.post(RUNS, "ann", {"agent_id": "a", "input": "x", "run_id": "r"})
        assert again.status_code == 200
        await service.post("/api/chat/message", "ann", {"message": "x"})
        await stream.frame("message")
        assert len(stream.of_type("agent_run_notification")) == 1


async def test_wl8_progress_of_back_end_workers_comes_through_events(any_service: Any) -> None:
    """With the role in the token; without it, or for another tenant, not."""
    service = any_service
    data = {"type": "agent_run_notification", "run_id": "r", "status": "running", "progress": 5, "index": 0}
    event = {"topic": "user:ann", "type": "agent_run_notification", "data": data, "key": "r:0"}
    async with service.stream("ann") as stream:
        refused = await service.post("/api/events", "worker", {"events": [event]})
        assert refused.status_code == 403
        for _ in range(2):
            sent = await service.post("/api/events", "worker", {"events": [event]}, scope="events:publish")
            assert sent.status_code == 201
        assert (await stream.frame("agent_run_notification")).json == data


async def test_stores_agree_on_jobs(settings: Settings, dynamo_tables: Settings) -> None:
    for chosen in (settings, dynamo_tables):
        backends = make_backends(chosen, time.time)
        await backends.log.start()
        jobs = backends.jobs
        job = Job("agent_run", "r", "ann", "a", "running", 0, "", "", -1, "me", 100.0)
        assert await jobs.begin("t", job, now=50, keep_s=10) == job
        other = Job("agent_run", "r", "eve", "b", "running", 0, "", "", -1, "you", 100.0)
        assert await jobs.begin("t", other, now=51, keep_s=10) == job
        assert await jobs.get("t", "library_processing", "r", now=51) is None
        assert not await jobs.save("t", other, owner="you")
        done = Job("agent_run", "r", "ann", "a", "completed", 100, "", '{"x":1}', 3, "me", 100.0)
        assert await jobs.save("t", done, owner="me")
        assert await jobs.get("t", "agent_run", "r", now=51) == done
        assert not await jobs.save("t", job, owner="me")  # what has ended has ended
        assert await jobs.get("t", "agent_run", "r", now=70) is None
        assert await jobs.begin("t", other, now=70, keep_s=10) == other
        await backends.log.close()
