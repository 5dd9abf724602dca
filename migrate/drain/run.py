"""One drain: refuse, announce, wait, close, until nobody is left. until phase 3 (MG10)

How it stands is in the state table (state.py), and how far each table is in checkpoints (announce-TABLE, close-TABLE).

Killed anywhere it goes on: a page may be announced twice, and a connection that is closed already answers 410.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.config.templates import render
from migrate.control.checkpoints import Checkpoints
from migrate.control.journal import actor
from migrate.control.table import ControlTable
from migrate.drain.refusal import Refusal
from migrate.drain.state import UNDER_WAY, forget_controls, lock_name, partition, read_controls, read_state
from migrate.drain.walk import Known, pages
from migrate.errors import RefusedError, UsageError
from migrate.tables.description import connection_tables, described
from migrate.tables.gateway import Gateway, Verdict
from migrate.tables.pace import Pace

__all__ = ["Drain", "undo"]

WORKERS = 16
PASSES = 100
_LOOK_S = 1.0


class StoppedError(Exception):
    """An operator said stop."""


def frame_of(config: Config, known: Known) -> bytes:
    """The announcement to one connection. Raises: UsageError: its template names what there is not."""
    context = {
        "sse_url": config.sse.url,
        "user": known.user,
        "tenant": known.tenant,
        "email": known.user,
        "connectionId": known.connection_id,
        "at": int(time.time() * 1000),
    }
    if not config.sse.url and "{$sse_url}" in json.dumps(dict(config.drain.frame)):
        raise UsageError(f"{config.path}: sse.url is empty, and the announcement says where to go", "name the service")
    return json.dumps(render(config.drain.frame, {}, context), ensure_ascii=False).encode()


class Drain:
    """The drain of the configured stage.

    Args:
        refuse: whether new connections are refused.
        without: why not everybody has to have moved (see gate.py); kept, so that going on needs no reason again.
        check: called often; raises when the lock was lost.
        show: told the phase and counts, now and then.
        clock: epoch seconds; sleep: waits.
    """

    def __init__(
        self,
        config: Config,
        control: ControlTable,
        *,
        refuse: bool = True,
        without: str = "",
        check: Callable[[], None] = lambda: None,
        show: Callable[[str, Counter[str]], None] = lambda _phase, _counts: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config, self._control, self._refuses = config, control, refuse
        self._without = without
        self._check_lock, self._show, self._clock, self._sleep = check, show, clock, sleep
        more = {"config": BotoConfig(max_pool_connections=WORKERS * 2, retries={"total_max_attempts": 3})}
        self._management = config.client("apigatewaymanagementapi", **more)
        self._dynamodb = config.client("dynamodb", **more)
        self._gateway = Gateway([self._management])
        self._refusal = Refusal(config.client("apigatewayv2"), config.api.id, config.api.stage)
        self._tables = [(table, described(self._dynamodb, table.name)[0]) for table in connection_tables(config)]
        self._ask = Pace(config.cleanup.get_connection_per_s)
        self._tell = Pace(config.drain.announce_per_s)
        self._close = Pace(config.drain.rate_per_s)
        self._checkpoints = Checkpoints(control)
        self._looked = 0.0
        self.counts: Counter[str] = Counter()
        self.state: dict[str, Any] = {}

    def plan(self) -> dict[str, Any]:
        """What would be done; changes nothing."""
        frame_of(self._config, Known(""))
        before = self._refusal.snapshot() if self._refuses else None
        connections = sum(len(found) for table, keys in self._tables for found, _ in pages(self._dynamodb, table, keys))
        drain = self._config.drain
        return {
            "refuse": "the throttle of $connect is set to 0 (429)" if before is not None else "no",
            "frame": json.loads(frame_of(self._config, Known("CONNECTION", "USER", "TENANT"))),
            "rows_with_connections": connections,
            "notice_s": drain.notice_s,
            "rate_per_s": drain.rate_per_s,
            "seconds_at_most": round(drain.notice_s + connections / drain.rate_per_s),
        }

    def run(self) -> dict[str, Any]:
        """To the end, or until it is stopped. Returns the state.

        Raises: RefusedError: the lock was lost, or somebody else changed the stage's settings.
        """
        frame_of(self._config, Known(""))
        self._begin()
        try:
            with ThreadPoolExecutor(WORKERS, thread_name_prefix="drain") as pool:
                if self.state["phase"] == "announce":
                    self._announce(pool)
                    self._keep(phase="notice", announced_at=self._clock())
                self._until(float(self.state["announced_at"]) + self._config.drain.notice_s, "notice")
                self._keep(phase="close")
                self._close_all(pool)
        except StoppedError:
            self._keep(status="stopped", counts=self._totals())
            return self.state
        self._keep(status="drained", phase="done", ended_at=self._clock(), counts=self._totals())
        return self.state

    def _begin(self) -> None:
        api = self._config.api
        found = read_state(self._control, api.id, api.stage)
        forget_controls(self._control, self._config)
        if found and found["status"] in UNDER_WAY:
            self.state = found
            self.counts.update(found.get("counts", {}))
        else:
            self.state = {
                "pk": partition(api.id),
                "sk": api.stage,
                "drain": f"{lock_name(self._config)}-{int(self._clock())}-{os.urandom(2).hex()}",
                "phase": "announce",
                "started_at": self._clock(),
                "by": actor(),
                # Settings that an earlier drain made are not what is to be put back.
                "refused": bool(found and found.get("refused")),
                "snapshot": (found or {}).get("snapshot") if found and found.get("refused") else None,
            }
        if self._refuses and not self.state.get("refused"):
            # Kept before anything is changed: whoever goes on, or undoes, has it.
            self._keep(snapshot=json.dumps(self._refusal.snapshot()), refused=True, refused_at=self._clock())
        self._keep(status="draining", **({"without_gate": self._without} if self._without else {}))
        if self.state.get("refused"):
            self._refusal.refuse(json.loads(self.state["snapshot"]))

    def _announce(self, pool: Executor) -> None:
        def tell(known: Known) -> str:
            self._check()
            self._tell.take()
            return self._call(self._management.post_to_connection, known, Data=frame_of(self._config, known))

        self._walk("announce", pool, tell, {"done": "told"})

    def _close_all(self, pool: Executor) -> None:
        def close(known: Known) -> str:
            self._check()
            self._ask.take()
            answer = self._gateway.ask(known.connection_id)
            self._ask.observe(answer.latency_s, throttled=answer.reason if answer.throttled else "")
            if answer.verdict is not Verdict.ALIVE:
                return "gone" if answer.verdict is Verdict.GONE else "failed"
            self._close.take()
            return self._call(self._management.delete_connection, known)

        settled = float(self.state.get("refused_at") or self.state["started_at"]) + self._config.cleanup.settle_s
        for _ in range(PASSES):
            began = self._clock()
            before = self.counts["closed"] + self.counts["failed"]
            # What was left of an earlier process's pass is not all of the tables.
            whole = not any(
                self._checkpoints.get(str(self.state["drain"]), f"close-{table.name}") for table, _ in self._tables
            )
            self._walk("close", pool, close, {"done": "closed", "gone": "rows of gone ones"})
            for table, _ in self._tables:
                self._checkpoints.put(str(self.state["drain"]), f"close-{table.name}", {})
            # A handshake that was under way when new ones were refused has written its row by now.
            nobody = self.counts["closed"] + self.counts["failed"] == before
            # Without a refusal they may come for ever: one pass over everything is enough.
            if whole and began >= settled and (nobody or not self._refuses):
                return
            self._until(min(self._clock() + 1.0, max(settled, self._clock())), "close")
        raise RefusedError(
            f"connections keep appearing after {PASSES} passes", "are new ones refused? see drain status"
        )

    def _walk(self, phase: str, pool: Executor, work: Callable[[Known], str], names: dict[str, str]) -> None:
        job = str(self.state["drain"])
        for table, keys in self._tables:
            place = f"{phase}-{table.name}"
            kept = self._checkpoints.get(job, place) or {}
            if kept.get("done"):
                continue
            for found, last in pages(self._dynamodb, table, keys, kept.get("last_key"), self._check):
                outcomes = Counter(pool.map(work, found))
                self.counts.update({names.get(name, name): number for name, number in outcomes.items()})
                value: dict[str, Any] = {"last_key": last} if last else {"done": True}
                self._checkpoints.put(job, place, value)
                self._keep(counts=self._totals())
                self._show(phase, self.counts)

    def _call(self, operation: Callable[..., Any], known: Known, **arguments: Any) -> str:
        for attempt in range(4):
            try:
                operation(ConnectionId=known.connection_id, **arguments)
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status == 410:
                    return "gone"
                if status != 429 and (status or 0) < 500:
                    return "failed"
            except BotoCoreError:
                pass
            else:
                return "done"
            self._check()
            self._sleep(0.1 * 2**attempt)
        return "failed"

    def _until(self, moment: float, phase: str) -> None:
        while self._clock() < moment:
            self._check()
            self._show(phase, self.counts)
            self._sleep(min(_LOOK_S, max(0.01, moment - self._clock())))

    def _check(self) -> None:
        """Raises: StoppedError, RefusedError."""
        self._check_lock()
        now = self._clock()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        said = read_controls(self._control, self._config)
        if said.get("stop"):
            raise StoppedError
        self._close.set_limit(float(said.get("rate_per_s") or self._config.drain.rate_per_s))

    def _totals(self) -> dict[str, int]:
        return dict(self.counts)

    def _keep(self, **changed: Any) -> None:
        self.state = {**self.state, **changed}
        self._control.put(self.state)


def undo(config: Config, control: ControlTable) -> dict[str, Any]:
    """New connections are let in again, as before.

    Raises: RefusedError: nothing was refused, or somebody else changed the settings.
    """
    api = config.api
    state = read_state(control, api.id, api.stage)
    if state is None or not state.get("refused"):
        raise RefusedError(f"no drain refuses new connections on stage {api.stage}", "there is nothing to undo")
    Refusal(config.client("apigatewayv2"), api.id, api.stage).undo(json.loads(state["snapshot"]))
    state = {**state, "status": "undone", "refused": False, "undone_at": time.time()}
    control.put(state)
    return state
