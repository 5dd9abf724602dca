"""What the team's state table says: flags and gates, stored verdicts, journal, shadow run. until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from migrate.compare.verdicts import last_verdict
from migrate.control.flags import Flags
from migrate.control.journal import Entry, Journal
from migrate.control.locks import Locks
from migrate.cutover.evidence import Evidence
from migrate.cutover.run import lock_name
from migrate.dashboard.findings import feature_flags, journal_item, stored
from migrate.dashboard.model import RINGS, Finding
from migrate.dashboard.sources import Clients, Collector
from migrate.shadow.state import ShadowState

__all__ = ["Cutovers", "JournalTail", "Shadow", "Verdicts"]

# Another machine's clock may be behind by so much.
SKEW = timedelta(minutes=2)
# An action that began longer ago and never ended was cut off.
LONGEST_ACTION = timedelta(hours=12)


class Cutovers(Collector):
    """Flags and gates of each feature; the hooks of the configuration are not run."""

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients)
        self._evidence: dict[str, Evidence] = {}

    def look(self) -> Finding:
        config, table = self._clients.config, self._clients.control()
        locks = Locks(table)
        flags = Flags(table).all()
        known = [one.name for one in config.features]
        rows = []
        for name in [*known, *sorted({flag.feature for flag in flags} - set(known))]:
            if name not in self._evidence:
                self._evidence[name] = Evidence(config, table, name, None)
            gates = self._evidence[name].known()
            mine = [flag for flag in flags if flag.feature == name]
            rows.append(feature_flags(name, mine, gates, locks.holder(lock_name(name))))
        return Finding({"cutover": rows}, why="" if rows else "the configuration names no features")


class Verdicts(Collector):
    """The last verdict on each feature, as the gates know it."""

    def look(self) -> Finding:
        table, now = self._clients.control(), self._clock()
        found = [last_verdict(table, one.name) for one in self._clients.config.features]
        rows = [stored(one, now) for one in found if one is not None]
        if not rows:
            return Finding({"comparison": []}, state="absent", why="no verdict yet: `migrate compare` stores one")
        return Finding({"comparison": rows}, why=f"{len(rows)} of {len(found)} features were compared")


class JournalTail:
    """The newest entries; of one that has ended meanwhile, its end.

    Args:
        clock: the time, aware and in UTC.
    """

    def __init__(self, clients: Clients, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clients = clients
        self._clock = clock
        self._since: datetime | None = None

    def look(self) -> Finding:
        journal, now = Journal(self._clients.control(), self._clock), self._clock()
        limit = RINGS["journal"]
        entries = sorted(journal.entries(since=self._since, limit=limit), key=lambda entry: entry.id)
        self._since = self._next(entries, now)
        return Finding(items={"journal": [journal_item(entry) for entry in entries]})

    def _next(self, entries: list[Entry], now: datetime) -> datetime:
        """From when on entries may be new, or not as they were."""
        begun = [(datetime.fromisoformat(entry.started_at), entry.outcome) for entry in entries]
        running = [moment for moment, outcome in begun if outcome == "started" and moment > now - LONGEST_ACTION]
        newest = max((moment for moment, _ in begun), default=self._since or now)
        return min([newest, now, *running]) - (SKEW if entries or self._since is None else timedelta())


class Shadow(Collector):
    """The shadow run: how it stands is said among the sources."""

    def look(self) -> Finding:
        told = ShadowState(self._clients.control(), self._clients.config.project.name)
        control = told.control()
        if control is None or control.state == "stopped":
            return Finding(state="absent", why="no shadow run is on: `migrate shadow start`")
        worker: dict[str, Any] = told.worker()
        said = f"run {control.run_id} is {control.state}"
        if not worker.get("alive"):
            return Finding(state="away", why=f"{said}, and no worker is alive: `migrate shadow start`")
        said += f", {worker.get('lag_s', 0):g} s behind, {worker.get('subscribers', 0)} subscribers"
        for key, text in (("lost", "lost"), ("failed", "replays refused")):
            if worker.get(key):
                said += f", {worker[key]} {text}"
        for key in ("throttled", "problem"):
            if worker.get(key):
                said += f"; {worker[key]}"
        return Finding(why=said)
