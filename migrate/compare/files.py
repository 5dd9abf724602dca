"""Finds and checks the record files of a run. until phase 3

    DIR                    a run, or a directory of runs (the newest is taken)
    DIR/deliveries/*.jsonl, *.open, *.parquet
    DIR/sends/..., DIR/spans/..., DIR/counts/...

See migrate.compare.deliveries for what is in them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.compare.deliveries import CLOCK, KINDS, SCHEMA, Count, Span
from migrate.errors import ExitCode, UsageError

__all__ = [
    "NoDeliveriesError",
    "NoRecordsError",
    "RunFiles",
    "find_run",
    "has_records",
    "names_of",
    "open_run",
    "progress_of",
    "read_lines",
    "spans_from",
    "spans_of",
]

SUFFIXES = (".jsonl", ".open", ".parquet")
_BLOCK = 1 << 16


class NoRecordsError(UsageError):
    """There is nothing to compare, or not yet; whoever follows waits for it."""


class NoDeliveriesError(NoRecordsError):
    """A run that has recorded no delivery, or none yet: nobody's mistake, and no verdict either."""

    exit_code = ExitCode.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of one run.

    Args:
        directory: of the run.
        run_id: what its headers say, "" when it has Parquet files alone.
        started: when the first writer opened its first file, epoch seconds; None when no header says.
        files: kind -> files, in order of name.
        cut: JSON files that end in the middle of a line -> number of bytes up to the last whole one.
        flaws: what makes the record incomplete, in words.
    """

    directory: Path
    run_id: str
    started: float | None
    files: dict[str, list[Path]]
    cut: dict[Path, int] = field(default_factory=dict)
    flaws: list[str] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether a writer has not completed its files (or was killed)."""
        return any(path.suffix == ".open" for paths in self.files.values() for path in paths)


def has_records(directory: Path) -> bool:
    """Whether a directory holds a run, or runs."""
    return bool(_runs(directory))


def _runs(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    if any((directory / kind).is_dir() for kind in KINDS):
        return [directory]
    return [path for path in directory.iterdir() if (path / "deliveries").is_dir()]


def find_run(directory: Path) -> tuple[Path, int]:
    """The run in a directory, or the newest of several, and how many there are.

    Raises: NoRecordsError: there is none.
    """
    if not directory.is_dir():
        raise NoRecordsError(
            f"there is no directory {directory}", "`migrate shadow start` records one, or name another with --records"
        )
    runs = _runs(directory)
    if not runs:
        raise NoRecordsError(
            f"{directory} holds no delivery records", "`migrate shadow start` records them; --probe compares without"
        )
    return max(runs, key=lambda path: (_newest(path), path.name)), len(runs)


def _newest(run: Path) -> float:
    times = []
    for kind in KINDS:
        for path in _listed(run / kind):
            with contextlib.suppress(FileNotFoundError):  # renamed since it was listed
                times.append(path.stat().st_mtime)
    # One that has just begun is the newest; the one before it would be judged a second time, under its name.
    return max(times) if times else run.stat().st_mtime


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith((".", "_")))


def names_of(run: Path) -> frozenset[Path]:
    """The record files that are there now."""
    return frozenset(path for kind in KINDS for path in _listed(run / kind))


