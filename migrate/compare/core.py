"""The comparison: a capture in, a report out. Pure: no I/O, no clock. until phase 3 (MG7)"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from migrate.compare.match import Fault, FaultKind, Message, judged_messages, match_message, why_unsent
from migrate.compare.model import Capture, Gap, Path, Stack
from migrate.compare.order import Arrival, overtaken
from migrate.compare.stats import Mean, mean, percentile
from migrate.compare.verdict import Counts, Direction, Thresholds, Verdict, judge

__all__ = ["Latency", "Offender", "Report", "compare"]

EXCERPT_CHARS = 60
# A difference beyond this is a clock, not a network.
ABSURD_LATENCY_S = 600.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from sending to receiving, of the recorder's own messages, by the recorder's clock."""

    samples: int
    p50: float | None
    p99: float | None
    mean: Mean | None


@dataclass(frozen=True, slots=True)
class Offender:
    """One message with one fault on one stack, at one or more recipients.

    Args:
        stack: where it shows; None: on both.
        blame: the stack at fault; None: the facts do not say.
        recipients: at whom, sorted.
        fields: CHANGED: field -> (value on WebSocket, value on SSE), of the first recipient.
    """

    kind: FaultKind
    stack: Stack | None
    blame: Stack | None
    message_id: str
    sender: str
    room: str
    text: str
    path: Path | None
    recipients: tuple[str, ...]
    detail: str
    fields: Mapping[str, tuple[object, object]]


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome.

    Args:
        reasons: why the verdict is what it is, most telling first.
        hints: what to look at.
        notes: what is worth saying besides.
        offenders: the first of them, in order of time; `offenders_total` counts all by kind.
        latency: by stack and path; path None is all of the stack.
        difference: SSE minus WebSocket, seconds, over (message, recipient) pairs that arrived on both.
    """

    run_id: str
    verdict: Verdict
    reasons: list[str]
    hints: list[str]
    notes: list[str]
    counts: Counts
    thresholds: Thresholds
    offenders: list[Offender]
    offenders_total: dict[FaultKind, int]
    latency: dict[tuple[Stack, Path | None], Latency]
    difference: Mean | None
    recipients: int
    sends: int
    window: tuple[float, float] = field(default=(0.0, 0.0))


def compare(
    capture: Capture,
    thresholds: Thresholds | None = None,
    *,
    own_only: bool = False,
    reference: Stack | None = None,
    ignore: Collection[str] = (),
    limit: int = 20,
) -> Report:
    """Compare what both stacks delivered.

    Args:
        own_only: judge only the recorder's own messages.
        reference: see migrate.compare.match.match_message.
        ignore: payload fields that may differ.
        limit: how many offenders the report names; the totals count all.
    """
    thresholds = thresholds or Thresholds()
    messages = judged_messages(capture, own_only=own_only)
    gaps: dict[tuple[Stack, str], list[Gap]] = defaultdict(list)
    for gap in capture.gaps:
        if not gap.recovered:
            gaps[gap.stack, gap.recipient].append(gap)
    counts = Counts()
    refusals: Counter[str] = Counter()
    unsent: Counter[str] = Counter()
    faults: list[Fault] = []
    for message in messages:
        if message.send is not None and message.send.refused and not message.arrivals:
            refusals[f"{message.send.path.label}: {message.send.refused}"] += 1
            counts.refused += 1
            blame = message.send.path.stack
            faults.append(Fault(FaultKind.REFUSED, blame, blame, message, "", message.send.refused))
            continue
        if message.send is not None and (reason := why_unsent(message, gaps)):
            unsent[f"{message.send.path.stack.label} stack: {reason}"] += 1
            continue
        faults += _count(message, counts, gaps, reference, ignore)
    faults += _reordered(messages, capture, thresholds, counts)
    incomplete = [*capture.flaws, *_gaps_in_words(capture)]
    incomplete += [
        f"{number} message{'' if number == 1 else 's'} could not be handed to the {why}"
        for why, number in unsent.items()
    ]
    verdict, reasons, hints = judge(counts, thresholds, incomplete=incomplete, refusals=refusals)
    latency, difference, odd_clock = _latencies(messages)
    notes = list(capture.notes)
    if odd_clock:
        notes.append("times of sending and receiving do not fit together (clocks?): no latency is shown for them")
    offenders = _offenders(faults)
    totals = Counter(offender.kind for offender in offenders)
    return Report(
        run_id=capture.run_id,
        verdict=verdict,
        reasons=reasons,
        hints=hints,
        notes=notes,
        counts=counts,
        thresholds=thresholds,
        offenders=offenders[:limit],
        offenders_total={kind: totals[kind] for kind in FaultKind if totals[kind]},
        latency=latency,
        difference=difference,
        recipients=len(capture.recipients),
        sends=len(capture.sends),
        window=capture.window,
    )


def _count(
    message: Message,
    counts: Counts,
    gaps: Mapping[tuple[Stack, str], list[Gap]],
    reference: Stack | None,
    ignore: Collection[str],
) -> list[Fault]:
    """Count one message; return its faults."""
    faults: list[Fault] = []
    lost: set[Stack] = set()
    seen: set[Stack] = set()
    judged_on_both = False
    for _, judged, found in match_message(message, gaps, reference=reference, ignore=ignore):
        faults += found
        for stack, there in judged.items():
            c = counts.stacks[stack]
            if there is None:
                c.unjudged += 1
                continue
            seen.add(stack)
            c.expected += 1
            c.delivered += there
            c.missing += not there
            if not there:
                lost.add(stack)
            if message.path is not None:
                direction = counts.directions.setdefault((message.path, stack), Direction())
                direction.expected += 1
                direction.delivered += there
                direction.missing += not there
        if judged and None not in judged.values():
            judged_on_both = True
            counts.pairs += 1
            counts.matched += not found
            there_on = [stack for stack, there in judged.items() if there]
            if len(there_on) == 1:
                counts.alone[there_on[0]] += 1
        for fault in found:
            counts.changed += fault.kind is FaultKind.CHANGED
            for stack in fault.stacks:
                counts.stacks[stack].extra += fault.kind is FaultKind.EXTRA
                counts.stacks[stack].duplicate += fault.kind is FaultKind.DUPLICATE
    counts.messages += judged_on_both
    for stack in seen:
        counts.stacks[stack].messages += 1
        counts.stacks[stack].messages_lost += stack in lost
    return faults


def _reordered(messages: list[Message], capture: Capture, thresholds: Thresholds, counts: Counts) -> list[Fault]:
    by_id = {message.id: message for message in messages}
    faults: list[Fault] = []
    for recipient in capture.recipients:
        streams = {stack: _stream(messages, stack, recipient) for stack in Stack}
        places = {
            stack: {arrival.message_id: place for place, arrival in enumerate(stream)}
            for stack, stream in streams.items()
        }
        for stack, stream in streams.items():
            for late in overtaken(stream, places[stack.other], slack_s=thresholds.order_slack_s):
                counts.stacks[stack].reordered += 1
                detail = f"came after {late.by}, which is {late.seconds:.3f} s newer"
                faults.append(Fault(FaultKind.REORDERED, stack, stack, by_id[late.message_id], recipient, detail))
    return faults


def _stream(messages: list[Message], stack: Stack, recipient: str) -> list[Arrival]:
    """First arrivals of a recipient on a stack, in order of arrival."""
    firsts = [(message, got[0]) for message in messages if (got := message.at(stack, recipient))]
    firsts.sort(key=lambda pair: pair[1].seq)
    return [
        Arrival(
            message.id,
            message.time if first.sent_at is None else first.sent_at,
            message.room,
            message.sender,
            message.path,
        )
        for message, first in firsts
    ]


def _gaps_in_words(capture: Capture) -> list[str]:
    """One sentence a stack and reason."""
    groups: dict[tuple[Stack, bool, str], set[str]] = defaultdict(set)
    for gap in capture.gaps:
        if not gap.recovered:
            groups[gap.stack, gap.never_connected, gap.reason].add(gap.recipient)
    sentences = []
    for (stack, never, reason), who in sorted(groups.items()):
        because = f": {reason}" if reason else ""
        count = f"{len(who)} of {len(capture.recipients)} clients"
        if never:
            sentences.append(f"{count} never got a connection to the {stack.label} stack{because}")
        else:
            sentences.append(f"{count} lost the connection to the {stack.label} stack for a while{because}")
    return sentences


def _latencies(
    messages: list[Message],
) -> tuple[dict[tuple[Stack, Path | None], Latency], Mean | None, bool]:
    values: dict[tuple[Stack, Path | None], list[float]] = {
        (stack, path): [] for stack in Stack for path in (None, *Path)
    }
    differences: list[float] = []
    odd = False
    for message in messages:
        if message.send is None:
            continue
        for recipient in message.expected:
            both: dict[Stack, float] = {}
            for stack in Stack:
                got = message.at(stack, recipient)
                if not got:
                    continue
                seconds = got[0].received_at - message.send.sent_at
                if not 0 <= seconds < ABSURD_LATENCY_S:
                    odd = True
                    continue
                both[stack] = seconds
                values[stack, None].append(seconds)
                values[stack, message.send.path].append(seconds)
            if len(both) == 2:
                differences.append(both[Stack.SSE] - both[Stack.WEBSOCKET])
    table = {
        where: Latency(len(found), percentile(found, 50), percentile(found, 99), mean(found))
        for where, found in values.items()
    }
    return table, mean(differences), odd


def _offenders(faults: list[Fault]) -> list[Offender]:
    groups: dict[tuple[float, str, FaultKind, Stack | None], list[Fault]] = defaultdict(list)
    for fault in faults:
        groups[fault.message.time, fault.message.id, fault.kind, fault.stack].append(fault)
    # A stack that is None sorts as the empty text.
    ordered = sorted(groups.items(), key=lambda item: (*item[0][:3], item[0][3] or ""))
    return [_offender(found) for _, found in ordered]


def _offender(faults: list[Fault]) -> Offender:
    first = faults[0]
    text = first.message.text
    return Offender(
        kind=first.kind,
        stack=first.stack,
        blame=first.blame,
        message_id=first.message.id,
        sender=first.message.sender,
        room=first.message.room,
        text=text if len(text) <= EXCERPT_CHARS else text[: EXCERPT_CHARS - 1] + "…",
        path=first.message.path,
        recipients=tuple(sorted({fault.recipient for fault in faults if fault.recipient})),
        detail=first.detail,
        fields=first.fields,
    )
