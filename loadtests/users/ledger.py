"""Who should have got what, and who did: loss, duplicates and order, by ids. Pure.

A message is expected by everybody who had joined its group when it was sent and is still there when it is judged; it
is lost when it has not come `lost_after_s` after it was sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Ledger", "Loss", "Outcome", "Sent"]

_NS = 1_000_000_000


class Outcome(StrEnum):
    """What a delivery was: `late` came after it had been given up for lost."""

    FRESH = "fresh"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Sent:
    """One message: to which group, by whom, as which, when (monotonic ns)."""

    group: str
    sender: str
    seq: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A message that a receiver has not got."""

    receiver: str
    sent: Sent


@dataclass(slots=True)
class _Seen:
    last: int = -1
    # Everything up to here has been judged; what is above is in `above`, what was lost below in `lost`.
    judged: int = -1
    above: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Receiver:
    group: str
    joined_ns: int
    own: bool
    seen: dict[str, _Seen] = field(default_factory=dict)


class Ledger:
    """Of one process: its receivers, and the messages of all processes.

    Args:
        lost_after_s: seconds after which a message that has not come is lost.
    """

    def __init__(self, lost_after_s: float) -> None:
        self.lost_after_ns = int(lost_after_s * _NS)
        self._receivers: dict[str, _Receiver] = {}
        self._groups: dict[str, set[str]] = {}
        self._open: deque[Sent] = deque()

    def join(self, receiver: str, group: str, now_ns: int, *, own: bool) -> None:
        """`receiver` gets what is sent to `group` from now on; with `own` also what it says itself."""
        self._receivers[receiver] = _Receiver(group, now_ns, own)
        self._groups.setdefault(group, set()).add(receiver)

    def leave(self, receiver: str) -> None:
        """Nothing more is expected by `receiver`."""
        left = self._receivers.pop(receiver, None)
        if left is not None:
            self._groups[left.group].discard(receiver)

    def has(self, group: str) -> bool:
        """Whether somebody here listens to the group."""
        return bool(self._groups.get(group))

    def sent(self, messages: Iterable[Sent]) -> None:
        """Messages that were sent, by users of any process."""
        self._open.extend(messages)

    def received(self, receiver: str, sender: str, seq: int, *, ordered: bool = True) -> Outcome:
        """A message has come; `ordered` False for what a history brought, whose place says nothing."""
        who = self._receivers.get(receiver)
        if who is None:
            return Outcome.FRESH
        seen = who.seen.get(sender)
        if seen is None:
            seen = who.seen[sender] = _Seen()
        if seq in seen.above:
            return Outcome.DUPLICATE
        if seq <= seen.judged:
            if seq in seen.lost:
                seen.lost.discard(seq)
                return Outcome.LATE
            return Outcome.DUPLICATE
        seen.above.add(seq)
        before, seen.last = seen.last, max(seen.last, seq)
        return Outcome.OUT_OF_ORDER if ordered and seq < before else Outcome.FRESH

    def knows(self, receiver: str, sender: str, seq: int) -> bool:
        """Whether the receiver has got it already."""
        who = self._receivers.get(receiver)
        seen = who.seen.get(sender) if who else None
        return seen is not None and (seq in seen.above or (seq <= seen.judged and seq not in seen.lost))

    def expire(self, now_ns: int) -> list[Loss]:
        """Judge what is old enough. Returns what was lost."""
        losses: list[Loss] = []
        while self._open and self._open[0].at_ns <= now_ns - self.lost_after_ns:
            losses += self._judge(self._open.popleft())
        return losses

    def awaited(self) -> bool:
        """Whether a delivery is still awaited. What has reached everybody is put away: looking again costs little,
        which matters with thousands of receivers, since nobody else of the process gets on meanwhile."""
        while self._open:
            sent = self._open[0]
            for name in self._groups.get(sent.group, ()):
                who = self._receivers[name]
                seen = who.seen.get(sent.sender)
                if _expected(name, who, sent) and (seen is None or sent.seq not in seen.above):
                    return True
            self._judge(self._open.popleft())
        return False

    def _judge(self, sent: Sent) -> list[Loss]:
        losses: list[Loss] = []
        for name in self._groups.get(sent.group, ()):
            who = self._receivers[name]
            seen = who.seen.get(sent.sender)
            if seen is None:
                seen = who.seen[sent.sender] = _Seen()
            if sent.seq in seen.above:
                seen.above.discard(sent.seq)
            elif _expected(name, who, sent):
                seen.lost.add(sent.seq)
                losses.append(Loss(name, sent))
            seen.judged = max(seen.judged, sent.seq)
        return losses


def _expected(name: str, who: _Receiver, sent: Sent) -> bool:
    return sent.at_ns >= who.joined_ns and (who.own or sent.sender != name)
