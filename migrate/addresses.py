"""Addresses without what must not be seen, and whether they are on this machine. until phase 3"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_loopback", "without_query"]


def without_query(url: str) -> str:
    """Scheme, host, port and path of a URL: queries and user names may hold tokens and are left out."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine by name or number: such a request never goes through a proxy."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
