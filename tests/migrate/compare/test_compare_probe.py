"""The probes against two small stacks: what each fault looks like from outside. until phase 3 (MG7)"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from two_stacks import TwoStacks, two_stacks

from migrate.clients import UpInfo
from migrate.compare import Report, Stack, Thresholds, Verdict, compare
from migrate.compare.match import FaultKind
from migrate.compare.probe import Plan, new_run_id, probe
from migrate.compare.records import RecordWriter, read_capture
from migrate.errors import UsageError

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter waits: everything here is one process away."""
    for name, seconds in {"WARM_UP_S": 0.1, "QUIET_S": 0.1, "REFUSED_WAIT_S": 0.3}.items():
        monkeypatch.setattr(f"migrate.compare.probe.{name}", seconds)


async def run_probe(stacks: TwoStacks, directory: Path, messages: int = 60, settle_s: float = 1.0) -> Report:
    up = UpInfo.from_mapping(stacks.up)
    run_id = new_run_id()
    plan = Plan(users=3, messages=messages, rate=200, settle_s=settle_s, rooms=up.rooms)
    with RecordWriter(directory / run_id, run_id, 0.0) as writer:
        capture = await probe(up, plan, run_id, writer)
    report = compare(capture)
    again = compare(read_capture(directory / run_id))
    assert (again.verdict, again.reasons, again.offenders) == (report.verdict, report.reasons, report.offenders)
    return report


async def test_both_deliver(tmp_path: Path) -> None:
    """Everything arrives everywhere once, other scripts included: pass, with both latencies."""
    async with two_stacks() as stacks:
        report = await run_probe(stacks, tmp_path)
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.counts.messages == 60
    assert report.counts.pairs == report.counts.matched == 180
    assert all(report.latency[stack, None].samples == 180 for stack in Stack)


async def test_other_peoples_messages_count_inside_the_window(tmp_path: Path) -> None:
    """Traffic that starts before and ends after the run is judged, and gives no false loss at its edges."""
    async with two_stacks() as stacks:

        async def chat() -> None:
            while True:
                await stacks.publish("rest", stacks.message("main", "葵", "hello"))
                await asyncio.sleep(0.003)

        others = asyncio.create_task(chat())
        report = await run_probe(stacks, tmp_path, messages=60)
        others.cancel()
    assert report.verdict is Verdict.PASS, (report.reasons, report.offenders)
    assert report.counts.messages > 70


@pytest.mark.parametrize(
    ("off", "sentence"),
    [
        ("to_sse", "nothing sent over WebSocket reached SSE streams"),
        ("to_websocket", "nothing sent over REST reached WebSocket clients"),
    ],
)
async def test_bridge_down(tmp_path: Path, off: str, sentence: str) -> None:
    """A whole direction without anything is said in a sentence, with what to look at (MG8)."""
    async with two_stacks() as stacks:
        setattr(stacks, off, False)
        report = await run_probe(stacks, tmp_path, messages=20, settle_s=0.3)
    assert report.verdict is Verdict.FAIL
    assert report.reasons[0] == sentence
    assert "migrate bridge status" in report.hints[0]
    assert report.offenders_total == {FaultKind.MISSING: 10}


async def test_sse_loses_one(tmp_path: Path) -> None:
    """One lost message at one recipient is named with everything that identifies it."""
    async with two_stacks() as stacks:
        stacks.fault = lambda stack, user, m: (
            [] if stack == "sse" and "#00007" in m["message"] and user[-1] == "2" else [m]
        )
        report = await run_probe(stacks, tmp_path, messages=60)
    assert report.verdict is Verdict.FAIL
    [offender] = report.offenders
    assert (offender.kind, offender.stack, offender.blame) == (FaultKind.MISSING, Stack.SSE, Stack.SSE)
    assert "#00007" in offender.text and offender.recipients[0].endswith("-2")


async def test_websocket_doubles_and_changes(tmp_path: Path) -> None:
    """A second copy and a spoilt text are told apart, and the legacy stack is blamed."""

    def fault(stack: str, user: str, m: dict) -> list[dict]:
        if stack == "websocket" and m["message"].endswith("#00001"):
            return [m, m]
        if stack == "websocket" and "<b>" in m["message"]:
            return [{**m, "message": m["message"].replace("<", "&lt;")}]
        return [m]

    async with two_stacks() as stacks:
        stacks.fault = fault
        report = await run_probe(stacks, tmp_path, messages=12)
    assert report.verdict is Verdict.FAIL
    kinds = {(o.kind, o.blame) for o in report.offenders}
    assert kinds == {(FaultKind.DUPLICATE, Stack.WEBSOCKET), (FaultKind.CHANGED, Stack.WEBSOCKET)}


async def test_sse_recovers_websocket_cannot(tmp_path: Path) -> None:
    """A cut in the middle: the SSE stream resumes, the WebSocket has a hole, so the capture is incomplete."""
    async with two_stacks() as stacks:

        async def cut() -> None:
            while len(stacks.sent) < 20:
                await asyncio.sleep(0.005)
            await stacks.cut()

        cutting = asyncio.create_task(cut())
        report = await run_probe(stacks, tmp_path, messages=60, settle_s=2.0)
        await cutting
    assert report.verdict is Verdict.INCONCLUSIVE, report.reasons
    assert any("lost the connection to the WebSocket stack" in reason for reason in report.reasons)
    assert not any("SSE" in reason for reason in report.reasons)


async def test_one_stack_refuses(tmp_path: Path) -> None:
    """A stack that lets nobody in is named; nothing is sent, nothing is called lost."""
    async with two_stacks() as stacks:
        stacks.refuse_stream = 401
        report = await run_probe(stacks, tmp_path)
        assert stacks.sent == []
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "never got a connection to the SSE stack" in report.reasons[0]
    assert "401" in report.reasons[0]


async def test_sends_refused(tmp_path: Path) -> None:
    """Messages that the service does not accept fail with its answer, and are not called lost."""
    async with two_stacks() as stacks:
        stacks.refuse_send = 403
        report = await run_probe(stacks, tmp_path, messages=20, settle_s=0.3)
    assert report.verdict is Verdict.FAIL
    assert any("10 messages were not accepted: REST: HTTP 403" in reason for reason in report.reasons)
    assert set(report.offenders_total) == {FaultKind.REFUSED}


async def test_nobody_there(tmp_path: Path) -> None:
    """Neither stack answers: that is no verdict but a wrong start."""
    stacks = TwoStacks(port=9)
    with pytest.raises(UsageError, match="no stack is running"):
        await run_probe(stacks, tmp_path)


async def test_small_sample_is_inconclusive(tmp_path: Path) -> None:
    """Ten good messages prove little."""
    async with two_stacks() as stacks:
        report = await run_probe(stacks, tmp_path, messages=10)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "10 messages judged, 50 are needed" in report.reasons[0]
    assert Thresholds().min_samples == 50
