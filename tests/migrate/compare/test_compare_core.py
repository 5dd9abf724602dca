"""The comparison's rules on hand-made tables. until phase 3 (MG7)"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.compare import Capture, Delivery, Gap, Path, Report, Send, Stack, Thresholds, Verdict, compare
from migrate.compare.match import FaultKind, changed_fields

WS, SSE = Stack.WEBSOCKET, Stack.SSE
PEOPLE = ("ann", "bob")


def make(
    messages: int = 500,
    change: Callable[[Delivery], list[Delivery]] = lambda d: [d],
    *,
    skew_s: float = 0.0,
    own: bool = True,
    step_s: float = 0.1,
    gaps: tuple[Gap, ...] = (),
) -> Capture:
    """A run in which message n is sent at 1000 + n * step_s, half over each way, and arrives 10 ms
    (WebSocket) or 20 ms (SSE) later at everybody; `change` turns each delivery into what arrives instead."""
    sends: list[Send] = []
    deliveries: list[Delivery] = []
    for n in range(messages):
        at = 1000 + n * step_s
        path = Path.WEBSOCKET if n % 2 == 0 else Path.REST
        sender = PEOPLE[n // 2 % 2] if own else "carol"
        text = f"text {n:04d}"
        known = f"id-{n}" if path is Path.REST else None
        if own:
            sends.append(Send(known, sender, "main", text, path, at))
        payload = {
            "roomId": "main",
            "messageId": f"id-{n}",
            "userName": sender,
            "message": text,
            "timestamp": at + skew_s,
        }
        for stack, delay in ((WS, 0.01), (SSE, 0.02)):
            for person in PEOPLE:
                delivery = Delivery(stack, person, f"id-{n}", "main", sender, 0, at + delay, at + skew_s, payload)
                deliveries += change(delivery)
    deliveries.sort(key=lambda d: d.received_at)
    numbered = [dataclasses.replace(d, seq=seq) for seq, d in enumerate(deliveries)]
    return Capture("run", PEOPLE, sends, numbered, (999.0, 1000 + messages * step_s), gaps)


def at(stack: Stack, n: int, person: str | None = None) -> Callable[[Delivery], bool]:
    return lambda d: d.stack is stack and d.message_id == f"id-{n}" and person in (None, d.recipient)


def replacing(
    where: Callable[[Delivery], bool], *instead: Callable[[Delivery], Delivery]
) -> Callable[[Delivery], list[Delivery]]:
    return lambda d: [make_one(d) for make_one in instead] if where(d) else [d]


def same(d: Delivery) -> Delivery:
    return d


def later(seconds: float) -> Callable[[Delivery], Delivery]:
    return lambda d: dataclasses.replace(d, received_at=d.received_at + seconds)


def with_text(text: str) -> Callable[[Delivery], Delivery]:
    return lambda d: dataclasses.replace(d, payload={**(d.payload or {}), "message": text})


def summary(report: Report) -> list[tuple[str, str | None, str | None, str, int]]:
    """(kind, stack, blame, message, number of recipients) of every offender."""
    return [
        (o.kind.value, o.stack and o.stack.value, o.blame and o.blame.value, o.message_id, len(o.recipients))
        for o in report.offenders
    ]


CASES = [
    ("SSE loses 1 in 500 at everybody", replacing(at(SSE, 250)), [("missing", "sse", "sse", "id-250", 2)]),
    ("SSE loses it at one", replacing(at(SSE, 250, "bob")), [("missing", "sse", "sse", "id-250", 1)]),
    ("WebSocket loses it", replacing(at(WS, 251, "ann")), [("missing", "websocket", "websocket", "id-251", 1)]),
    (
        "both lose one that was sent over REST",
        lambda d: [] if d.message_id == "id-251" else [d],
        [("missing", None, "sse", "id-251", 2)],
    ),
    (
        "both lose one that was sent over WebSocket: nobody knows its id",
        lambda d: [] if d.message_id == "id-250" else [d],
        [("missing", None, "websocket", "unseen-251", 2)],
    ),
    ("SSE doubles", replacing(at(SSE, 3, "ann"), same, later(1)), [("duplicate", "sse", "sse", "id-3", 1)]),
    ("WebSocket doubles", replacing(at(WS, 3), same, same), [("duplicate", "websocket", "websocket", "id-3", 2)]),
    ("SSE changes a field", replacing(at(SSE, 4), with_text("?")), [("changed", "sse", "sse", "id-4", 2)]),
    (
        "WebSocket changes it",
        replacing(at(WS, 4, "bob"), with_text("?")),
        [("changed", "websocket", "websocket", "id-4", 1)],
    ),
    # 4 comes 0.45 s late: 5 to 8 are before it; 8 is of the same sender over the same way.
    (
        "SSE overtakes within a sender",
        replacing(at(SSE, 4, "ann"), later(0.45)),
        [("reordered", "sse", "sse", "id-4", 1)],
    ),
    # 0.25 s late: only concurrent messages of others are before it.
    ("concurrent messages swap", replacing(at(SSE, 4, "ann"), later(0.25)), []),
    # 1.3 s late and more: newer ones of the room by more than the slack are before it.
    (
        "late beyond the slack",
        replacing(at(WS, 499 - 20), later(1.3)),
        [("reordered", "websocket", "websocket", "id-479", 2)],
    ),
    ("a whole stack is late", replacing(lambda d: d.stack is SSE, later(3)), []),
]


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_faults(change: Callable[[Delivery], list[Delivery]], expected: list[tuple[str, str, str, str, int]]) -> None:
    """Each fault is found, named, counted at the right stack, and nothing else is."""
    report = compare(make(change=change))
    assert summary(report) == expected
    assert report.verdict is (Verdict.FAIL if expected else Verdict.PASS), report.reasons


def test_pass_says_how_sure() -> None:
    """500 messages without a loss rule out 0.6 % (the rule of three), no more."""
    report = compare(make())
    assert report.verdict is Verdict.PASS
    assert report.counts.matched == report.counts.pairs == 1000
    assert "a loss rate above 0.60%" in report.reasons[0]


def test_latency() -> None:
    """From sending to receiving by the recorder's clock alone; their difference with its sign."""
    report = compare(make(100))
    assert report.latency[WS, None].p50 == pytest.approx(0.01)
    assert report.latency[SSE, Path.REST].p99 == pytest.approx(0.02)
    assert report.latency[SSE, Path.REST].samples == 100
    assert report.difference is not None and report.difference.value == pytest.approx(0.01)


