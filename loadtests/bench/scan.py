"""`migrate scan`: files a second, beside reading and parsing the same trees with ast-grep and nothing more.

Two trees: this repository, where nearly every file is about WebSocket, and the packages installed beside it, where few
are. The floor parses every file of code; scan parses those that hold a word of ours, and reads other kinds as well.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from ast_grep_py import SgRoot

from loadtests.bench.report import Table, save, spread

__all__ = ["run"]

ROUNDS = 3
PARSED = {
    ".py": "python",
    ".js": "tsx",
    ".mjs": "tsx",
    ".cjs": "tsx",
    ".jsx": "tsx",
    ".tsx": "tsx",
    ".ts": "typescript",
}
LARGEST = 2_000_000


def run() -> None:
    """One process each, in turn. Processor time, so that what else runs on the machine counts for less."""
    columns = ("files", "files/s", "parsing all, files/s", "times as long", "files/s as seen")
    table = Table("migrate scan, one process; files a second of processor time", "tree", *columns)
    kept: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as empty:
        _, start_s = _scan(Path(empty))
    for name, root in (("this repository", Path()), ("installed packages", Path(sysconfig.get_path("purelib")))):
        listed = _listed(root)
        rates, floors, ratios, seen = [], [], [], []
        files = 0
        for _ in range(ROUNDS):
            report, cpu_s = _scan(root)
            files = int(report["files"])
            floor_s = _parse(listed)
            rates.append(files / (cpu_s - start_s))
            floors.append(len(listed) / floor_s)
            ratios.append(floors[-1] / rates[-1])
            seen.append(files / report["seconds"])
        table.add(name, f"{files:,}", *(spread(values) for values in (rates, floors, ratios, seen)))
        kept[name] = {"files": files, "files_per_cpu_s": rates, "parsed_per_cpu_s": floors, "files_per_s": seen}
    table.show()
    print(f"  kept in {save('scan', kept)}")


def _scan(root: Path) -> tuple[dict[str, float], float]:
    """What it says of itself, and the seconds of processor time that it took with its start."""
    command = [sys.executable, "-m", "migrate", "scan", str(root), "--json", "--jobs", "1"]
    if root.is_absolute():  # installed packages are what git ignores
        command.append("--no-gitignore")
    before = _children_s()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    summary: dict[str, float] = json.loads(done.stdout)["summary"]
    return summary, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _listed(root: Path) -> list[tuple[Path, str]]:
    """The code of a tree."""
    found = []
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".") and name != "node_modules"]
        for name in names:
            path = Path(folder, name)
            language = PARSED.get(path.suffix)
            if language and not path.is_symlink() and path.stat().st_size <= LARGEST:
                found.append((path, language))
    return found


def _parse(listed: list[tuple[Path, str]]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    for path, language in listed:
        SgRoot(path.read_text(encoding="utf-8", errors="replace"), language).root()
    return time.process_time() - began


if __name__ == "__main__":
    run()
