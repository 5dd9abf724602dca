"""`migrate scan`: files a second, beside reading and parsing the same trees with ast-grep and nothing more.

Two trees: this repository, where nearly every file is about WebSocket, and the packages installed beside it, where few
are. The floor parses every file of code; scan parses those that hold a word of ours, and reads other kinds as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
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
    """One process each, in turn."""
    table = Table(
        "migrate scan, one process", "tree", "files", "files/s", "parsing everything, files/s", "times as long"
    )
    kept: dict[str, object] = {}
    for name, root in (("this repository", Path()), ("installed packages", Path(sysconfig.get_path("purelib")))):
        listed = _listed(root)
        rates, floors, ratios = [], [], []
        files = 0
        for _ in range(ROUNDS):
            report = _scan(root)
            files = int(report["files"])
            floor_s = _parse(listed)
            rates.append(files / report["seconds"])
            floors.append(len(listed) / floor_s)
            ratios.append(report["seconds"] / files / (floor_s / len(listed)))
        table.add(name, f"{files:,}", spread(rates), spread(floors), spread(ratios))
        kept[name] = {"files": files, "files_per_s": rates, "parsed_per_s": floors, "ratio": ratios}
    table.show()
    print(f"  kept in {save('scan', kept)}")


def _scan(root: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "migrate", "scan", str(root), "--json", "--jobs", "1", "--no-gitignore"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    summary: dict[str, float] = json.loads(done.stdout)["summary"]
    return summary


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
    """Seconds."""
    began = time.perf_counter()
    for path, language in listed:
        SgRoot(path.read_text(encoding="utf-8", errors="replace"), language).root()
    return time.perf_counter() - began


if __name__ == "__main__":
    run()
