"""Addresses of clients: whose they are behind proxies, and what counts as one client. Pure.

X-Forwarded-For is a list that each proxy appends to; everything a trusted proxy did not write itself is the
client's own invention. So it is read from the right, and the first address that is not a trusted proxy's is
the client's. Source: MDN, "X-Forwarded-For", "Selecting an IP address"; Elastic Load Balancing, "HTTP headers
and Application Load Balancers" (the client's address is appended).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

__all__ = ["TrustedProxies", "address_group", "is_loopback"]

MAX_HOPS = 16
IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    address = _parse(host)
    return address is not None and address.is_loopback


def address_group(host: str) -> str:
    """What a limit per address counts: the address, or for IPv6 its /64, which one client has to itself."""
    address = _parse(host)
    if isinstance(address, IPv6):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _parse(text: str) -> IPv4 | IPv6 | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # ::ffff:10.0.0.1 is what a dual-stack socket calls 10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    """`1.2.3.4:80`, `[::1]:80` and `[::1]` without port and brackets."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, _ = entry.partition(":")
    return host if colon and ":" not in entry[len(host) + 1 :] else entry


class TrustedProxies:
    """Proxies whose X-Forwarded-For is believed; none by default."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Addresses or networks. Raises ValueError for anything else, `*` included."""
        self._networks = tuple(ipaddress.ip_network(network.strip()) for network in networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _trusts(self, address: IPv4 | IPv6) -> bool:
        return any(address in network for network in self._networks)

    def client_of(self, peer: str, forwarded: Sequence[bytes]) -> str:
        """The client's address: `peer` (who connected), or what trusted proxies say.

        forwarded: the values of all X-Forwarded-For lines in their order. An entry that is no address ends
        the reading: the proxy that passed it on is the last one known. Where every entry is a proxy's, the one
        that the nearest proxy wrote counts; those before it could be invented.
        """
        address = _parse(peer)
        if not self._networks or address is None or not self._trusts(address):
            return peer
        entries = b",".join(forwarded).decode("latin-1").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        known = nearest = None
        for entry in reversed(entries):
            found = _parse(_without_port(entry.strip()))
            if found is None:
                break
            known = str(found)
            nearest = nearest or known
            if not self._trusts(found):
                return known
        return nearest or peer
