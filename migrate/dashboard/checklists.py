"""The three checklists with evidence gathered now; a closed phase as it was when it was closed. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrate.dashboard.findings import closed_items, phase_items
from migrate.dashboard.model import Finding
from migrate.dashboard.sources import Clients, Collector
from migrate.errors import UsageError
from migrate.phases.collect import Collectors
from migrate.phases.items import PHASES
from migrate.phases.signatures import Signatures
from migrate.phases.standing import standing

__all__ = ["Checklists"]


class Checklists(Collector):
    """All phases. To look at them is expensive: it asks AWS about everything, and scans the application's code.

    Args:
        source: the application's own code.
        clock: epoch seconds.
    """

    def __init__(self, clients: Clients, source: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clients, clock)
        self._source = source

    def look(self) -> Finding:
        config, table, now = self._clients.config, self._clients.control(), self._clock()
        signatures = Signatures(table, config.project.name)
        why = ""
        try:
            closed = {phase: signatures.closed(phase) for phase in PHASES}
            signed = {phase: signatures.of(phase) for phase in PHASES}
        except UsageError as error:
            # No state table yet: nobody has signed anything, and the rest can be looked at all the same.
            closed, signed, why = dict.fromkeys(PHASES), {phase: {} for phase in PHASES}, error.message
        looks = Collectors(config, table, self._source, now)
        rows: list[dict[str, Any]] = []
        for phase in PHASES:
            said = closed[phase]
            if said is not None:
                items = closed_items(said["rows"])
            else:
                items = phase_items(standing(phase, looks, signed[phase]), config.path, self._source)
            by = None if said is None else {"by": said["by"], "at": said["at"]}
            rows.append({"phase": phase, "title": PHASES[phase]["en"], "closed": by, "items": items})
        return Finding({"phases": rows}, why=why)
