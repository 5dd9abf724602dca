"""An AWS of the tests' own. until phase 3"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are nobody's, and no address that somebody has set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def aws(aws_keys: None) -> Iterator[None]:
    """An empty account in this process; clients are to be made after it."""
    with mock_aws():
        yield


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """The same on the loopback interface, for other processes as well."""
    from moto.server import ThreadedMotoServer  # a web framework, which most tests do without

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