@pytest.mark.parametrize("skew_s", [-3600.0, 3600.0, -5.0, 5.0])
def test_server_clock_is_wrong(skew_s: float) -> None:
    """A server's clock an hour off changes neither matching, order, window nor latency."""
    report = compare(make(100, skew_s=skew_s))
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.latency[WS, None].p50 == pytest.approx(0.01)
    assert compare(make(100, replacing(at(SSE, 7)), skew_s=skew_s)).offenders[0].message_id == "id-7"


def test_recorders_clock_jumped() -> None:
    """Received long before it was sent: the numbers are left out and it is said."""
    report = compare(make(100, replacing(lambda d: d.stack is SSE, later(-3600))))
    assert report.latency[SSE, None].samples == 0
    assert report.latency[WS, None].samples == 200
    assert any("clocks" in note for note in report.notes)


def test_same_wrong_order_on_both_is_no_difference() -> None:
    """What both stacks bring in one order is one order, whatever the times in it say."""
    report = compare(make(100, replacing(lambda d: d.message_id == "id-4", later(0.45))))
    assert report.verdict is Verdict.PASS, report.reasons


def test_other_peoples_messages() -> None:
    """Without ground truth a message that one stack brought is missing on the other; `own_only` leaves it
    out.
    """
    capture = make(100, replacing(at(SSE, 50, "bob")), own=False)
    assert summary(compare(capture)) == [("missing", "sse", "sse", "id-50", 1)]
    assert compare(capture, own_only=True).counts.messages == 0
    # What lies outside the window is nobody's loss.
    outside = dataclasses.replace(capture, window=(1005.1, 2000.0))
    assert summary(compare(outside)) == []
    # With the legacy stack as the reference, what only SSE brought is too much there.
    invented = make(100, replacing(lambda d: d.stack is WS and d.message_id == "id-50"), own=False)
    assert summary(compare(invented)) == [("missing", "websocket", "websocket", "id-50", 2)]
    assert summary(compare(invented, reference=WS)) == [("extra", "sse", "sse", "id-50", 2)]


