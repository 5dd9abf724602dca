"""Matching: what each recipient got on either stack, message by message. Pure. until phase 3"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any

from migrate.compare.model import Capture, Delivery, Gap, Path, Send, Stack

__all__ = ["Fault", "FaultKind", "Message", "changed_fields", "judged_messages", "match_message", "why_unsent"]

GAP_SLACK_S = 2.0
CLOCKS_DIFFER_S = 60.0


class FaultKind(StrEnum):
    """What can be wrong with a message at a recipient."""

    MISSING = "missing"
    EXTRA = "extra"
    DUPLICATE = "duplicate"
    CHANGED = "changed"
    REORDERED = "reordered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong.

    Args:
        kind: what.
        stack: where it shows: one stack, or None for both.
        blame: the stack at fault, or None when the facts do not say which.
        recipient: at whom; empty for a message that was refused when it was sent.
        detail: the particulars in words; empty when the kind says it all.
        fields: CHANGED: field -> (value on WebSocket, value on SSE).
    """

    kind: FaultKind
    stack: Stack | None
    blame: Stack | None
    message: Message
    recipient: str
    detail: str = ""
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return tuple(Stack) if self.stack is None else (self.stack,)


@dataclass(slots=True, eq=False)
class Message:
    """One message with all its deliveries.

    Args:
        id: its identity; made up from the text when nobody ever saw it.
        send: the ground truth, or None when somebody else sent it.
        expected: the recipients that should have it on both stacks.
        invented: it carries a name of the recorder's users, who did not send it.
        time: when it was sent, epoch seconds by the recorder's clock as well as it is known.
    """

    id: str
    send: Send | None
    sender: str
    room: str
    text: str
    time: float
    expected: frozenset[str]
    invented: bool = False
    arrivals: dict[tuple[Stack, str], list[Delivery]] = field(default_factory=dict)

    def at(self, stack: Stack, recipient: str) -> list[Delivery]:
        return self.arrivals.get((stack, recipient), [])

    def recipients(self) -> list[str]:
        """Expected and actual recipients, sorted."""
        return sorted(self.expected | {recipient for _, recipient in self.arrivals})

    def seen_on(self, stack: Stack) -> bool:
        return any(where is stack for where, _ in self.arrivals)

    @property
    def path(self) -> Path | None:
        return self.send.path if self.send is not None else None


def judged_messages(capture: Capture, *, own_only: bool = False) -> list[Message]:
    """The messages of a capture that the comparison judges, in order of time.

    All of the recorder's own; those of others whose own time lies in the capture's window (unless
    `own_only`).
    """
    by_id: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in sorted(capture.deliveries, key=lambda d: d.seq):
        by_id[delivery.message_id].append(delivery)
    sends = dict(_resolved(capture, by_id))
    own = {send.sender for send in capture.sends}
    everybody = frozenset(capture.recipients)
    skew_s = _server_skew_s(sends, by_id)
    messages: list[Message] = []
    for message_id, send in sends.items():
        expected = everybody if send.recipients is None else send.recipients
        message = Message(message_id, send, send.sender, send.room, send.text, send.sent_at, expected)
        messages.append(_with_arrivals(message, by_id.get(message_id, [])))
    for message_id, deliveries in by_id.items():
        if message_id in sends:
            continue
        first = min(deliveries, key=lambda d: d.received_at)
        invented = first.sender in own
        time = _time_of(deliveries, skew_s)
        inside = capture.window[0] <= time <= capture.window[1]
        if not invented and (own_only or not inside):
            continue
        expected = frozenset() if invented else frozenset(d.recipient for d in deliveries)
        message = Message(message_id, None, first.sender, first.room, first.text, time, expected, invented)
        messages.append(_with_arrivals(message, deliveries))
    messages.sort(key=lambda m: (m.time, m.id))
    return messages


def match_message(
    message: Message,
    gaps: Mapping[tuple[Stack, str], list[Gap]],
    *,
    reference: Stack | None = None,
    ignore: Collection[str] = (),
) -> Iterator[tuple[str, dict[Stack, bool | None], list[Fault]]]:
    """Judge one message at each of its recipients.

    Yields (recipient, {stack: it was there, it was missing, or None = not judged}, faults). A recipient that
    should not have it at all is not judged but may carry EXTRA faults.

    Args:
        gaps: unrecovered gaps of each stream.
        reference: the stack that is right by definition for messages without ground truth; None: a message
            that only one stack delivered is missing on the other.
        ignore: names of payload fields that may differ.
    """
    for recipient in message.recipients():
        faults: list[Fault] = []
        judged: dict[Stack, bool | None] = {}
        got = {stack: message.at(stack, recipient) for stack in Stack}
        if _surplus(message, recipient, reference):
            faults += [
                Fault(FaultKind.EXTRA, stack, stack, message, recipient, _why_extra(message, recipient))
                for stack in Stack
                if got[stack]
            ]
            yield recipient, judged, faults
            continue
        absent = [stack for stack in Stack if not got[stack]]
        for stack in Stack:
            judged[stack] = bool(got[stack])
            if not got[stack] and _in_gap(message.time, gaps.get((stack, recipient), [])):
                judged[stack] = None
        lost = [stack for stack in absent if judged[stack] is False]
        if lost:
            where = lost[0] if len(lost) == 1 else None
            # Where nobody saw it, the stack it was handed to lost it.
            entered = message.path.stack if message.path is not None else None
            blame = entered if len(absent) == 2 else where
            faults.append(Fault(FaultKind.MISSING, where, blame, message, recipient))
        for stack in Stack:
            if len(got[stack]) > 1:
                times = f"{len(got[stack])} times"
                faults.append(Fault(FaultKind.DUPLICATE, stack, stack, message, recipient, times))
        if not absent:
            changed = _changed(message, recipient, got, ignore)
            faults += [changed] if changed is not None else []
        yield recipient, judged, faults


