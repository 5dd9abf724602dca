"""A whole tree, on several processes when it is large. until phase 3 (MG3)"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from migrate.scan.engine import FileResult, Scanner
from migrate.scan.files import MARKUP, walk
from migrate.scan.identity import StackIdentity
from migrate.scan.model import Problem, ScanReport

__all__ = ["Progress", "ScanOptions", "scan_tree"]

Progress = Callable[[int, int], None]
CHUNK = 100
MAX_ROUNDS = 4
# Below this many files, starting processes costs more than it gains.
POOL_FROM = 3_000
_CODE_SUFFIXES = frozenset({".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte", ".py"})


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How to scan.

    Attributes:
        jobs: processes; None means as many as there are processors, and one for small trees.
        max_bytes: larger files are only searched for words.
        leave_out: files and directories, absolute, that are none of the application's.
    """

    identity: StackIdentity = field(default_factory=StackIdentity)
    jobs: int | None = None
    max_bytes: int = 2_000_000
    ignore_files: bool = True
    leave_out: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class _Chunk:
    root: Path
    shown_from: Path
    options: ScanOptions
    paths: tuple[Path, ...]
    stems: tuple[str, ...] = ()


def scan_tree(roots: Sequence[Path], options: ScanOptions, progress: Progress | None = None) -> ScanReport:
    """Scan files and directories; the order of the findings does not depend on the number of processes."""
    began = time.monotonic()
    report = ScanReport()
    # Files may have changed since the last scan of this process.
    _scanner.cache_clear()
    shown_from = Path.cwd()
    chunks: list[_Chunk] = []
    seen: set[Path] = set()
    for root in roots:
        found = walk(root, report.skip, ignore_files=options.ignore_files, leave_out=options.leave_out)
        paths = [path for path in found if path not in seen]
        seen.update(paths)
        chunks += _chunks(root, shown_from, options, paths)
    total = sum(len(chunk.paths) for chunk in chunks)
    results: dict[Path, FileResult] = {}
    with _Runner(options.jobs, total) as runner:
        stems: set[str] = set()
        for _ in range(MAX_ROUNDS):
            new: set[str] = set()
            for path, result in runner.run(chunks):
                results[path] = result
                if result.exports is not None:
                    new.add(result.exports)
                if progress is not None:
                    progress(len(results), total)
            if new <= stems:
                break
            chunks = _importers(roots, shown_from, options, results, new - stems)
            stems |= new
    for path in sorted(results):
        result = results[path]
        report.add(result.findings, result.problem)
        if result.skipped:
            report.skip(result.skipped)
        elif path.suffix.lower() in _CODE_SUFFIXES | MARKUP:
            report.code_files += 1
    report.findings.sort(key=lambda found: (found.path, found.line, found.column, found.rule))
    report.seconds = time.monotonic() - began
    return report


def _chunks(
    root: Path, shown_from: Path, options: ScanOptions, paths: list[Path], stems: tuple[str, ...] = ()
) -> list[_Chunk]:
    return [
        _Chunk(root, shown_from, options, tuple(paths[at : at + CHUNK]), stems) for at in range(0, len(paths), CHUNK)
    ]


def _importers(
    roots: Sequence[Path], shown_from: Path, options: ScanOptions, results: dict[Path, FileResult], stems: set[str]
) -> list[_Chunk]:
    """The files without our words that may import a module which passes a WebSocket class on."""
    plain = [path for path in sorted(results) if results[path].plain and path.suffix.lower() in _CODE_SUFFIXES]
    chunks: list[_Chunk] = []
    for root in roots:
        mine = [path for path in plain if path == root or path.is_relative_to(root)]
        chunks += _chunks(root, shown_from, options, mine, tuple(sorted(stems)))
    return chunks


@lru_cache(maxsize=4)
def _scanner(root: Path, shown_from: Path, options: ScanOptions) -> Scanner:
    """One per process and scan, so that an imported module is parsed once and not once per chunk."""
    return Scanner(root, options.identity, max_bytes=options.max_bytes, shown_from=shown_from)


def _scan_chunk(chunk: _Chunk) -> list[tuple[Path, FileResult]]:
    scanner = _scanner(chunk.root, chunk.shown_from, chunk.options)
    if not chunk.stems:
        return [(path, scanner.scan(path)) for path in chunk.paths]
    names = "|".join(re.escape(stem) for stem in chunk.stems)
    imports = re.compile(rf"(?:import|require|from|export)\b[^\n;]*[\"'/.\s](?:{names})\b".encode())
    found = []
    for path in chunk.paths:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if imports.search(data):
            found.append((path, scanner.scan(path, must_parse=True)))
    return found


class _Runner:
    """Runs chunks here or in a pool. A worker that dies takes only the file with it that killed it."""

    def __init__(self, jobs: int | None, files: int) -> None:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.jobs = jobs if jobs is not None else (available if files >= POOL_FROM else 1)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, chunks: list[_Chunk]) -> Iterator[tuple[Path, FileResult]]:
        """The results, in any order."""
        if self.jobs <= 1 or len(chunks) < 2:
            for chunk in chunks:
                yield from _scan_chunk(chunk)
            return
        lost: list[_Chunk] = []
        pool = self._start()
        futures = {pool.submit(_scan_chunk, chunk): chunk for chunk in chunks}
        for future in as_completed(futures):
            try:
                yield from future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
        for chunk in lost:
            yield from self._one_by_one(chunk)

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not fork: parsers and progress bars have threads.
            self._pool = ProcessPoolExecutor(self.jobs, mp_context=multiprocessing.get_context("spawn"))
        return self._pool

    def _one_by_one(self, chunk: _Chunk) -> Iterator[tuple[Path, FileResult]]:
        """The files of a chunk whose worker died, each in a process of its own until the culprit is found."""
        for path in chunk.paths:
            self._pool = None
            single = _Chunk(chunk.root, chunk.shown_from, chunk.options, (path,), chunk.stems)
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                try:
                    yield from pool.submit(_scan_chunk, single).result()
                except BrokenProcessPool:
                    name = path.as_posix()
                    yield path, FileResult(name, problem=Problem(name, "broken", "the parser crashed on it", True))
