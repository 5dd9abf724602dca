"""Obeys the state table: looks at what the run is told, and says how it does. until phase 3"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from migrate.compare.deliveries import Span
from migrate.errors import MigrateError
from migrate.shadow.quiescence import Quiescence
from migrate.shadow.settings import RunSettings
from migrate.shadow.state import Control, ShadowState

__all__ = ["ControlLoop", "Progress"]

LOOK_S = 0.5

log = logging.getLogger("migrate.shadow")

Progress = Callable[[], tuple[int, bool]]
"""How much has arrived until now, and whether nothing is under way."""


class ControlLoop:
    """Of one run.

    Args:
        state: where it is told, and says.
        settings: are given what it is told.
        status: what it says of itself.
        progress: by which is known that a run that is to end has ended.
        on_span: is told of the time in which it was paused.
    """

    def __init__(
        self,
        state: ShadowState,
        settings: RunSettings,
        status: Callable[[], Mapping[str, Any]],
        progress: Progress,
        on_span: Callable[[Span], None],
    ) -> None:
        self._state = state
        self._settings = settings
        self._status = status
        self._progress = progress
        self._on_span = on_span
        self._paused_since: float | None = None
        self.problem = ""

    def note(self, problem: str) -> None:
        """Say it with the next status, and only with that one."""
        self.problem = problem

    async def run(self) -> None:
        """Look and say; returns when the run is over: stopped, or nothing of it is under way, or another one is on."""
        quiescence = Quiescence(time.monotonic())
        while True:
            try:
                control = await asyncio.to_thread(self._state.control)
                own = self._settings.control
                if control is None or control.run_id != own.run_id or control.state == "stopped":
                    # Also where another run is on already: what is still written is this one's.
                    self._settings.control = replace(own, state="stopped")
                    return
                if control.state != own.state:
                    quiescence.begin(time.monotonic())
                self._obey(control)
                await asyncio.to_thread(self._state.say, self._status())
            except MigrateError as error:
                self.problem = error.message
            else:
                self.problem = ""
            if self._settings.control.state == "stopping":
                handled, is_idle = self._progress()
                if quiescence.is_reached(time.monotonic(), handled, is_idle=is_idle):
                    return
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """A pause lasts until now."""
        self._tell_paused(time.time())

    def _obey(self, control: Control) -> None:
        now = time.time()
        if control.state == "paused" and self._paused_since is None:
            self._paused_since = now
        elif control.state != "paused":
            self._tell_paused(now)
        if control != self._settings.control:
            log.info("told: %s", control)
        self._settings.control = control

    def _tell_paused(self, now: float) -> None:
        if self._paused_since is not None:
            self._on_span(Span("paused", None, None, self._paused_since, now, "paused"))
            self._paused_since = None
