"""What people said and heard, and whether it is the same. Pure. until phase 3

Each person keeps a record of their own. A message is known by its text, which no other has, and each belongs to the
step in which it was said. A person on both stacks at once (in a move) is given each message once by their client: what
counts as heard twice came twice over the same stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Ledger", "Record", "Said", "StepCount", "Wrong"]

# An agent run or an answer takes about a second; what is not there after the longer time is lost, or will be said so.
UNDER_WAY_S, LONGEST_UNDER_WAY_S = 2.0, 12.0


@dataclass(frozen=True, slots=True)
class Said:
    """A message: its text, who said it in which step over which stack, who has to hear it, when (epoch seconds)."""

    text: str
    by: str
    step: str
    via: str
    to: frozenset[str]
    at: float


@dataclass(slots=True)
class Record:
    """One person's own: texts heard, by stack."""

    name: str
    heard: dict[str, Counter[str]] = field(default_factory=lambda: {"websocket": Counter(), "sse": Counter()})
    events: list[str] = field(default_factory=list)

    def hear(self, stack: str, text: str) -> None:
        self.heard[stack][text] += 1

    def times(self, text: str) -> int:
        """How often the person was shown a text: over two stacks at once it counts once."""
        return max(counter[text] for counter in self.heard.values())


@dataclass(frozen=True, slots=True)
class Wrong:
    """A message that somebody did not hear (times 0) or heard more than once; stranger: it was not for them."""

    text: str
    step: str
    by: str
    via: str
    recipient: str
    times: int
    stranger: bool = False

    def __str__(self) -> str:
        what = "was not heard" if not self.times else "was shown though it is not theirs" if self.stranger else (
            f"was heard {self.times} times"
        )  # fmt: skip
        who = f"by {self.recipient}"
        return f"{self.text!r}, said by {self.by} over {self.via} in step {self.step}, {what} {who}"


@dataclass(slots=True)
class StepCount:
    """Of one step: messages, deliveries that are due, what is lost and doubled."""

    said: int = 0
    due: int = 0
    lost: int = 0
    doubled: int = 0


class Ledger:
    """Everything that was said, and everybody's record."""

    def __init__(self, people: Iterable[str]) -> None:
        self.said: list[Said] = []
        self.records: Mapping[str, Record] = {name: Record(name) for name in people}
        self.failed: list[tuple[str, str]] = []
        """(step, what) that could not be said at all."""

    def missing(self, before: float | None = None) -> list[Wrong]:
        """What was said (until `before`) and was not heard yet."""
        return [
            Wrong(one.text, one.step, one.by, one.via, name, 0)
            for one in self.said
            if before is None or one.at <= before
            for name in sorted(one.to)
            if not self.records[name].times(one.text)
        ]

    def is_behind(self, now: float) -> bool:
        """Whether something said a moment ago is still under way: a busy machine, which needs no more to do."""
        for one in reversed(self.said):
            if one.at < now - LONGEST_UNDER_WAY_S:
                return False
            if one.at < now - UNDER_WAY_S and not all(self.records[name].times(one.text) for name in one.to):
                return True
        return False

    def wrong(self) -> list[Wrong]:
        """Everything that is lost, doubled, or heard by somebody whom it was not for."""
        found = self.missing()
        known = {one.text: one for one in self.said}
        for record in self.records.values():
            texts = set().union(*record.heard.values())
            for text in sorted(texts & known.keys()):
                one, times = known[text], record.times(text)
                stranger = record.name not in one.to
                if times > 1 or stranger:
                    found.append(Wrong(text, one.step, one.by, one.via, record.name, times, stranger))
        return found

    def by_step(self) -> dict[str, StepCount]:
        """In the order of the steps."""
        counts: dict[str, StepCount] = {}
        for one in self.said:
            count = counts.setdefault(one.step, StepCount())
            count.said += 1
            count.due += len(one.to)
        for wrong in self.wrong():
            count = counts[wrong.step]
            if wrong.times:
                count.doubled += 1
            else:
                count.lost += 1
        return counts
