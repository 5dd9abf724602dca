"""The project of these tests. until phase 3"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from phases_support import Rehearsed


@pytest.fixture
def project(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsed:
    monkeypatch.chdir(tmp_path)
    return Rehearsed(tmp_path)
