"""Locks that a team shares, as leases: one that is not renewed ends by itself. until phase 3

The lease is written with the holder's clock and judged by the reader's; clocks may differ by `SKEW_S`, so a foreign
lease counts that much longer than it says. A holder that died on this machine is noticed at once.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from migrate.control.table import ConditionFailedError, ControlTable
from migrate.errors import MigrateError, RefusedError

__all__ = ["LEASE_S", "SKEW_S", "HeldError", "Lease", "Locks", "LostError"]

LEASE_S = 60.0
SKEW_S = 5.0


class HeldError(RefusedError):
    """Somebody holds it. mark: of the lease that does, as `Lease.mark`."""

    def __init__(self, message: str, hint: str | None = None, mark: str = "") -> None:
        super().__init__(message, hint)
        self.mark = mark


class LostError(RefusedError):
    """It was held, and could not be renewed in time."""


class Lease:
    """A lock that is held. `check` before each step that must not be done twice."""

    def __init__(self, name: str, owner: str, mark: str, until: float, clock: Callable[[], float]) -> None:
        self.name = name
        self.owner = owner
        self.mark = mark
        self.until = until
        """When it ends by itself if it is not renewed, epoch seconds."""
        self._clock = clock
        self._lost = threading.Event()

    def check(self) -> None:
        """Raises: LostError: this process was stopped, or the table was away, for longer than the lease."""
        # By the clock as well: who renews it may hang in the network, or have been stopped together with us.
        if self._lost.is_set() or self._clock() > self.until:
            raise LostError(
                f"the lock {self.name} was lost: another process may have taken it over", "run the command again"
            )

    def lose(self) -> None:
        """What the renewal says when it came too late."""
        self._lost.set()


class Locks:
    """Locks by name.

    Args:
        table: of the shared state.
        clock: epoch seconds.
    """

    def __init__(self, table: ControlTable, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock

    @contextlib.contextmanager
    def hold(self, name: str, owner: str, lease_s: float = LEASE_S) -> Iterator[Lease]:
        """Hold a lock during the block; it is renewed in the background.

        Raises: HeldError: somebody else holds it; says who, since when and until when.
        """
        mark = secrets.token_hex(8)
        lease = Lease(name, owner, mark, self._clock() + lease_s, self._clock)
        self._take(name, owner, mark, lease_s)
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(lease, mark, lease_s, ended), daemon=True)
        renewing.start()
        try:
            yield lease
        finally:
            ended.set()
            renewing.join()
            # Lost already, or the table is away: the lease ends by itself.
            with contextlib.suppress(ConditionFailedError, MigrateError):
                self._table.delete(f"lock#{name}", "lock", condition="mark = :mark", values={":mark": mark})

    def holder(self, name: str) -> str | None:
        """Who holds it now, or None."""
        item = self._table.get(f"lock#{name}", "lock")
        return str(item["owner"]) if item and item["until"] + SKEW_S > self._clock() else None

    def _take(self, name: str, owner: str, mark: str, lease_s: float) -> None:
        now = self._clock()
        item = {
            "pk": f"lock#{name}",
            "sk": "lock",
            "owner": owner,
            "mark": mark,
            "since": now,
            "until": now + lease_s,
            "process": _this_process(),
        }
        try:
            try:
                self._table.put(
                    item,
                    condition="attribute_not_exists(pk) OR #until < :now",
                    names={"#until": "until"},
                    values={":now": now - SKEW_S},
                )
            except ConditionFailedError as failed:
                if failed.item and failed.item.get("mark") == mark:
                    return  # the answer was lost on the way, and the client sent it again
                if not failed.item or not _is_dead(failed.item.get("process")):
                    raise
                self._table.put(item, condition="mark = :mark", values={":mark": failed.item["mark"]})
        except ConditionFailedError as failed:
            held = failed.item or {}
            who = held.get("owner", "somebody")
            raise HeldError(
                f"{name} is being worked on by {who} since {_time(held.get('since', now))}",
                f"wait for it; if that process died, its lock ends at {_time(held.get('until', now) + SKEW_S)}",
                str(held.get("mark", "")),
            ) from None

    def _renew(self, lease: Lease, mark: str, lease_s: float, ended: threading.Event) -> None:
        while not ended.wait(lease_s / 3):
            now = self._clock()
            try:
                if now > lease.until:
                    raise ConditionFailedError(None)  # noqa: TRY301 - the same as when the table says so
                item = self._table.get(f"lock#{lease.name}", "lock")
                if item is None or item["mark"] != mark:
                    raise ConditionFailedError(item)  # noqa: TRY301
                self._table.put({**item, "until": now + lease_s}, condition="mark = :mark", values={":mark": mark})
            except ConditionFailedError:
                lease.lose()
                return
            except MigrateError:
                continue  # the table is away: again, until the lease has ended
            lease.until = now + lease_s


def _this_process() -> dict[str, Any]:
    """What tells this process from every other, also from one that later has its pid."""
    return {"host": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _machine() -> str:
    """This machine since its start, and its space of pids: in a container the host's name may be another's."""
    pids = Path("/proc/self/ns/pid")
    space = pids.stat().st_ino if pids.exists() else 0
    return f"{socket.gethostname()}/{psutil.boot_time():.0f}/{space}"


def _is_dead(process: Any) -> bool:
    """Whether a lock's holder was a process of this machine that is there no more."""
    if not isinstance(process, dict) or process.get("host") != _machine():
        return False
    try:
        return bool(abs(psutil.Process(int(process["pid"])).create_time() - process["started"]) > 1)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
