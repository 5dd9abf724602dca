"""The corpus holds files named like tests; they are material. until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from migrate.scan.identity import StackIdentity
from migrate.scan.model import Finding, ScanReport
from migrate.scan.run import ScanOptions, scan_tree

collect_ignore = ["corpus"]

MakeTree = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeTree:
    """Writes files below a directory, which is also the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return make


@pytest.fixture
def scanned(tree: MakeTree) -> Callable[..., list[Finding]]:
    """The findings in these files."""

    def scan(files: dict[str, str | bytes], identity: StackIdentity | None = None) -> list[Finding]:
        return report_of(tree(files), identity).findings

    return scan


def report_of(root: Path, identity: StackIdentity | None = None, jobs: int = 1) -> ScanReport:
    """One scan in this process."""
    return scan_tree([root], ScanOptions(identity or StackIdentity(), jobs=jobs))
