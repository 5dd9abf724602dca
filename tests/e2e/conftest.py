"""One pair of stacks for all end-to-end tests that leave it as they found it. until phase 3"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_support import Stacks, start

# A Redis of a test's own is started as in the service's tests.
sys.path.append(str(Path(__file__).parents[1] / "sse_service"))


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """One pair for all tests that leave it as they found it."""
    with start(tmp_path_factory.mktemp("stacks") / "state", "--no-traffic") as running:
        yield running
