"""An account as the dashboard's sources find it. until phase 3"""

from __future__ import annotations

from pathlib import Path

import pytest

from .dashboard_support import World


@pytest.fixture
def bare(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Nothing was ever done: not even the state table is there."""
    monkeypatch.setenv("MIGRATE_ACTOR", "ann")
    return World(tmp_path)


@pytest.fixture
def world(bare: World) -> World:
    bare.table.ensure()
    return bare
