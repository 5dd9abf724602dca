"""Whether a run that is to end has nothing under way any more. Pure. until phase 3"""

from __future__ import annotations

__all__ = ["Quiescence"]

# Nothing may have arrived for so long before a run that is to end has ended.
QUIET_S = 3.0
LONGEST_END_S = 60.0


class Quiescence:
    """Looked at again and again. All times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._handled = -1
        self.begin(now)

    def begin(self, now: float) -> None:
        """From now on it is waited for: the run is told something else."""
        self._since = self._quiet_since = now

    def is_reached(self, now: float, handled: int, *, is_idle: bool) -> bool:
        """Whether it has been quiet for long enough, or nobody waits any longer.

        Args:
            handled: how much has arrived until now; more than the last time is no quiet.
            is_idle: nothing is in hand, and the queue was empty.
        """
        if not is_idle or handled != self._handled:
            self._quiet_since, self._handled = now, handled
        return now - self._quiet_since >= QUIET_S or now - self._since >= LONGEST_END_S
