"""What a benchmark prints: machine, versions, medians with their spread."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Table", "percentile", "provenance", "save", "spread"]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, nearest rank; 0.0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def spread(values: Sequence[float]) -> str:
    """The median and the range of several rounds."""
    if len(values) == 1:
        return f"{values[0]:,.4g}"
    return f"{statistics.median(values):,.4g} ({min(values):,.4g}-{max(values):,.4g})"


def provenance() -> dict[str, object]:
    """Where and with what it was measured."""
    names = (
        "ws2sse",
        "ministack",
        "awslambdaric",
        "boto3",
        "fastapi",
        "uvicorn",
        "uvloop",
        "websockets",
        "sse-starlette",
    )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": _revision(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": os.getloadavg()[0],
        "versions": {name: _version(name) for name in names},
    }


def _revision() -> str:
    """Of these very files, with + for changes that are in no revision; "unknown" where they are an installed package,
    even inside somebody's repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        ).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return "unknown"
        changed = git("status", "--porcelain", "--untracked-files=no", ":/")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except OSError:
        return "unknown"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


class Table:
    """Rows of text, printed with aligned columns."""

    def __init__(self, title: str, *columns: str) -> None:
        self.title = title
        self.rows: list[tuple[str, ...]] = [columns]

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def show(self) -> None:
        widths = [max(len(row[index]) for row in self.rows) for index in range(len(self.rows[0]))]
        print(f"\n{self.title}")
        for number, row in enumerate(self.rows):
            cells = [
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  " + "  ".join(cells))
            if number == 0:
                print("  " + "  ".join("-" * width for width in widths))


def save(name: str, result: dict[str, object]) -> Path:
    """Keep a result with its provenance under bench-results/."""
    folder = Path("bench-results")
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    path.write_text(json.dumps({"provenance": provenance(), **result}, indent=2) + "\n", encoding="utf-8")
    return path
