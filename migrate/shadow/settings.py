"""What a run goes by now: the configuration, where the control item does not say otherwise. Pure. until phase 3"""

from __future__ import annotations

from migrate.config.model import Shadow
from migrate.shadow.people import Person, is_sampled
from migrate.shadow.state import Control
from migrate.tee.distributor import REFRESH_S

__all__ = ["BEGIN_S", "RunSettings"]

# What entered within the first moments may not have reached this reader's queue.
BEGIN_S = 2 * REFRESH_S


class RunSettings:
    """Settings in effect.

    Args:
        configured: of the file.
        control: what the run is told at the start; replaced by whatever it is told later.
    """

    def __init__(self, configured: Shadow, control: Control) -> None:
        self._configured = configured
        self.control = control

    @property
    def is_paused(self) -> bool:
        return self.control.state == "paused"

    @property
    def is_ending(self) -> bool:
        return self.control.state in ("stopping", "stopped")

    @property
    def max_per_s(self) -> float:
        """Calls a second; 0: no limit."""
        told = self.control.max_per_s
        return self._configured.max_per_s if told is None else told

    @property
    def sample_percent(self) -> float:
        told = self.control.sample_percent
        return self._configured.sample_percent if told is None else told

    @property
    def counts_from(self) -> float:
        """Epoch seconds; what entered before is neither replayed nor compared."""
        return self.control.started_at + BEGIN_S

    def is_sampled(self, person: Person) -> bool:
        """Whether a user is shadowed."""
        return is_sampled(person, self.sample_percent)
