"""Carries out a cut-over: one change, steps with holds, the watch that brings everybody back. until phase 3

Where it stands is in the flag itself, so that a run that was killed goes on with the same command on any machine: the
percentage is the step, `updated_at` the beginning of its hold. A change takes hold only if the flag is still the one
that was read; a rollback by anybody wins over a run, which then ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migrate.config import Config
from migrate.control.flags import EVERY_TENANT, CutoverFlag, Flags
from migrate.control.journal import Journal, actor
from migrate.control.locks import Lease, Locks
from migrate.control.table import ControlTable
from migrate.cutover.evidence import Evidence
from migrate.cutover.gates import Gate, demand
from migrate.errors import ExitCode, GateClosedError, MigrateError, RefusedError

__all__ = ["Cutover", "Say"]

LEASE_S = 15.0
"""So that what was killed can go on soon."""
LOOK_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What the operator wants, as it is journalled."""

    feature: str
    tenant: str | None
    without: tuple[str, ...] = ()
    note: str = ""

    @property
    def key(self) -> str:
        return self.tenant or EVERY_TENANT

    def arguments(self, **more: Any) -> dict[str, Any]:
        said = {"feature": self.feature, "tenant": self.tenant, "without_gates": list(self.without), "note": self.note}
        return {**{name: value for name, value in said.items() if value}, **more}


