"""Addresses as they may be shown, and proxies. until phase 3"""

from __future__ import annotations

import pytest

from migrate.addresses import is_loopback, without_query


def test_no_secret_is_shown() -> None:
    """Neither a query nor user information survives."""
    assert without_query("wss://me:pw@a.example:8443/api/prod?token=abc#x") == "wss://a.example:8443/api/prod"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/x", True),
        ("ws://[::1]:1/", True),
        ("http://localhost", True),
        ("http://10.0.0.1", False),
        ("https://localhost.example.com", False),
        ("nonsense", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    """Two ends on one machine never talk through a proxy."""
    assert is_loopback(url) is expected
