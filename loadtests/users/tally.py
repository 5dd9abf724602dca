"""What is counted of a run in one process: for its result, and as rows of locust's statistics and failures."""

from __future__ import annotations

from typing import Any

from locust.env import Environment

from loadtests.users.counters import Counters
from loadtests.users.ledger import Ledger, Loss, Outcome, Sent

__all__ = ["LostError", "Tally"]


class LostError(AssertionError):
    """A message that did not come, came twice, or came after a later one."""


class Tally:
    """fresh: sent here, and not yet told to the others. failed: users who could not come; problem: why."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._events: Any = environment.events
        self._stats: Any = environment.stats

    def begin_anew(self, lost_after_s: float) -> None:
        """Forget all of it."""
        self.ledger = Ledger(lost_after_s)
        self.counters = Counters()
        self.go_ns = self.failed = 0
        self.problem = ""
        self.fresh: list[Sent] = []
        self._kinds: dict[str, str] = {}

    def is_warm_up(self, sent_ns: int) -> bool:
        """Whether a message of that time counts nowhere."""
        return not self.go_ns or sent_ns < self.go_ns

    def sent(self, group: str, sender: str, seq: int, at_ns: int) -> None:
        """All users of all processes are to expect it; in the warm-up as well, since it is over when all has come."""
        self.fresh.append(one := Sent(group, sender, seq, at_ns))
        self.ledger.sent([one])
        if self.is_warm_up(at_ns):
            return
        self.counters.counts["sent"] += 1
        self.counters.timeline["sent"][(at_ns - self.go_ns) // 1_000_000_000] += 1

    def count(self, kind: str, name: str, ms: float, *, size: int = 0) -> None:
        """A value for locust's statistics and for the result; cheap, since it is there for every delivery."""
        self._stats.log_request(kind, name, ms, size)
        self.counters.latency[name].add(ms)

    def failure(self, kind: str, name: str, error: Exception) -> None:
        """A row of locust's failures."""
        self.counters.counts[name] += 1
        self._events.request.fire(
            request_type=kind, name=name, response_time=0, response_length=0, exception=error, context={}
        )

    def absent(self, kind: str, error: Exception) -> None:
        """A user could not come."""
        self.failed += 1
        self.problem = self.problem or f"{type(error).__name__}: {error}"
        self.failure(kind, "not_connected", error)

    def received(
        self, kind: str, receiver: str, sender: str, seq: int, sent_ns: int, at_ns: int, *, ordered: bool = True
    ) -> bool:
        """Judge a delivery that came at `at_ns`. Returns whether it counts: the first of its message, no warm-up."""
        self._kinds[receiver] = kind
        if self.is_warm_up(sent_ns):
            self.ledger.received(receiver, sender, seq, ordered=False)
            return False
        outcome = self.ledger.received(receiver, sender, seq, ordered=ordered)
        if outcome is not Outcome.DUPLICATE:
            self.counters.counts["delivered"] += 1
            self.counters.timeline["delivered"][(at_ns - self.go_ns) // 1_000_000_000] += 1
        if outcome is not Outcome.FRESH:
            self.failure(kind, outcome.value, LostError(f"message {outcome.value.replace('_', ' ')}"))
        if outcome is Outcome.LATE:
            self.counters.counts["loss"] -= 1
        return outcome is not Outcome.DUPLICATE

    def lost(self, loss: Loss) -> None:
        if self.is_warm_up(loss.sent.at_ns):
            return
        kind = self._kinds.get(loss.receiver, "")
        self.failure(kind, "loss", LostError(f"message of {loss.sent.group.partition(':')[0]} lost"))