def why_unsent(message: Message, gaps: Mapping[tuple[Stack, str], list[Gap]]) -> str:
    """Why a message of the recorder never entered either stack through no fault of theirs; empty when it did,
    or may have.

    A frame written to a WebSocket that is just breaking is gone without a word: when nobody saw the message
        and its sender's
    connection broke at that moment, it is not known to have been sent.
    """
    if message.send is None or message.arrivals:
        return ""
    if message.send.unsent:
        return message.send.unsent
    own = gaps.get((Stack.WEBSOCKET, message.sender), []) if message.path is Path.WEBSOCKET else []
    return next((gap.reason or "the connection broke" for gap in own if _in_gap(message.time, [gap])), "")


def changed_fields(
    left: Mapping[str, Any], right: Mapping[str, Any], ignore: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """The fields of two JSON objects that differ, nested ones by dotted path; a field that is absent counts
    as `...`.

    1 and 1.0 are equal, as in JSON; True and 1 are not.
    """
    return {
        path: values
        for path, values in _differences("", left, right)
        if path not in ignore and path.partition(".")[0] not in ignore
    }


def _differences(path: str, left: Any, right: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(inner, left.get(key, ...), right.get(key, ...))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            yield from _differences(f"{path}.{index}", a, b)
    elif left != right or isinstance(left, bool) is not isinstance(right, bool):
        yield path, (left, right)


def _resolved(capture: Capture, by_id: Mapping[str, list[Delivery]]) -> Iterator[tuple[str, Send]]:
    """Message id -> send. Who sends over WebSocket is not told the id: it is found by the text, which is
    unique.
    """
    told = {send.message_id for send in capture.sends if send.message_id}
    by_text: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for message_id, deliveries in by_id.items():
        # Any of its deliveries may be the spoilt one.
        for text in {delivery.text for delivery in deliveries}:
            by_text[text].append((min(d.received_at for d in deliveries), message_id))
    for number, send in enumerate(capture.sends):
        found = send.message_id
        if found is None:
            seen = by_text.get(send.text) or _marked(send, by_text)
            found = next((message_id for _, message_id in sorted(seen) if message_id not in told), None)
        yield found or f"unseen-{number + 1}", send


def _marked(send: Send, by_text: Mapping[str, list[tuple[float, str]]]) -> list[tuple[float, str]]:
    if not send.marker:
        return []
    return [seen for text, found in by_text.items() if send.marker in text for seen in found]


def _with_arrivals(message: Message, deliveries: list[Delivery]) -> Message:
    for delivery in deliveries:
        message.arrivals.setdefault((delivery.stack, delivery.recipient), []).append(delivery)
    return message


def _server_skew_s(sends: Mapping[str, Send], by_id: Mapping[str, list[Delivery]]) -> float:
    """How far the server's clock is ahead of the recorder's, from messages whose both times are known; 0
    without any.
    """
    ahead = [
        delivery.sent_at - send.sent_at
        for message_id, send in sends.items()
        for delivery in by_id.get(message_id, [])[:1]
        if delivery.sent_at is not None
    ]
    return median(ahead) if ahead else 0.0


def _time_of(deliveries: list[Delivery], skew_s: float) -> float:
    """When a message of somebody else was sent, by the recorder's clock."""
    first = min(delivery.received_at for delivery in deliveries)
    said = [delivery.sent_at - skew_s for delivery in deliveries if delivery.sent_at is not None]
    # A clock that is an hour off says nothing about the window; the arrival does.
    return min(first, *said) if said and abs(min(said) - first) < CLOCKS_DIFFER_S else first


def _surplus(message: Message, recipient: str, reference: Stack | None) -> bool:
    if message.invented or recipient not in message.expected:
        return True
    return reference is not None and message.send is None and not message.seen_on(reference)


def _why_extra(message: Message, recipient: str) -> str:
    if message.invented:
        return "nobody sent a message with this id"
    if message.send is not None:
        return f"{recipient} is none of its recipients"
    return "the other stack never delivered it to anybody"


def _in_gap(time: float, gaps: list[Gap]) -> bool:
    return any(gap.start - GAP_SLACK_S <= time <= gap.end + GAP_SLACK_S for gap in gaps)


def _changed(
    message: Message, recipient: str, got: Mapping[Stack, list[Delivery]], ignore: Collection[str]
) -> Fault | None:
    old, new = got[Stack.WEBSOCKET][0], got[Stack.SSE][0]
    if old.payload is None or new.payload is None:
        if old.digest == new.digest:
            return None
        return Fault(FaultKind.CHANGED, None, None, message, recipient, "the digests differ")
    fields = changed_fields(old.payload, new.payload, ignore)
    if not fields:
        return None
    blame = _who_changed(message.send, fields)
    return Fault(FaultKind.CHANGED, blame, blame, message, recipient, ", ".join(fields), fields)


def _who_changed(send: Send | None, fields: Mapping[str, tuple[Any, Any]]) -> Stack | None:
    """The stack whose values are not the ones that were sent; None when the differing fields were not sent by
    us.
    """
    if send is None:
        return None
    truth = {"message": send.text, "userName": send.sender, "roomId": send.room}
    wrong = {
        stack
        for name, values in fields.items()
        if name in truth
        for stack, value in zip((Stack.WEBSOCKET, Stack.SSE), values, strict=True)
        if value != truth[name]
    }
    return wrong.pop() if len(wrong) == 1 else None
