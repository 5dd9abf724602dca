"""Which messages were overtaken on a stack. Pure. until phase 3

Order is judged by the time the server gave a message (`timestamp`, unique in its room and the same on both
stacks), not by the time of its arrival: a stack that brings everything late, but in order, reorders nothing.

Within one recipient's stream on one stack a message is *reordered* when a newer message of the same group
came before it:

- per sender: messages of one sender to one room sent the same way (all WebSocket, or all REST), whatever
their
  distance. Nothing orders what one person sends at once over two connections. Of messages whose way is not
  known (other people's) the newer one must be newer by more than the slack (1 s by default).
- per room: messages of different senders sent the same way, when the newer one is newer by more than the
slack.
  Closer ones are concurrent: neither stack promises their order.

Messages that took different ways are not held against each other: one of them crossed the bridge, and what it
    costs
to cross it is latency, shown as such, not disorder.

A pair that both stacks deliver to the recipient in the same wrong order is no difference between them and not
counted.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from migrate.compare.model import Path

__all__ = ["Arrival", "Overtaken", "overtaken"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """The first arrival of a message in one stream.

    Args:
        message_id: which.
        key: its place in the true order: the server's time, epoch seconds.
        room, sender, path: its groups; path None when it is not known how it was sent.
    """

    message_id: str
    key: float
    room: str
    sender: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A message that came after a newer one.

    Args:
        message_id: the late one.
        by: the newest message that came before it.
        seconds: how much newer that one is.
    """

    message_id: str
    by: str
    seconds: float


def overtaken(
    stream: Sequence[Arrival], other: Mapping[str, int] | None = None, *, slack_s: float = 1.0
) -> list[Overtaken]:
    """The overtaken messages of one recipient's stream on one stack, in order of arrival, each once.

    Args:
        stream: first arrivals in order of arrival.
        other: message id -> position in the same recipient's stream on the other stack; None judges this
            stack alone.
        slack_s: see above, seconds.
    """
    newest: dict[Hashable, Arrival] = {}
    found: list[Overtaken] = []
    for arrival in stream:
        same_sender = ("sender", arrival.room, arrival.sender, arrival.path)
        groups: list[tuple[Hashable, float]] = [(same_sender, slack_s)]
        if arrival.path is not None:
            groups = [(same_sender, 0.0), (("room", arrival.room, arrival.path), slack_s)]
        late: Overtaken | None = None
        for group, slack in groups:
            first = newest.get(group)
            if first is None or arrival.key > first.key:
                newest[group] = arrival
            elif late is None and first.key - arrival.key > slack and not _same_there(arrival, first, other):
                late = Overtaken(arrival.message_id, first.message_id, first.key - arrival.key)
        if late is not None:
            found.append(late)
    return found


def _same_there(late: Arrival, early: Arrival, other: Mapping[str, int] | None) -> bool:
    if other is None or late.message_id not in other or early.message_id not in other:
        return False
    return other[early.message_id] < other[late.message_id]
