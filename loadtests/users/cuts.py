"""A network that goes away once in the middle of a run, for everybody at the same moment."""

from __future__ import annotations

import random
import time
from typing import Any

import gevent

from loadtests.users.people import Person

__all__ = ["CutOnce"]

ABSENCE_S = 1.0


class CutOnce(Person):
    """Cut (TCP reset) after a third of the time in which messages are sent, and back within a second. To be named
    before the scenario in the bases of a class."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._cutter: Any = None

    def is_cut(self) -> bool:
        """Whether it happens to this user."""
        return True

    def on_start(self) -> None:
        super().on_start()
        if self._listener is not None and self.is_cut():
            self._cutter = gevent.spawn(self._be_cut)

    def on_stop(self) -> None:
        if self._cutter is not None:
            self._cutter.kill(block=False)
        super().on_stop()

    def _be_cut(self) -> None:
        run = self.run_
        run.go.wait()
        at_ns = run.go_ns + max(0.5, (run.seconds or 10) / 3) * 1e9
        gevent.sleep(max(0.0, (at_ns - time.monotonic_ns()) / 1e9))
        self.connection.cut()

    def absence_s(self) -> float:
        return random.uniform(0.2, 1) * ABSENCE_S  # noqa: S311 - spreads load, no secret