class Cutover:
    """One feature's cut-over.

    Args:
        say: told what happens, for a person.
        look_s: seconds between two looks at the gates while users are over.
    """

    def __init__(
        self,
        config: Config,
        table: ControlTable,
        feature: str,
        tenant: str | None,
        *,
        without: Sequence[str] = (),
        note: str = "",
        say: Say = lambda _: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        look_s: float = LOOK_S,
    ) -> None:
        self._config = config
        self._asked = Asked(feature, tenant, tuple(without), note)
        self.flags = Flags(table, clock)
        self.evidence = Evidence(config, table, feature, tenant, clock)
        self._journal = Journal(table)
        self._locks = Locks(table)
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._look_s = look_s

    @property
    def now(self) -> CutoverFlag | None:
        return self.flags.get(self._asked.feature, self._asked.key)

    @property
    def percent(self) -> float:
        """Where the users of the flag are: its own, or that of all tenants where it has none."""
        flag = self.now or self.flags.get(self._asked.feature)
        return flag.percent if flag else 0.0

    def to(self, percent: float) -> CutoverFlag:
        """One change. Up needs every gate; down needs none. Raises MigrateError."""
        arguments = self._asked.arguments(percent=percent)
        with self._journal.record("cutover", arguments) as entry, self._lock() as lease:
            before = self.percent
            gates = self._gates(percent) if percent > before else []
            entry.note(from_percent=before, gates=_facts(gates))
            demand(gates, self._asked.without)
            lease.check()
            flag = self._change(percent)
            entry.note(epoch=flag.epoch)
        self._say(f"{self._name}: {before:g} % -> {percent:g} %")
        return flag

    def steps(self, steps: Sequence[float], hold_s: float) -> None:
        """From where it stands to the last step; each is held for `hold_s` with all gates watched.

        Raises: MigrateError: a gate does not let users move, or a broken one has brought everybody back.
        """
        arguments = self._asked.arguments(steps=list(steps), hold_s=hold_s)
        with self._journal.record("cutover-steps", arguments) as entry, self._lock() as lease:
            flag = self.now
            if flag is not None and flag.percent > 0:
                self._say(f"{self._name} stands at {flag.percent:g} %: going on from there")
                self._hold(flag, flag.updated_at + hold_s, lease)
            for step in steps:
                if step <= self.percent:
                    continue
                flag = self._step(step, lease, tuple(steps), hold_s)
                entry.note(reached=step)
                self._hold(flag, self._clock() + hold_s, lease)

    def _step(self, percent: float, lease: Lease, steps: tuple[float, ...], hold_s: float) -> CutoverFlag:
        with self._journal.record("cutover", self._asked.arguments(percent=percent, step=True)) as entry:
            before = self.percent
            gates = self._gates(percent)
            entry.note(from_percent=before, gates=_facts(gates))
            demand(gates, self._asked.without)
            lease.check()
            flag = self._change(percent, steps=steps, hold_s=hold_s)
            entry.note(epoch=flag.epoch)
        self._say(f"{self._name}: {before:g} % -> {percent:g} %")
        return flag

    def watch(self, forever: Callable[[], bool] = lambda: True, tick: Callable[[int], None] = lambda _: None) -> None:
        """Look at the gates while users are over; a broken one brings everybody back.

        Raises: GateClosedError: that happened.
        """
        while forever():
            with self._through_trouble():
                flags = self.flags.of(self._asked.feature)
                mine = [one for one in flags.values() if self._asked.tenant in (None, one.tenant)]
                percent = max((one.percent for one in mine), default=0.0)
                if percent > 0:
                    self._look(percent)
                tick(self.evidence.streams)
            self._sleep(self._look_s)

    @contextlib.contextmanager
    def _through_trouble(self) -> Iterator[None]:
        """Say what could not be asked just now, and go on: users who are over must not be left without a watch
        because the state table was throttled for a moment."""
        try:
            yield
        except MigrateError as error:
            if error.exit_code is not ExitCode.UNEXPECTED:
                raise
            self._say(f"{self._name}: {error.message}; looking again")

    def _hold(self, flag: CutoverFlag, until: float, lease: Lease) -> None:
        said = -1
        while (left := until - self._clock()) > 0:
            lease.check()
            with self._through_trouble():
                present = self.now
                if present is None or present.epoch != flag.epoch:
                    by = f" by {present.updated_by}" if present else ""
                    raise RefusedError(
                        f"{self._name} was changed{by} while this run held {flag.percent:g} %: the run ends",
                        "look at `migrate cutover status` and `migrate journal`",
                    )
                self._look(flag.percent)
            if int(left) // 10 != said:
                said = int(left) // 10
                streams = self.evidence.streams
                self._say(f"{self._name} at {flag.percent:g} %, {left:.0f} s to hold, {streams} streams open")
            self._sleep(min(self._look_s, max(0.0, until - self._clock())))

    def _look(self, percent: float) -> None:
        gates = self.evidence.while_over(percent)
        broken = [gate for gate in gates if gate.breaks and gate.name not in self._asked.without]
        if not broken:
            return
        why = "; ".join(f"{gate.name}: {gate.reason}" for gate in broken)
        feature, tenant = self._asked.feature, self._asked.tenant
        with self._journal.record(
            "cutover-return", self._asked.arguments(because=why), who=f"watch of {actor()}"
        ) as entry:
            flags = self.flags.back(feature, tenant, note=why[:500])
            entry.note(from_percent=percent, epochs={flag.tenant: flag.epoch for flag in flags})
        raise GateClosedError(
            f"{self._name}: everybody is back on WebSocket, from {percent:g} %: {why}", "mend it, then begin again"
        )

    def _gates(self, percent: float) -> list[Gate]:
        return self.evidence.before(percent)

    def _change(self, percent: float, **more: Any) -> CutoverFlag:
        asked, config = self._asked, self._config
        return self.flags.change(
            asked.feature,
            asked.key,
            percent,
            self.now,
            legacy=config.ws_url,
            sse=config.sse.url,
            note=asked.note,
            **more,
        )

    def _lock(self) -> Any:
        return self._locks.hold(f"cutover of {self._asked.feature}", actor(), LEASE_S)

    @property
    def _name(self) -> str:
        return f"{self._asked.feature} ({self._asked.tenant})" if self._asked.tenant else self._asked.feature


def _facts(gates: Sequence[Gate]) -> list[str]:
    return [f"{gate.name} {gate.state}: {gate.reason}" for gate in gates]
