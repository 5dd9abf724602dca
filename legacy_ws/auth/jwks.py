"""The keys of an identity provider, kept for the life of an execution environment. until phase 3

Source: RFC 7517, 5 (a JWK Set; keys that are not understood are ignored); OpenID Connect Core 1.0, 10.1.1 (rotation:
an unknown `kid` means look again).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from legacy_ws.auth.https import fetch as fetch_over_https
from legacy_ws.auth.rs256 import RsaKey, UnusableKeyError, read_key
from legacy_ws.errors import IdentityProviderError, TokenRefusedError
from legacy_ws.log import Log, log

__all__ = ["MAX_AGE_S", "REFETCH_S", "KeySet", "read_keys"]

REFETCH_S = 60.0
"""Between two looks for the sake of unknown ids: anybody can send tokens with ids that do not exist."""

MAX_AGE_S = 3600.0
"""After this the keys are fetched again although all is well: a key that was withdrawn must not live for ever."""


class KeySet:
    """The keys at `url`, by `kid`.

    Args:
        fetch: gets the document. Raises: IdentityProviderError.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], bytes] = fetch_over_https,
        clock: Callable[[], float] = time.monotonic,
        log: Log = log,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._log = log
        self._keys: dict[str | None, RsaKey] = {}
        self._fetched_at = 0.0
        self._tried_at = 0.0
        self._problem: str | None = None
        """Why the last look failed."""

    def key(self, kid: str | None) -> RsaKey:
        """The key called `kid`; without a name the only one there is.

        Raises: TokenRefusedError: there is no such key. IdentityProviderError: the keys cannot be had, or the last
            look for new ones failed, so that nobody knows whether there is.
        """
        now = self._clock()
        may_look = not self._keys or now - self._tried_at >= REFETCH_S
        if may_look and (now - self._fetched_at >= MAX_AGE_S or self._find(kid) is None):
            self._look(now)
        found = self._find(kid)
        if found is not None:
            return found
        if self._problem is not None:
            raise IdentityProviderError("the JWKS", self._problem)
        raise TokenRefusedError("no_kid" if kid is None else "unknown_kid")

    def _find(self, kid: str | None) -> RsaKey | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _look(self, now: float) -> None:
        """Fetch the keys; those we have are kept when that fails."""
        self._tried_at = now
        try:
            self._keys = read_keys(self._fetch(self._url))
        except IdentityProviderError as error:
            self._problem = error.reason
            self._log("WARNING", "jwks_not_fetched", reason=error.reason, keysKept=len(self._keys))
        else:
            self._problem = None
            self._fetched_at = now


def read_keys(document: bytes) -> dict[str | None, RsaKey]:
    """`{"keys": [...]}` to the keys that can verify RS256, by `kid` (None for one without).

    Of several with one name the first counts. Raises: IdentityProviderError: no JWKS, or no such key in it.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        raise IdentityProviderError("the JWKS", "it is no JSON") from None
    entries = found.get("keys") if isinstance(found, Mapping) else None
    if not isinstance(entries, list):
        raise IdentityProviderError("the JWKS", "it has no list of keys")
    keys: dict[str | None, RsaKey] = {}
    for entry in entries:
        kid = entry.get("kid") if isinstance(entry, Mapping) else 0
        if kid is None or isinstance(kid, str):
            try:
                keys.setdefault(kid, read_key(entry))
            except UnusableKeyError:
                continue
    if not keys:
        raise IdentityProviderError("the JWKS", "it has no key for RS256")
    return keys
