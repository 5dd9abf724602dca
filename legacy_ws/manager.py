"""The connection manager: rows of living connections, and frames to them. until phase 3

What it holds to (REQUIREMENTS.md, faults 3-6): a row outlives the longest connection; an update never makes
a row again; reading goes through every page; only 410 removes a row, and only its own; throttling and
server errors are tried again.
"""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from legacy_ws.errors import ConnectionGoneError, SendError, SendFailedError
from legacy_ws.frames import encode
from legacy_ws.log import Log, log
from legacy_ws.ports import ConnectionTable, Poster
from legacy_ws.schema import ConnectionSchema, Item, epoch_of

__all__ = ["BroadcastResult", "Clock", "ConnectionManager", "RetryPolicy"]

Clock = Callable[[], float]
"""Seconds since the epoch."""

Remaining = Callable[[], float]
"""Seconds that are left to do the work in."""

# A 410 for a row younger than this is asked about again: "posted before $connect has returned" is answered
# with 410 too, and such a connection is about to live (AWS re:Post knowledge center, "410 GoneException ...
# API Gateway WebSocket").
_HANDSHAKE_S = 10.0
# Failed connections named in one log record; the others are counted.
_RECORDED = 20


@dataclass(frozen=True)
class RetryPolicy:
    """How often a send is tried, with exponential back-off and full jitter between the tries.

    Source: AWS architecture blog, "Exponential Backoff And Jitter".
    """

    attempts: int = 5
    base_s: float = 0.05
    cap_s: float = 1.0

    def pause_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds to wait after failed try number `attempt` (0 is the first)."""
        return float(min(self.cap_s, self.base_s * 2**attempt)) * random()


@dataclass
class BroadcastResult:
    """What became of one broadcast: how many got it, whose rows were removed, and who did not get it and
    why.
    """

    delivered: int = 0
    gone: list[str] = field(default_factory=list)
    failed: list[SendFailedError] = field(default_factory=list)

    @property
    def record(self) -> dict[str, object]:
        """Fields of a log record: counts, and of what failed the first connections with their reasons."""
        failed = [{"connectionId": error.connection_id, "reason": error.reason} for error in self.failed[:_RECORDED]]
        return {
            "delivered": self.delivered,
            "gone": len(self.gone),
            "failed": failed or None,
            "failedCount": len(self.failed) or None,
        }


class ConnectionManager:
    """Connections of one table and one stage.

    Args:
        schema: names in the table.
        table: the table's rows.
        poster: `@connections` of the stage.
        ttl_s: seconds a row lives; longer than the longest connection.
        retry: how sends are tried again.
        workers: sends of one broadcast in flight at once.
        clock, sleep, random, log: for the tests.
    """

    def __init__(
        self,
        schema: ConnectionSchema,
        table: ConnectionTable,
        poster: Poster,
        *,
        ttl_s: int,
        retry: RetryPolicy | None = None,
        workers: int = 16,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = _random.random,
        log: Log = log,
    ) -> None:
        self.schema = schema
        self._table = table
        self._poster = poster
        self._ttl_s = ttl_s
        self._retry = retry or RetryPolicy()
        self._workers = workers
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._log = log
        self._pool: ThreadPoolExecutor | None = None

    def save(
        self,
        connection_id: str,
        *,
        connected_at_s: float | None = None,
        user: str | None = None,
        tenant: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Store the row of a connection that has just opened; what is None, or not in the schema, is left
        out.
        """
        schema = self.schema
        now = self._clock()
        row: dict[str, object] = {
            schema.key: connection_id,
            schema.connected_at: schema.time_value(now if connected_at_s is None else connected_at_s),
            schema.ttl: int(now) + self._ttl_s,
        }
        optional = [
            (schema.user, user),
            (schema.tenant, tenant),
            (schema.name, name),
            (schema.metadata, metadata),
        ]
        row |= {attribute: value for attribute, value in optional if attribute is not None and value is not None}
        if schema.last_activity is not None:
            row[schema.last_activity] = schema.time_value(now)
        self._table.put(row)

    def remove(self, connection_id: str) -> None:
        """Delete the row; nothing happens when there is none."""
        self._table.delete({self.schema.key: connection_id})

    def get(self, connection_id: str) -> Item | None:
        """The row, or None."""
        return self._table.get({self.schema.key: connection_id})

    def pages(self) -> Iterator[list[Item]]:
        """Every row, page by page."""
        return self._table.pages(attributes=self._wanted())

    def of_user(self, user: str, tenant: str | None = None) -> list[Item]:
        """Every connection of a user; `tenant` narrows it when the index has the tenant as its sort key."""
        equals = {_present(self.schema.user, "user"): user}
        if tenant is not None:
            equals[_present(self.schema.tenant, "tenant")] = tenant
        pages = self._table.index_pages(_present(self.schema.user_index, "user index"), equals)
        return [row for page in pages for row in page]

    def of_tenant(self, tenant: str) -> Iterator[list[Item]]:
        """Every connection of a tenant, page by page."""
        index = _present(self.schema.tenant_index, "tenant index")
        return self._table.index_pages(index, {_present(self.schema.tenant, "tenant"): tenant})

    def update(self, connection_id: str, values: Mapping[str, object], *, only_if_absent: Collection[str] = ()) -> bool:
        """Set attributes of a row that exists (and lacks `only_if_absent`); False when there is none."""
        return self._table.update_existing(
            {self.schema.key: connection_id}, values, only_if_absent=tuple(only_if_absent)
        )

    def touch(self, connection_id: str) -> bool:
        """Note that the connection was active just now; False, and no row made, when it is not there."""
        attribute = _present(self.schema.last_activity, "last activity")
        return self.update(connection_id, {attribute: self.schema.time_value(self._clock())})

    def send(self, connection_id: str, frame: Mapping[str, object], *, remaining: Remaining) -> None:
        """Send one frame.

        Raises: ConnectionGoneError: 410; the row is removed. SendFailedError: given up; the row stays.
        """
        self._deliver(connection_id, encode(frame), remaining, handshaking=False)

    def close(self, connection_id: str) -> None:
        """Close a connection from our side; its row goes with `$disconnect`.

        Raises: ConnectionGoneError: 410; the row is removed. SendFailedError: it may still be open.
        """
        try:
            self._poster.disconnect(connection_id)
        except ConnectionGoneError:
            self._remove_gone(connection_id)
            raise

    def broadcast(
        self,
        pages: Iterator[list[Item]],
        frame: Mapping[str, object],
        *,
        remaining: Remaining,
        exclude: Collection[str] = (),
        also: Collection[str] = (),
    ) -> BroadcastResult:
        """Send one frame to every connection of `pages`, several at once; nobody's failure keeps it from
        the others.

        Args:
            exclude: connections that do not get it.
            also: connections that get it even when `pages` lack them.
        """
        data = encode(frame)
        now = self._clock()
        result = BroadcastResult()
        seen = set(exclude)
        for page in pages:
            targets = {}
            for row in page:
                connection_id = str(row[self.schema.key])
                if connection_id not in seen:
                    seen.add(connection_id)
                    opened = epoch_of(row.get(self.schema.connected_at))
                    targets[connection_id] = opened is not None and abs(now - opened) < _HANDSHAKE_S
            self._send_all(targets, data, remaining, result)
        self._send_all({one: False for one in also if one not in seen}, data, remaining, result)
        return result

    def _send_all(
        self, targets: Mapping[str, bool], data: bytes, remaining: Remaining, result: BroadcastResult
    ) -> None:
        """Send to each target (value: may still be in its handshake), at most `workers` at once."""
        outcomes: list[tuple[str, Callable[[], None]]]
        calls = [
            (connection_id, partial(self._deliver, connection_id, data, remaining, handshaking))
            for connection_id, handshaking in targets.items()
        ]
        if len(calls) > 1:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="send")
            outcomes = [(connection_id, self._pool.submit(call).result) for connection_id, call in calls]
        else:
            outcomes = list(calls)
        for connection_id, outcome in outcomes:
            try:
                outcome()
            except ConnectionGoneError:
                result.gone.append(connection_id)
            except SendFailedError as error:
                result.failed.append(error)
            else:
                result.delivered += 1

    def _deliver(self, connection_id: str, data: bytes, remaining: Remaining, handshaking: bool) -> None:
        attempt = 0
        while True:
            if remaining() <= 0:
                raise SendFailedError(connection_id, "out_of_time", retryable=False)
            error: SendError
            try:
                self._poster.post(connection_id, data)
                return
            except ConnectionGoneError as gone:
                error, again = gone, handshaking
            except SendFailedError as failed:
                error, again = failed, failed.retryable
            pause_s = self._retry.pause_s(attempt, self._random)
            attempt += 1
            if again and attempt < self._retry.attempts and remaining() > pause_s:
                self._sleep(pause_s)
                continue
            if isinstance(error, ConnectionGoneError):
                self._remove_gone(connection_id)
            raise error

    def _remove_gone(self, connection_id: str) -> None:
        # Best effort: the next 410 removes a row that stays now, and the other connections must get their
        # frame.
        try:
            self.remove(connection_id)
        except Exception as error:
            self._log("WARNING", "row_not_removed", connectionId=connection_id, errorType=type(error).__name__)

    def _wanted(self) -> list[str]:
        schema = self.schema
        wanted = [schema.key, schema.connected_at, schema.user, schema.tenant, schema.name]
        return [name for name in wanted if name is not None]


def _present(name: str | None, what: str) -> str:
    if name is None:
        raise ValueError(f"this table's schema has no {what}")
    return name
