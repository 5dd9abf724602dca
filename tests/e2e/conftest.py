"""One pair of stacks for all end-to-end tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e_support import Stacks, start


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """One pair for all tests that leave it as they found it."""
    with start(tmp_path_factory.mktemp("stacks") / "state", "--no-traffic") as running:
        yield running