def test_extra() -> None:
    """The same text under another id (an echo), and a recipient who is none, are too many."""

    def echo(d: Delivery) -> list[Delivery]:
        twin = dataclasses.replace(d, message_id="echo", received_at=d.received_at + 1)
        return [d, twin] if at(SSE, 4, "ann")(d) else [d]

    assert summary(compare(make(change=echo))) == [("extra", "sse", "sse", "echo", 1)]
    capture = make(100)
    private = [dataclasses.replace(send, recipients=frozenset({"ann"})) for send in capture.sends[:2]]
    narrowed = dataclasses.replace(capture, sends=[*private, *capture.sends[2:]])
    assert [(o.kind, o.message_id, o.recipients) for o in compare(narrowed).offenders] == [
        (FaultKind.EXTRA, "id-0", ("bob",)),
        (FaultKind.EXTRA, "id-0", ("bob",)),
        (FaultKind.EXTRA, "id-1", ("bob",)),
        (FaultKind.EXTRA, "id-1", ("bob",)),
    ]


def test_gap_is_no_loss_but_no_pass_either() -> None:
    """What a client could not see is not judged; a recovered gap excuses nothing."""
    lost = replacing(lambda d: d.stack is WS and d.recipient == "ann" and 1010 <= d.received_at <= 1012)
    gap = Gap(WS, "ann", 1010, 1012, recovered=False, reason="closed with code 1006")
    report = compare(make(change=lost, gaps=(gap,)))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.counts.stacks[WS].unjudged == 20
    assert report.offenders == []
    assert "1 of 2 clients lost the connection to the WebSocket stack for a while" in report.reasons[0]
    assert compare(make(change=lost, gaps=(dataclasses.replace(gap, recovered=True),))).verdict is Verdict.FAIL


def test_what_never_left_is_nobodys_loss() -> None:
    """A frame written to a breaking WebSocket, or never written, is not called lost; unless it arrived after
    all.
    """
    gap = Gap(WS, "ann", 1000.05, 1003.0, recovered=False, reason="closed with code 1006")
    capture = make(100, lambda d: [] if d.message_id == "id-0" else [d], gaps=(gap,))
    report = compare(capture)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "1 message could not be handed to the WebSocket stack: closed with code 1006" in report.reasons
    assert report.offenders == []

    capture = make(100, lambda d: [] if d.message_id == "id-1" else [d])
    unsent = [
        dataclasses.replace(s, unsent="no answer") if s.message_id in ("id-1", "id-3") else s for s in capture.sends
    ]
    report = compare(dataclasses.replace(capture, sends=unsent))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reasons == ["1 message could not be handed to the SSE stack: no answer"]
    assert report.counts.messages == 99


def test_crossing_the_bridge_late_is_latency() -> None:
    """What comes over the other way two seconds later than the rest, but in its order, is late, not out of
    order.
    """
    slow = replacing(lambda d: d.stack is WS and int(d.message_id[3:]) % 2 == 1, later(2.0))
    report = compare(make(100, slow))
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.latency[WS, Path.REST].p50 == pytest.approx(2.01)


def test_fail_beats_incomplete() -> None:
    """What was seen to be wrong is wrong, however incomplete the capture."""
    gap = Gap(SSE, "ann", 1010, 1012, recovered=False)
    report = compare(dataclasses.replace(make(change=replacing(at(WS, 3)), gaps=(gap,)), flaws=["cut"]))
    assert report.verdict is Verdict.FAIL
    assert "cut" in report.reasons
    assert compare(dataclasses.replace(make(), flaws=["cut"])).verdict is Verdict.INCONCLUSIVE


def test_limit_and_totals() -> None:
    """Only so many offenders are named, all are counted."""
    report = compare(make(change=replacing(lambda d: d.stack is SSE)), limit=3)
    assert len(report.offenders) == 3
    assert report.offenders_total == {FaultKind.MISSING: 500}
    assert report.reasons[0] == "nothing sent over WebSocket reached SSE streams"