def open_run(directory: Path) -> RunFiles:
    """List and check the files of one run.

    Raises: NoDeliveriesError: there are none so far. UsageError: files of two runs, a newer schema, a file without a
    header.
    """
    files = {kind: _listed(directory / kind) for kind in KINDS}
    runs: dict[str, Path] = {}
    cut: dict[Path, int] = {}
    flaws: list[str] = []
    started: list[float] = []
    for kind, paths in files.items():
        for path in list(paths):
            if path.suffix == ".parquet":
                continue
            header = _header(path, kind)
            whole = _whole_bytes(path)
            if header is None:
                # An open file whose header is not written out yet says nothing so far.
                paths.remove(path)
                if path.suffix != ".open":
                    raise UsageError(f"{path} is empty: not even its header is there", "remove it, or copy it again")
                continue
            runs.setdefault(str(header["run_id"]), path)
            started.append(float(header.get("started", 0)))
            if whole < path.stat().st_size:
                cut[path] = whole
                if path.suffix != ".open":
                    flaws.append(f"{path.name} ends in the middle of a line: the line is left out")
    if not files["deliveries"]:
        raise NoDeliveriesError(
            f"{directory} holds no deliveries yet, so there is no verdict",
            "in its first seconds a run has none; later: is the shadow running, is there traffic? "
            "`migrate shadow status`",
        )
    if len(runs) > 1:
        found = ", ".join(f"{path.name} of {run}" for run, path in sorted(runs.items()))
        raise UsageError(f"{directory} mixes records of several runs: {found}", "keep one run in one directory")
    return RunFiles(directory, next(iter(runs), ""), min(started, default=None), files, cut, flaws)


def _header(path: Path, kind: str) -> dict[str, Any] | None:
    with path.open("rb") as file:
        line = file.readline(_BLOCK)
    if not line.endswith(b"\n"):
        return None
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("schema"), int) or "run_id" not in header:
        raise UsageError(f"{path} has no header of a record file", "it is damaged or no record file; move it away")
    if header["schema"] > SCHEMA:
        raise UsageError(
            f"{path} has schema {header['schema']}, this version reads up to {SCHEMA}",
            "compare it with the version of migrate that recorded it",
        )
    if header.get("kind") != kind:
        raise UsageError(f"{path} holds {header.get('kind')}, not {kind}", "record files keep their folders")
    if header.get("clock", CLOCK) != CLOCK:
        raise UsageError(f"{path} was recorded by another clock: {header['clock']}")
    return header


def _whole_bytes(path: Path) -> int:
    """How many bytes up to and with the last line feed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = size
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return 0


def read_lines(run: RunFiles, kind: str) -> list[dict[str, Any]]:
    """The lines of the small kinds (spans, counts), without headers. Raises: UsageError: a damaged line."""
    lines: list[dict[str, Any]] = []
    for path in run.files[kind]:
        if path.suffix == ".parquet":
            continue
        raw = path.read_bytes()[: run.cut.get(path)]
        for number, line in enumerate(raw.splitlines()[1:], 2):
            try:
                value = json.loads(line)
                lines.append(value if isinstance(value, dict) else _raise(line))
            except ValueError:
                raise UsageError(f"{path}, line {number} is damaged", "record the run again") from None
    return lines


def _raise(line: bytes) -> dict[str, Any]:
    raise ValueError(line)


def spans_of(run: RunFiles) -> tuple[list[Span], int, int]:
    """See spans_from."""
    return spans_from(read_lines(run, "spans"), read_lines(run, "counts"), str(run.directory))


def progress_of(count_lines: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """How far the records were worked on, and when: pairs of `Count.at` and `Count.through`."""
    return [(float(line["at"]), float(line["through"])) for line in count_lines if line.get("through") is not None]


def spans_from(
    span_lines: Sequence[Mapping[str, Any]], count_lines: Sequence[Mapping[str, Any]], where: str
) -> tuple[list[Span], int, int]:
    """Times that were not recorded, events captured, events lost.

    What the tee lost between two counts is a span as well: of the legacy side, since the tee records that one.
    Raises: UsageError: a damaged line.
    """
    try:
        spans = [Span(**line) for line in span_lines]
        counts = sorted((Count(**line) for line in count_lines), key=lambda count: count.at)
        before = 0.0
        for count in counts:
            if count.lost > 0:
                what = f"the tee lost {count.lost} events"
                spans.append(Span("incomplete", "legacy", None, before, count.at, what))
            before = count.at
        return spans, sum(count.captured for count in counts), sum(count.lost for count in counts)
    except TypeError as error:
        raise UsageError(f"{where}: a line of spans or counts is damaged: {error}") from None
