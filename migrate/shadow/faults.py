"""Faults on purpose, for trials and rehearsals: what a comparison must find and blame. until phase 3

Only with MIGRATE_FAULTS in the worker's environment, which no configuration file sets:

    MIGRATE_FAULTS="sse-drop=500,sse-double=500,sse-swap=500,sse-change=500,tee-lose=100,stop=60"

sse-drop, sse-double, sse-swap, sse-change: one event in so many is left out, comes twice, comes after the next one of
its room (or whatever order counts within), has a field changed. tee-lose: one record in so many is lost before it is
read. stop: the worker does nothing for so many seconds, once, after its first record. bridge-drop: of what crosses the
bridge to the SSE side, one in so many is lost; told to the bridge, not to the worker. All by counting, so that a trial
can be repeated.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from migrate.errors import UsageError
from migrate.shadow.people import Person

__all__ = ["VARIABLE", "Faults", "Received"]

VARIABLE = "MIGRATE_FAULTS"
KNOWN = ("sse-drop", "sse-double", "sse-swap", "sse-change", "tee-lose", "stop", "bridge-drop")


@dataclass(frozen=True)
class Received:
    """An event as a virtual subscriber got it; seq: its number in the log; stream: within which order counts."""

    person: Person
    event_id: str
    seq: int
    text: str
    at: float
    stream: str = ""


@dataclass
class Faults:
    """What goes wrong, by name: one in how many, or seconds. Empty: nothing."""

    wanted: dict[str, int] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _held: dict[tuple[Person, str], Received] = field(default_factory=dict)
    _has_stopped: bool = False

    @classmethod
    def parse(cls, text: str) -> Faults:
        """The value of the variable. Raises: UsageError: a name or number that is none."""
        wanted: dict[str, int] = {}
        for part in filter(None, (one.strip() for one in text.split(","))):
            name, _, number = part.partition("=")
            if name not in KNOWN or not number.isdecimal() or int(number) < 1:
                raise UsageError(f"{VARIABLE}: {part!r} is no fault", f"NAME=NUMBER, with {', '.join(KNOWN)}")
            wanted[name] = int(number)
        return cls(wanted)

    def event(self, received: Received) -> Iterator[Received]:
        """What is recorded of an event."""
        if self._is_due("sse-drop"):
            return
        held = self._held.pop((received.person, received.stream), None)
        if held is None and self._is_due("sse-swap"):
            self._held[received.person, received.stream] = received
            return
        if held is not None:
            # Order is that of numbers and times: the two change theirs. Both are written now: the place is the later's.
            yield replace(received, seq=held.seq, at=held.at)
            yield replace(held, seq=received.seq, at=received.at, event_id=received.event_id)
            return
        if self._is_due("sse-change"):
            received = replace(received, text=_changed(received.text))
        yield received
        if self._is_due("sse-double"):
            # A number of its own: with the same one it would be known as a repeat.
            yield replace(received, seq=received.seq + 10**12)

    def rest(self) -> Iterator[Received]:
        """What was to come after a next one that never came."""
        yield from self._held.values()
        self._held.clear()

    def loses_record(self) -> bool:
        """Whether this record of the tee is to be lost."""
        return self._is_due("tee-lose")

    def loses_crossing(self) -> bool:
        """Whether this message is to be lost on the bridge."""
        return self._is_due("bridge-drop")

    async def stop(self) -> None:
        """Do nothing for a while, once."""
        if "stop" in self.wanted and not self._has_stopped:
            self._has_stopped = True
            await asyncio.sleep(self.wanted["stop"])

    def _is_due(self, name: str) -> bool:
        every = self.wanted.get(name)
        if every is None:
            return False
        self._counts[name] = self._counts.get(name, 0) + 1
        return self._counts[name] % every == 0


def _changed(text: str) -> str:
    """The same frame with one text in it changed: a message's, if it has one."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(frame, dict):
        return text
    texts = [name for name, value in frame.items() if isinstance(value, str) and name not in ("type", "roomId")]
    name = "message" if "message" in texts else next(iter(texts), None)
    if name is None:
        return text
    frame[name] = f"{frame[name]} (changed)"
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
