"""One local AWS for all tests of migrate.local. until phase 3"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from local_aws_support import RunningLocalAws, start_local_aws, stop_local_aws


@pytest.fixture(scope="session")
def shared_local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLocalAws]:
    """Two workers a function, which are retired after two idle seconds."""
    folder = tmp_path_factory.mktemp("local-aws") / "state"
    running = start_local_aws(folder, "--workers-per-function", "2", "--worker-idle-s", "2")
    yield running
    assert stop_local_aws(running) == 0


@pytest.fixture
def local_aws(shared_local_aws: RunningLocalAws) -> Iterator[RunningLocalAws]:
    """The shared local AWS; its clients are closed after the test."""
    yield shared_local_aws
    shared_local_aws.close()
