"""A comparison of records from the files to the report, once or again and again. until phase 3"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from migrate.compare.deliveries import Span
from migrate.compare.dialect import literal
from migrate.compare.duck import DELIVERIES, SENDS, DuckEngine
from migrate.compare.engine import OnStep, Options, compare_records
from migrate.compare.files import (
    NoRecordsError,
    RunFiles,
    find_run,
    names_of,
    open_run,
    progress_of,
    read_lines,
    spans_of,
)
from migrate.compare.recorded import RecordedReport, RunFacts
from migrate.compare.rules import Rules, rules_of
from migrate.config.model import Feature
from migrate.errors import UsageError

__all__ = ["Follower", "compare_directory", "parse_moment", "rules_for", "today"]

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

ATTEMPTS = 5


def parse_moment(text: str, now: float) -> float:
    """Epoch seconds of `15m` (ago), `2026-11-22T10:00:00Z` or epoch seconds. A time without a zone is UTC.

    Raises: UsageError: it is none of these.
    """
    if ago := _AGO.fullmatch(text):
        return now - float(ago.group(1)) * _SECONDS[ago.group(2)]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", "write 15m, 2h, 2026-11-22T10:00:00Z or epoch seconds") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def today() -> date:
    """The day by which ignore rules expire."""
    return datetime.now(UTC).date()


def rules_for(features: Sequence[Feature], names: Sequence[str]) -> list[Rules]:
    """The rules of the features named, else of all that have leaving frames.

    Raises: UsageError: a feature that does not exist.
    """
    known = {feature.name: feature for feature in features}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no feature {name!r}", f"the configuration has {', '.join(known) or 'none'}")
    chosen = [known[name] for name in dict.fromkeys(names)] or [one for one in features if one.frames]
    if not chosen:
        raise UsageError("the configuration has no feature with leaving frames", "name them in [[features]] frames")
    return [rules_of(feature, today()) for feature in chosen]


def _facts(files: RunFiles, spans: tuple[list[Span], int, int], notes: Sequence[str]) -> RunFacts:
    return RunFacts(files.run_id, (0.0, 0.0), 0, 0, spans[1], spans[2], tuple(files.flaws), tuple(notes))


def compare_directory(
    directory: Path, rules: Sequence[Rules], options: Options, on_step: OnStep = lambda _: None
) -> tuple[RecordedReport, Path]:
    """Compare the (newest) run in a directory. Returns the report and the run's directory.

    A writer renames a file when it is complete: when one goes while it is being read, all are read again.
    """
    for attempt in range(ATTEMPTS):
        run_directory, runs = find_run(directory)
        before = names_of(run_directory)
        try:
            files = open_run(run_directory)
            notes = [f"the newest of {runs} runs in {directory}"] if runs > 1 else []
            return _compared(files, notes, rules, options, on_step), run_directory
        except (UsageError, OSError):
            if attempt == ATTEMPTS - 1 or before <= names_of(run_directory):
                raise
    raise AssertionError("unreachable")


def _compared(
    files: RunFiles, notes: Sequence[str], rules: Sequence[Rules], options: Options, on_step: OnStep
) -> RecordedReport:
    spans = spans_of(files)
    with DuckEngine() as engine:
        engine.load(files, spans[0])
        return compare_records(
            engine,
            rules,
            options,
            _facts(files, spans, notes),
            started=files.started,
            made_at=time.time(),
            progress=progress_of(read_lines(files, "counts")),
            on_step=on_step,
        )


class Follower:
    """Compares a growing run again and again; what was read once is not read again. A context manager."""

    def __init__(self, directory: Path, rules: Sequence[Rules], options: Options) -> None:
        self._directory, self._rules, self._options = directory, rules, options
        self._engine = DuckEngine()
        self._read: dict[str, int] = {}
        self._run: Path | None = None
        self._count = 0
        for name, columns in (("deliveries", DELIVERIES), ("send_rows", SENDS)):
            fields = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
            self._engine.execute(f"create table {name} ({fields})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.__exit__(kind, error, trace)

    @property
    def run_directory(self) -> Path | None:
        return self._run

    def refresh(self) -> RecordedReport:
        """Read what is new and compare. Raises: UsageError: see compare_records."""
        if self._run is None:
            self._run, _ = find_run(self._directory)
        files = open_run(self._run)
        for kind, table in (("deliveries", "deliveries"), ("sends", "send_rows")):
            for path in files.files[kind]:
                self._take(path, files, table)
        spans = spans_of(files)
        self._engine.load_spans(spans[0])
        return compare_records(
            self._engine,
            self._rules,
            self._options,
            _facts(files, spans, ()),
            started=files.started,
            made_at=time.time(),
            progress=progress_of(read_lines(files, "counts")),
        )

    def _take(self, path: Path, files: RunFiles, table: str) -> None:
        """Append the lines of a file that are new. It keeps its stem when it is completed."""
        columns = DELIVERIES if table == "deliveries" else SENDS
        known = f"{table}/{path.stem}"
        done = self._read.get(known, 0)
        if path.suffix == ".parquet":
            if not done:
                names = ", ".join(f'"{name}"' for name in columns)
                self._engine.execute(
                    f"insert into {table} select {names} from read_parquet({literal(str(path))})"  # noqa: S608
                )
                self._read[known] = 1
            return
        size = files.cut.get(path, path.stat().st_size)
        if size <= done:
            return
        self._count += 1
        piece = self._engine.folder / f"piece-{self._count}.jsonl"
        with path.open("rb") as source:
            source.seek(done)
            raw = source.read(size - done)
        # It may have grown since it was listed: up to the last whole line.
        raw = raw[: raw.rfind(b"\n") + 1]
        if not raw:
            return
        piece.write_bytes(raw)
        try:
            self._engine.execute(f"insert into {table} {self._engine.lines_query([piece], columns)}")
        finally:
            piece.unlink()
        self._read[known] = done + len(raw)

    def rounds(self, interval_s: float) -> Iterator[RecordedReport | None]:
        """A report now and after each interval, without end; None while there is nothing to compare yet."""
        while True:
            try:
                yield self.refresh()
            except NoRecordsError:
                if self._read:
                    raise
                yield None
            time.sleep(interval_s)
