"""Whose address counts behind proxies."""

from __future__ import annotations

import pytest

from sse_service.addresses import TrustedProxies, address_group, is_loopback

NETS = ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # nobody we trust says so
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # the first one is invented
        ("10.0.0.1", ["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 192.0.2.7"], "198.51.100.1"),  # two header lines, two proxies
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db9::5]:443"], "2001:db9::5"),
        ("10.0.0.1", ["2001:db9::5"], "2001:db9::5"),
        ("10.0.0.1", ["1.1.1.1, garbage, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["garbage"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, "], "10.0.0.1"),
        ("10.0.0.1", ["10.7.7.7, 10.0.0.9"], "10.0.0.9"),  # all are proxies: the nearest one's word
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("unix", ["198.51.100.1"], "unix"),
        ("10.0.0.1", ["9.9.9.9, " * 5000 + "198.51.100.1"], "198.51.100.1"),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded: list[str], client: str) -> None:
    assert TrustedProxies(NETS).client_of(peer, [line.encode() for line in forwarded]) == client


def test_nobody_is_trusted_by_default() -> None:
    assert TrustedProxies().client_of("127.0.0.1", [b"1.1.1.1"]) == "127.0.0.1"


@pytest.mark.parametrize("bad", ["*", "proxy.example", "10.0.0.0/33", "10.0.0.1/8"])
def test_what_is_no_network_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        TrustedProxies([bad])


def test_an_ipv6_client_has_a_whole_64_to_itself() -> None:
    assert address_group("2001:db8:1:2::1") == address_group("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert address_group("2001:db8:1:3::1") != address_group("2001:db8:1:2::1")
    assert address_group("203.0.113.9") == "203.0.113.9" and address_group("") == ""


@pytest.mark.parametrize(
    ("host", "yes"),
    [
        ("127.0.0.1", 1),
        ("127.9.9.9", 1),
        ("::1", 1),
        ("localhost", 1),
        ("::ffff:127.0.0.1", 1),
        ("0.0.0.0", 0),
        ("x", 0),
    ],
)
def test_loopback(host: str, yes: int) -> None:
    assert is_loopback(host) is bool(yes)
