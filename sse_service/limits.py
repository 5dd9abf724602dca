"""Limits per user, address and node: open streams, and how often things may be done. Pure.

Every table here is bounded: what is counted is forgotten when it is back at its beginning, and where more
callers than a table holds are active at once, the ones seen longest ago are forgotten first.

Reconnect loops. The HTML standard (9.2.3) makes a browser's EventSource give up for good on any status but 200,
and come back by itself after `retry` milliseconds when a 200 ends. So a client with a token, which reads
statuses, is answered 429 with Retry-After; a native EventSource is answered 200 with `retry` and a farewell
(api/streams.py). 204 would stop it for ever, which no limit that passes deserves.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from sse_service.addresses import address_group
from sse_service.auth import SCOPE_PUBLISH, Principal
from sse_service.errors import RateLimitedError, TooManyStreamsError
from sse_service.ports import Clock
from sse_service.settings import Settings

__all__ = ["Buckets", "OpenStreams", "Rates"]

K = TypeVar("K")
MAX_BUCKETS = 50_000


@dataclass(frozen=True, slots=True)
class Caps:
    per_user: int
    per_address: int
    per_node: int


class OpenStreams:
    """Counts open streams; `enter` refuses the one that would be too many."""

    def __init__(self, per_user: int, per_address: int, per_node: int, retry_after_s: int = 5) -> None:
        self.caps = Caps(per_user, per_address, per_node)
        self.retry_after_s = retry_after_s
        self.total = 0
        self._users: Counter[tuple[str, str]] = Counter()
        self._addresses: Counter[str] = Counter()

    def enter(self, tenant: str, user: str, address: str) -> None:
        """Raises TooManyStreamsError; nothing is counted then."""
        address = address_group(address)
        if self.total >= self.caps.per_node:
            raise TooManyStreamsError("node", self.caps.per_node, self.retry_after_s)
        if self._users[tenant, user] >= self.caps.per_user:
            raise TooManyStreamsError("user", self.caps.per_user, self.retry_after_s)
        if self._addresses[address] >= self.caps.per_address:
            raise TooManyStreamsError("address", self.caps.per_address, self.retry_after_s)
        self.total += 1
        self._users[tenant, user] += 1
        self._addresses[address] += 1

    def leave(self, tenant: str, user: str, address: str) -> None:
        self.total -= 1
        _decrement(self._users, (tenant, user))
        _decrement(self._addresses, address_group(address))


def _decrement(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


class Buckets(Generic[K]):
    """A token bucket for each key: `burst` at once, `per_s` on average. per_s 0: no limit."""

    def __init__(self, per_s: float, burst: int, max_keys: int = MAX_BUCKETS) -> None:
        self.per_s = per_s
        self.burst = burst
        self._max_keys = max_keys
        # Missing from the table: full. (tokens, when)
        self._buckets: OrderedDict[K, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: K, now: float, cost: float = 1.0) -> float:
        """0.0: taken. Otherwise nothing was taken, and so many seconds must pass.

        A cost beyond the burst is taken from a full bucket, which then goes below zero: it could never be paid
        otherwise.
        """
        if not self.per_s:
            return 0.0
        buckets, burst = self._buckets, self.burst
        known = buckets.get(key)
        tokens = float(burst)
        if known is not None:
            before, then = known
            if now > then:
                before += (now - then) * self.per_s
            if before < tokens:
                tokens = before
            buckets.move_to_end(key)
        missing = (cost if cost < burst else burst) - tokens
        if missing <= 0:
            tokens -= cost
        buckets[key] = (tokens, now)
        if len(buckets) > 1:  # the one that was just paid from stays
            if len(buckets) > self._max_keys:
                buckets.popitem(last=False)
            self._forget_full(now)
        return missing / self.per_s if missing > 0 else 0.0

    def _forget_full(self, now: float) -> None:
        """Of the two longest unused: the table shrinks to those who are below their burst."""
        for _ in range(2):
            key = next(iter(self._buckets))
            tokens, then = self._buckets[key]
            if tokens + (now - then) * self.per_s < self.burst:
                return
            del self._buckets[key]
            if not self._buckets:
                return


class Rates:
    """How often one user may do things on this instance. monotonic: seconds."""

    def __init__(self, settings: Settings, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._acts: Buckets[tuple[str, str]] = Buckets(settings.send_per_s, settings.send_burst)
        self._events: Buckets[tuple[str, str]] = Buckets(settings.publish_per_s, settings.publish_burst)
        self._opens: Buckets[tuple[str, str]] = Buckets(
            settings.effective_opens_per_minute / 60, 4 * settings.max_streams_per_user
        )

    def act(self, principal: Principal) -> None:
        """A request that changes something. Back ends are counted by events instead. Raises RateLimitedError."""
        if SCOPE_PUBLISH not in principal.scopes:
            self._take(self._acts, principal, "requests")

    def publish(self, principal: Principal, events: int) -> None:
        """Raises RateLimitedError; nothing may be published then."""
        self._take(self._events, principal, "events", events)

    def open(self, principal: Principal) -> None:
        """A stream is opened: a client that comes back in a tight loop is slowed down. Raises RateLimitedError."""
        self._take(self._opens, principal, "streams opened")

    def _take(self, buckets: Buckets[tuple[str, str]], principal: Principal, what: str, cost: int = 1) -> None:
        wait_s = buckets.take((principal.tenant, principal.user), self._monotonic(), cost)
        if wait_s:
            raise RateLimitedError(what, buckets.per_s, max(1, math.ceil(wait_s)))
