"""Notices a deployment that has put a function's own handler back: nothing of it comes here any more. until phase 3"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from migrate.compare.deliveries import Span

__all__ = ["TeeWatch"]

CHECK_S = 30.0

log = logging.getLogger("migrate.shadow")


class TeeWatch:
    """Looks at the functions now and then.

    Args:
        untapped: names the functions that should have the tee and have not.
        is_ending: whether the run ends; the tee is taken off on purpose then.
        on_span: is told of the time in which not all of them had it.
    """

    def __init__(
        self, untapped: Callable[[], Sequence[str]], is_ending: Callable[[], bool], on_span: Callable[[Span], None]
    ) -> None:
        self._untapped = untapped
        self._is_ending = is_ending
        self._on_span = on_span
        self._since: float | None = None
        self._whole_at = time.time()
        self.missing: Sequence[str] = ()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                found = [] if self._is_ending() else await asyncio.to_thread(self._untapped)
            except Exception as error:  # not to be asked just now
                log.warning("the functions could not be looked at: %s", type(error).__name__)
            else:
                self._take(found)
            await asyncio.sleep(CHECK_S)

    def close(self) -> None:
        """Say what was the matter until now."""
        # At the end of a run the tee is taken off on purpose; then the records say what came.
        if not self._is_ending():
            self._tell(time.time())

    def _take(self, found: Sequence[str]) -> None:
        now = time.time()
        if found and self._since is None:
            self._since = self._whole_at
            log.warning("the tee is not on %s", ", ".join(found))
        elif not found:
            self._tell(now)
            self._whole_at = now
        self.missing = [name.rpartition(":")[2] for name in found]

    def _tell(self, now: float) -> None:
        if self._since is not None:
            self._on_span(Span("incomplete", None, None, self._since, now, "the tee was not on every function"))
            self._since = None