@pytest.mark.parametrize(
    ("lost", "allowed", "expected"),
    [(0, 0.01, Verdict.PASS), (1, 0.01, Verdict.PASS), (3, 0.01, Verdict.INCONCLUSIVE), (40, 0.01, Verdict.FAIL)],
)
def test_allowed_loss_needs_evidence(lost: int, allowed: float, expected: Verdict) -> None:
    """With a loss that is allowed, its confidence bounds decide."""
    change = replacing(lambda d: d.stack is SSE and int(d.message_id[3:]) < lost)
    assert compare(make(change=change), Thresholds(max_loss_rate=allowed)).verdict is expected


def test_nothing_at_all() -> None:
    """An empty capture is inconclusive, not a pass."""
    report = compare(Capture("run", (), (), (), (0, 0)))
    assert report.verdict is Verdict.INCONCLUSIVE


def test_digests_only() -> None:
    """Payloads that were not kept are compared by their digests."""

    def digest(d: Delivery) -> list[Delivery]:
        value = "other" if at(SSE, 5, "ann")(d) else "same"
        return [dataclasses.replace(d, payload=None, digest=value)]

    capture = make(100, digest, own=False)
    assert summary(compare(capture)) == [("changed", None, None, "id-5", 1)]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": True}, {"a": 1}, {"a": (True, 1)}),
        ({"a": None}, {}, {"a": (None, ...)}),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, {"a.b.1.c": (2, 3)}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": ([1], [1, 2])}),
        ({"a": {"b": 1}, "c": 1}, {"a": {"b": 2}, "c": 2}, {"c": (1, 2)}),
    ],
)
def test_changed_fields(left: dict, right: dict, expected: dict) -> None:
    """Field by field, nested by path; JSON's numbers; what is ignored is left out with what is in it."""
    ignore = {"a"} if "c" in left else set()
    assert changed_fields(left, right, ignore) == expected


def _mirrored(capture: Capture) -> Capture:
    swapped = [dataclasses.replace(d, stack=d.stack.other) for d in capture.deliveries]
    return dataclasses.replace(capture, deliveries=swapped)


def _lossy(chance: random.Random) -> Callable[[Delivery], list[Delivery]]:
    def change(d: Delivery) -> list[Delivery]:
        roll = chance.random()
        if roll < 0.05:
            return []
        if roll < 0.1:
            return [d, later(0.5)(d)]
        return [later(chance.random())(d)] if roll < 0.2 else [d]

    return change


@given(st.integers(0, 10**9), st.integers(1, 40))
def test_order_of_the_records_does_not_matter(seed: int, messages: int) -> None:
    """Any permutation of what was recorded gives the same report: only `seq` orders deliveries."""
    chance = random.Random(seed)
    capture = make(messages, _lossy(chance))
    shuffled = list(capture.deliveries)
    chance.shuffle(shuffled)
    sends = list(capture.sends)
    assert compare(dataclasses.replace(capture, deliveries=shuffled)) == compare(capture)
    chance.shuffle(sends)
    again = compare(dataclasses.replace(capture, sends=sends))
    assert again.counts == compare(capture).counts


@given(st.integers(0, 10**9), st.integers(1, 40))
def test_both_stacks_are_judged_alike(seed: int, messages: int) -> None:
    """With the stacks exchanged, their counts are exchanged and the verdict stays."""
    capture = make(messages, _lossy(random.Random(seed)), own=False)
    report, mirror = compare(capture), compare(_mirrored(capture))
    assert report.verdict is mirror.verdict
    assert report.counts.stacks[WS] == mirror.counts.stacks[SSE]
    assert report.counts.stacks[SSE] == mirror.counts.stacks[WS]
    assert [o.stack.other for o in report.offenders if o.stack] != [] or report.offenders == []


@given(st.integers(0, 10**9), st.integers(1, 60))
def test_books_balance(seed: int, messages: int) -> None:
    """Everything expected is delivered or missing; every pair is matched or has an offender."""
    counts = compare(make(messages, _lossy(random.Random(seed)))).counts
    for c in counts.stacks.values():
        assert c.expected == c.delivered + c.missing
        assert c.messages_lost <= c.messages <= messages
    assert counts.matched <= counts.pairs == messages * len(PEOPLE)
