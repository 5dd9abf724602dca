"""One bounded GET over HTTPS. until phase 3

The standard library's client is enough: one small document an hour, and nothing to ship.
"""

from __future__ import annotations

import http.client
import time
import urllib.request
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from legacy_ws.errors import IdentityProviderError

__all__ = ["LOOPBACK", "fetch", "is_usable_url"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_BYTES = 256 * 1024
# Below the authorizer function's own time limit (10 s), so that the failure is logged in our words.
SOCKET_S = 2.0
TOTAL_S = 5.0


def is_usable_url(url: str) -> bool:
    """Whether keys may come from `url`: https, or http on this machine.

    Whoever can change keys on their way can sign tokens.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def fetch(url: str) -> bytes:
    """The document at `url`.

    Raises: IdentityProviderError: no answer in time, another status than 200, a redirect to another host or away from
        https, more than 256 KB.
    """
    # A proxy of the environment knows nothing of this machine's ports.
    proxies = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in LOOPBACK else []
    opener = urllib.request.build_opener(_SameOrigin, *proxies)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 -- see is_usable_url
    deadline = time.monotonic() + TOTAL_S
    try:
        with opener.open(request, timeout=SOCKET_S) as answer:
            if answer.status != 200:
                raise IdentityProviderError("the JWKS", f"status {answer.status}")
            return _read(answer, deadline)
    except HTTPError as error:
        with error:
            raise IdentityProviderError("the JWKS", f"status {error.code}") from None
    except URLError as error:
        raise IdentityProviderError("the JWKS", _kind(error.reason)) from None
    # ValueError: a Location or a status line that is none.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise IdentityProviderError("the JWKS", _kind(error)) from None


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one origin only."""

    max_redirections = 3

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if _origin(req.full_url) != _origin(newurl):
            raise IdentityProviderError("the JWKS", "redirected to another host")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    # Bit by bit: the time limit of a socket begins anew with every byte.
    while part := answer.read1(65_536):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise IdentityProviderError("the JWKS", f"more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise IdentityProviderError("the JWKS", f"not there after {TOTAL_S:.0f} s")
    return b"".join(parts)


def _kind(error: object) -> str:
    """What went wrong, without the texts of others."""
    return type(error).__name__ if isinstance(error, BaseException) else "unreachable"
