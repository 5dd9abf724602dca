"""What the shadow records, compared as it comes: verdicts, mismatches with both payloads, latency. until phase 3

The same comparison as `migrate compare --follow`, over the time that the gates of a cut-over take as recent
(`gates.fresh_s`). Nothing is stored for the gates: that is what `migrate compare` is for.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from migrate.compare.engine import Options
from migrate.compare.files import NoRecordsError, RunFiles, find_run
from migrate.compare.recorded import Offence, RecordedReport
from migrate.compare.rules import Rules
from migrate.compare.session import Follower, rules_for, today
from migrate.config import Config
from migrate.dashboard.findings import compared, latency, mismatch
from migrate.dashboard.model import SERIES_S, Finding
from migrate.errors import UsageError

__all__ = ["Records", "Window"]

MEMORY = "700MB"
# So many mismatches are looked for at once; where there are more, those of the last minutes are looked for apart.
MISMATCHES = 1000
LATELY_S = 300.0
REMEMBERED = 20_000
# What belongs to a message at the edge of the window.
MARGIN_S = 600.0
# The last seconds are not all written yet.
UNFINISHED_S = 3


class Window(Follower):
    """Follows the newest part of a run.

    Args:
        window_s: how much of it; older records are forgotten, and files that have nothing newer are not read.
    """

    def __init__(self, directory: Path, rules: Sequence[Rules], options: Options, window_s: float) -> None:
        super().__init__(directory, rules, options)
        self._window_s = window_s
        self._listed: RunFiles | None = None
        self._oldest = 0.0
        for setting in (f"memory_limit = '{MEMORY}'", "threads = 1"):
            self._engine.execute(f"set {setting}")

    def look(self) -> RecordedReport:
        """Read what is new, and compare the window. Raises: UsageError: see compare_records."""
        last = self.last()
        self._options = replace(self._options, since=None if last is None else last - self._window_s)
        return self.refresh()

    def lately(self, report: RecordedReport) -> RecordedReport:
        """The same for the last minutes alone."""
        self._options = replace(self._options, since=report.run.window[1] - LATELY_S)
        return self.refresh()

    def rates(self) -> dict[str, dict[int, float]]:
        """Deliveries a second: {"legacy": {second: count}, "shadow": ...}, every second of the last two minutes."""
        last = self.last()
        if last is None:
            return {}
        end = int(last) - UNFINISHED_S
        rows = self._engine.rows(
            f"""select stack, cast(floor("at") as bigint), count(*) from deliveries
            where "at" >= {end - SERIES_S} and outcome = 'ok' and stack in ('legacy', 'sse') group by 1, 2"""  # noqa: S608
        )
        counted = {(stack, int(second)): float(count) for stack, second, count in rows}
        seconds = range(end - SERIES_S, end)
        return {
            name: {second: counted.get((stack, second), 0.0) for second in seconds}
            for stack, name in (("legacy", "legacy"), ("sse", "shadow"))
        }

    def forget(self) -> None:
        """Let go of what is older than the window."""
        last = self.last()
        if last is not None:
            before = last - self._window_s - MARGIN_S
            for table in ("deliveries", "send_rows"):
                self._engine.execute(f'delete from {table} where "at" < {before}')  # noqa: S608

    def count(self) -> int:
        """Deliveries that are held."""
        [(count,)] = self._engine.rows("select count(*) from deliveries")
        return int(count)

    def last(self) -> float | None:
        """Time of the newest delivery, epoch seconds."""
        [(last,)] = self._engine.rows('select max("at") from deliveries')
        return None if last is None else float(last)

    def _take(self, path: Path, files: RunFiles, table: str) -> None:
        if files is not self._listed:
            self._listed = files
            newest = max(one.stat().st_mtime for one in files.files["deliveries"])
            self._oldest = newest - self._window_s - MARGIN_S
        if path.suffix == ".open" or path.stat().st_mtime >= self._oldest:
            super()._take(path, files, table)


class Records:
    """The newest run in a directory, whichever that is.

    Args:
        directory: of records, or `s3://...`; None: as configured.
    """

    def __init__(self, config: Config, directory: Path | None = None) -> None:
        self._config = config
        self._place: Path | str = directory or config.records
        self._window: Window | None = None
        self._day: date | None = None
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._forgot = 0.0

    def look(self) -> Finding:
        if isinstance(self._place, str):
            return Finding(state="absent", why=f"the records are in {self._place}: copy them, and --records DIR")
        try:
            run, _ = find_run(self._place)
            window = self._follow(run)
        except UsageError as error:
            return Finding(state="absent", why=error.message)
        try:
            report = window.look()
        except NoRecordsError as error:
            return Finding(state="absent", why=error.message)
        offences = list(report.offences)
        if report.offences_total > len(offences):
            offences += window.lately(report).offences
        if time.monotonic() - self._forgot > MARGIN_S / 10:
            self._forgot = time.monotonic()
            window.forget()
        return self._found(report, window, run, [one for one in sorted(offences, key=_at) if self._is_new(one)])

    def close(self) -> None:
        if self._window is not None:
            self._window.__exit__(None, None, None)
            self._window = None

    def _found(self, report: RecordedReport, window: Window, run: Path, fresh: Sequence[Offence]) -> Finding:
        parts: dict[str, Any] = {
            "comparison": compared(report),
            "latency": latency(report, report.made_at),
            "deliveries": window.rates(),
        }
        age_s = time.time() - (window.last() or time.time())
        shown = "" if age_s < MARGIN_S else f", whose last record is {age_s / 3600:.1f} h old"
        why = f"run {report.run.run_id or run.name}{shown}, {window.count():,} deliveries"
        return Finding(parts, {"mismatches": [mismatch(one) for one in fresh]}, why=why)

    def _follow(self, run: Path) -> Window:
        """The follower of a run; another one for another run, and for another day, since ignore rules expire."""
        if self._window is None or self._window.run_directory not in (None, run) or self._day != today():
            self.close()
            config, gates = self._config, self._config.gates
            options = Options(
                settle_s=config.shadow.settle_s,
                min_samples=gates.min_samples,
                max_loss=gates.max_loss,
                complete_capture=gates.complete_capture,
                limit=MISMATCHES,
            )
            self._day = today()
            self._window = Window(run, rules_for(config.features, ()), options, gates.fresh_s)
        return self._window

    def _is_new(self, one: Offence) -> bool:
        if one.key in self._seen:
            return False
        self._seen[one.key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _at(one: Offence) -> float:
    return one.at
