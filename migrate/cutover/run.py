"""Carries out a cut-over: one change, steps with holds, the watch that brings everybody back. until phase 3

Where it stands is in the flag itself, so that a run that was killed goes on with the same command on any machine: the
percentage is the step, `updated_at` the beginning of its hold. A change takes hold only if the flag is still the one
that was read; a rollback by anybody wins over a run, which then ends.

What passes by itself (a table that is throttled, a network that is away) is outlasted in the same way: the run begins
again from the flag, for `TROUBLE_S` without a good look; then it ends and says where users are and what to do.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migrate.config import Config
from migrate.control.flags import EVERY_TENANT, CutoverFlag, Flags
from migrate.control.journal import Entry, Journal, actor
from migrate.control.locks import HeldError, Lease, Locks, LostError
from migrate.control.table import ControlTable
from migrate.cutover.evidence import Evidence
from migrate.cutover.gates import Gate, demand
from migrate.errors import ExitCode, GateClosedError, MigrateError, RefusedError

__all__ = ["Cutover", "Say", "lock_name"]

LEASE_S = 15.0
"""So that what was killed can go on soon."""
LOOK_S = 1.0
TROUBLE_S = 300.0
"""So long what passes by itself may last. Nobody can be brought back in that time: the flags are in that table."""
MAX_PAUSE_S = 5.0
"""Between two attempts: soon after it has passed, somebody has to look at the gates again."""

Say = Callable[[str], None]


def lock_name(feature: str) -> str:
    """Held by whoever moves a feature's users."""
    return f"cutover of {feature}"


class BroughtBackError(GateClosedError):
    """A broken gate has brought everybody back."""


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
        self._stands: float | None = None
        self._well_at = clock()
        self._pauses = 0
        self._marks: set[str] = set()

    @property
    def now(self) -> CutoverFlag | None:
        return self.flags.get(self._asked.feature, self._asked.key)

    @property
    def percent(self) -> float:
        """Where the users of the flag are: its own, or that of all tenants where it has none."""
        flag = self.now or self.flags.get(self._asked.feature)
        self._stands = flag.percent if flag else 0.0
        return self._stands

    def to(self, percent: float) -> CutoverFlag:
        """One change. Up needs every gate; down needs none. Raises MigrateError."""
        arguments = self._asked.arguments(percent=percent)
        with (
            self._told_what_is_left(whatever=False),
            self._journal.record("cutover", arguments) as entry,
            self._lock() as lease,
        ):
            before = self.percent
            gates = self.evidence.before(percent) if percent > before else []
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
        with self._told_what_is_left(), self._journal.record("cutover-steps", arguments) as entry:
            self._well()
            while True:
                with self._outlasting(), self._lock() as lease:
                    self._marks.add(lease.mark)
                    self._all(tuple(steps), hold_s, lease, entry)
                    return

    def _all(self, steps: tuple[float, ...], hold_s: float, lease: Lease, entry: Entry) -> None:
        flag = self.now
        if flag is not None and flag.percent > 0:
            self._stands = flag.percent
            self._say(f"{self._name} stands at {flag.percent:g} %: going on from there")
            entry.note(reached=flag.percent)
            self._hold(flag, flag.updated_at + hold_s, lease)
        for step in steps:
            if step <= self.percent:
                continue
            flag = self._step(step, lease, steps, hold_s)
            entry.note(reached=step)
            self._well()
            self._hold(flag, self._clock() + hold_s, lease)

    def _step(self, percent: float, lease: Lease, steps: tuple[float, ...], hold_s: float) -> CutoverFlag:
        with self._journal.record("cutover", self._asked.arguments(percent=percent, step=True)) as entry:
            before = self.percent
            if before > 0:
                # A gate that has broken since the last look does more than keep this step from being made.
                self._look(before)
            gates = self.evidence.before(percent)
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
            with self._told_what_is_left(), self._through_trouble():
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

    def _well(self) -> None:
        """The table answers."""
        self._well_at, self._pauses = self._clock(), 0

    @contextlib.contextmanager
    def _outlasting(self) -> Iterator[None]:
        """Wait after what passes by itself, so that the run can begin again from the flag; raise everything else."""
        try:
            yield
        except MigrateError as error:
            if not self._passes(error) or self._clock() - self._well_at > TROUBLE_S:
                raise
            self._say(f"{self._name}: {error.message}; trying again")
            pause = min(MAX_PAUSE_S, self._look_s * 2**self._pauses)
            self._pauses += 1
            self._sleep(pause)

    def _passes(self, error: MigrateError) -> bool:
        # A lease that could not be renewed; or given back, which then looks like somebody else's.
        is_ours = isinstance(error, LostError) or (isinstance(error, HeldError) and error.mark in self._marks)
        return is_ours or error.exit_code is ExitCode.UNEXPECTED

    @contextlib.contextmanager
    def _told_what_is_left(self, *, whatever: bool = True) -> Iterator[None]:
        """Say where users are when a run ends before its end, and what to do. whatever: also when a gate is shut."""
        try:
            yield
        except KeyboardInterrupt:
            if left := self._left()[0]:
                self._say(f"interrupted: {left}")
            raise
        except BroughtBackError:
            raise
        except MigrateError as error:
            # Whoever else is at it watches.
            is_held = isinstance(error, HeldError) and error.mark not in self._marks
            if is_held or not (whatever or error.exit_code is ExitCode.UNEXPECTED):
                raise
            left, hint = self._left()
            if not left:
                raise
            told = "; ".join(filter(None, (error.hint, hint)))
            if error.exit_code is ExitCode.UNEXPECTED:
                raise MigrateError(f"{error.message}; {left}", told) from error
            error.message, error.hint = f"{error.message}; {left}", told
            error.args = (error.message,)
            raise

    def _left(self) -> tuple[str, str]:
        """Where users are, in words, and what to do; nothing where nobody is over."""
        stays = "stays"
        try:
            _ = self.percent
        except MigrateError:
            stays = "was last seen"
        if self._stands == 0:
            return "", ""
        stays = f"{stays} at {self._stands:g} %" if self._stands is not None else "may have moved on or not"
        tenant = f" --tenant {self._asked.tenant}" if self._asked.tenant else ""
        again = f"migrate cutover {self._asked.feature}{tenant}"
        return (
            f"{self._name} {stays}, and nobody watches its gates",
            f"`{again} --steps --execute` goes on from there, `{again} --watch` only watches, "
            f"`migrate rollback {self._asked.feature}{tenant}` brings everybody back",
        )

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
                self._well()
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
        raise BroughtBackError(
            f"{self._name}: everybody is back on WebSocket, from {percent:g} %: {why}", "mend it, then begin again"
        )

    def _change(self, percent: float, **more: Any) -> CutoverFlag:
        asked, config = self._asked, self._config
        seen = self.now
        self._stands = None  # until the answer is there, nobody knows
        flag = self.flags.change(
            asked.feature,
            asked.key,
            percent,
            seen,
            legacy=config.ws_url,
            sse=config.sse.url,
            note=asked.note,
            **more,
        )
        self._stands = flag.percent
        return flag

    def _lock(self) -> Any:
        return self._locks.hold(lock_name(self._asked.feature), actor(), LEASE_S)

    @property
    def _name(self) -> str:
        return f"{self._asked.feature} ({self._asked.tenant})" if self._asked.tenant else self._asked.feature


def _facts(gates: Sequence[Gate]) -> list[str]:
    return [f"{gate.name} {gate.state}: {gate.reason}" for gate in gates]
