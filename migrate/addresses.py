"""Addresses without what must not be seen, and whether they are on this machine. until phase 3"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["LOCAL_NAMES", "host_name", "is_loopback", "without_query"]

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
"""What a browser on this machine calls a page that is served here."""


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


def host_name(header: str) -> str:
    """Whom a Host header names, without the port, in lower case; empty: nobody. What serves a page here compares it, so
    that a name of somebody else's that leads here ("DNS rebinding") gets nothing."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""
