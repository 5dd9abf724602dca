"""The keys an issuer publishes (JWKS), kept in memory and fetched again when they may have changed.

A token with an unknown key id makes the set be fetched again, at most once per MIN_INTERVAL_S however many
such tokens come: otherwise anybody could make us hammer the issuer. A fetch that fails changes nothing: the keys
that are there stay. Keys are used as soon as they are known and refreshed in the background after MAX_AGE_S, so
that a withdrawn key goes. Source: RFC 7517, 4 and 5; RFC 7518, 3.3 (2048 bits at least) and 6.3.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sse_service.errors import UnavailableError
from sse_service.ports import Clock

__all__ = ["KeySet", "parse_keys"]

logger = logging.getLogger("sse_service.jwks")

MIN_INTERVAL_S = 10.0
MAX_AGE_S = 3600.0
MAX_KEYS = 64
MIN_BITS = 2048


def parse_keys(data: bytes) -> dict[str, RSAPublicKey]:
    """RS256 signing keys by their id. Raises ValueError when there is none: then the answer is no key set."""
    try:
        found = json.loads(data)
        entries = found["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("no JSON object with `keys`") from None
    keys: dict[str, RSAPublicKey] = {}
    for entry in entries[:MAX_KEYS] if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not _is_for_rs256(entry):
            continue
        try:
            key = jwt.PyJWK(entry, "RS256").key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= MIN_BITS:
            keys[entry["kid"]] = key
    if not keys:
        raise ValueError("no RSA key of 2048 bits or more for RS256")
    return keys


def _is_for_rs256(entry: Mapping[str, object]) -> bool:
    kid = entry.get("kid")
    return (
        entry.get("kty") == "RSA"
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", "RS256") == "RS256"
        and isinstance(kid, str)
        and bool(kid)
        # A private key does not belong there; whoever publishes one has no secret left.
        and "d" not in entry
    )


class KeySet:
    """fetch: the bytes of the key set; raises OSError or ValueError. monotonic: seconds."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], monotonic: Clock) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at = 0.0
        self._next_try_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def lookup(self, kid: str) -> RSAPublicKey | None:
        """Raises UnavailableError as long as no key is known at all: the token may be a good one."""
        if not self._keys:
            raise UnavailableError("the keys to check tokens with are out of reach", retry_after_s=5)
        return self._keys.get(kid)

    async def ensure(self, kid: str) -> None:
        """Look for `kid` where the keys come from, if it is not known and it was not just looked for."""
        if kid in self._keys:
            if self._monotonic() - self._fetched_at >= MAX_AGE_S:
                self._start()
            return
        task = self._start()
        if task is not None:
            # Shared by everybody who waits: one of them leaving must not end it.
            await asyncio.shield(task)

    def _start(self) -> asyncio.Task[None] | None:
        if self._task is not None and not self._task.done():
            return self._task
        if self._monotonic() < self._next_try_at:
            return None
        self._next_try_at = self._monotonic() + MIN_INTERVAL_S
        self._task = asyncio.create_task(self._refresh())
        return self._task

    async def _refresh(self) -> None:
        try:
            keys = parse_keys(await self._fetch())
        except (OSError, ValueError) as error:
            logger.warning("the issuer's keys could not be read, %d known: %s", len(self._keys), error)
            return
        self._keys, self._fetched_at = keys, self._monotonic()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
