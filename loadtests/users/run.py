"""One run over all its processes: who is ready, when to begin, who sent what, when it is over.

Every process that has users tells the master twice a second what it has sent and counted; the master passes on what was
sent, so that each process can judge what its own receivers lost. Without workers, one process is both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import RLock
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.users.counters import Counters
from loadtests.users.ledger import Ledger, Loss, Outcome, Sent
from loadtests.users.target import Target, Tokens

__all__ = ["LostError", "Run"]

TICK_S = 0.5
STATE, SENT, GO = "loadtests-state", "loadtests-sent", "loadtests-go"


class LostError(AssertionError):
    """A message that did not come, came twice, or came after a later one."""


class Run:
    """Of this process.

    Args:
        options: parsed options of locust, with those of `loadtests.locustfile`.
    """

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        self.environment = environment
        self._events: Any = environment.events
        self._stats: Any = environment.stats
        self.id: str = options.run_id or f"{int(time.time()):x}"
        self.target = (
            Target.load(Path(options.target_file))
            if options.target_file
            else Target.from_state_dir(Path(options.state_dir))
        )
        self.tokens = Tokens(self.target)
        self.rate, self.seconds, self.size = options.rate, options.seconds, options.size
        self.ledger = Ledger(options.lost_after)
        self.counters = Counters()
        self.go = Event()
        self.over = Event()
        self.ready = 0
        self.go_ns = 0
        self.shared: dict[str, Any] = {}
        self._lock = RLock()
        self._loop: Any = None
        self._again = 0
        self._result = options.result
        self._numbers = 0
        self._fresh: list[Sent] = []
        self._states: dict[str, dict[str, Any]] = {}
        self._cpu_at_go = 0.0
        self._kinds: dict[str, str] = {}

    def start(self) -> None:
        """Once locust's runner is there."""
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            runner.register_message(STATE, lambda msg, **_: self._take_state(msg.node_id, msg.data))
        elif isinstance(runner, WorkerRunner):
            runner.register_message(SENT, lambda msg, **_: self._take_sent(msg.data))
            runner.register_message(GO, lambda msg, **_: self._begin(msg.data["at_ns"]))
        self._events.test_start.add_listener(lambda **_: self._started())

    def _started(self) -> None:
        """A test begins; in the web interface several do, one after the other."""
        if self._loop is not None:
            self._loop.kill(block=False)
            self._again += 1
            self.id = f"{self.id.partition('-')[0]}-{self._again}"
            self.shared.clear()
            self._states.clear()
            self._fresh.clear()
            self.ledger = Ledger(self.ledger.lost_after_ns / 1e9)
            self.counters = Counters()
            self.ready = self.go_ns = self._numbers = 0
            self.go.clear()
            self.over.clear()
        self._loop = gevent.spawn(self._live)

    def number(self) -> int:
        """The number of a new user, unique over all processes."""
        index = getattr(self.environment.runner, "worker_index", 0) or 0
        self._numbers += 1
        return int(max(0, index)) * 100_000 + self._numbers - 1

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Something that all users of a process share."""
        with self._lock:
            if name not in self.shared:
                self.shared[name] = make()
            return self.shared[name]

    def sent(self, group: str, sender: str, seq: int, at_ns: int) -> None:
        self._fresh.append(one := Sent(group, sender, seq, at_ns))
        self.ledger.sent([one])
        self.counters.counts["sent"] += 1

    def count(self, kind: str, name: str, ms: float, *, size: int = 0) -> None:
        """A value for locust's statistics and for the result; cheap, since it is there for every delivery."""
        self._stats.log_request(kind, name, ms, size)
        self.counters.latency[name].add(ms)

    def failure(self, kind: str, name: str, error: Exception) -> None:
        """A row of locust's failures."""
        self.counters.counts[name] += 1
        self._events.request.fire(
            request_type=kind, name=name, response_time=0, response_length=0, exception=error, context={}
        )

    def received(self, kind: str, receiver: str, sender: str, seq: int, *, ordered: bool = True) -> bool:
        """Judge a delivery. Returns whether it is the first of its message."""
        self._kinds[receiver] = kind
        outcome = self.ledger.received(receiver, sender, seq, ordered=ordered)
        if outcome is not Outcome.DUPLICATE:
            self.counters.counts["delivered"] += 1
        if outcome is not Outcome.FRESH:
            self.failure(kind, outcome.value, LostError(f"message {outcome.value.replace('_', ' ')}"))
        if outcome is Outcome.LATE:
            self.counters.counts["loss"] -= 1
        return outcome is not Outcome.DUPLICATE

    def _live(self) -> None:
        """Until the end of the test: tell, judge, and without workers decide as well."""
        runner: Any = self.environment.runner
        while not self.over.is_set():
            gevent.sleep(TICK_S)
            now = time.monotonic_ns()
            if isinstance(runner, MasterRunner):
                self._decide(runner)
                continue
            for loss in self.ledger.expire(now):
                self._lost(loss)
            state = self._state()
            if isinstance(runner, WorkerRunner):
                state["sent"] = [(one.group, one.sender, one.seq, one.at_ns) for one in self._fresh]
                runner.send_message(STATE, state)
            else:
                self._take_state("local", state)
                self._decide(runner)
            self._fresh.clear()

    def _lost(self, loss: Loss) -> None:
        kind = self._kinds.get(loss.receiver, "")
        self.failure(kind, "loss", LostError(f"message of {loss.sent.group.partition(':')[0]} lost"))

    def _state(self) -> dict[str, Any]:
        over = self.sending_over
        return {
            "ready": self.ready,
            "missing": self.ledger.missing() if over else 0,
            "counters": self.counters.to_json(),
            "cpu_s": time.process_time() - self._cpu_at_go if self.go_ns else 0.0,
            "over": over,
        }

    @property
    def sending_over(self) -> bool:
        """Whether the time of sending is over."""
        return bool(self.seconds and self.go_ns and time.monotonic_ns() > self.go_ns + self.seconds * 1e9)

    def _take_state(self, node: str, state: dict[str, Any]) -> None:
        runner = self.environment.runner
        sent = state.pop("sent", None)
        self._states[node] = state
        if sent and isinstance(runner, MasterRunner):
            for other in runner.clients:
                if other != node:
                    runner.send_message(SENT, {"sent": sent}, other)

    def _take_sent(self, data: dict[str, Any]) -> None:
        self.ledger.sent(Sent(*one) for one in data["sent"])

    def _begin(self, at_ns: int) -> None:
        self.go_ns = at_ns
        self._cpu_at_go = time.process_time()
        self.go.set()

    def _decide(self, runner: Any) -> None:
        now = time.monotonic_ns()
        states = self._states.values()
        if not self.go_ns:
            wanted = runner.target_user_count
            if wanted and sum(state["ready"] for state in states) >= wanted:
                if isinstance(runner, MasterRunner):
                    runner.send_message(GO, {"at_ns": now})
                self._begin(now)
            return
        if self.seconds and states and all(state["over"] for state in states):
            waited_ns = now - self.go_ns - self.seconds * 1e9
            missing = sum(state["missing"] for state in states)
            # Every second loop at least, so that whoever was sending has ended.
            if (waited_ns > 2 * TICK_S * 1e9 and not missing) or waited_ns > self.ledger.lost_after_ns + 2e9:
                self.over.set()
                gevent.spawn(self.environment.runner.quit if self.environment.runner else lambda: None)

    def write(self) -> None:
        """The result of all processes, for `loadtests.compare`."""
        if not self._result:
            return
        whole = Counters()
        for state in self._states.values():
            whole.add(state["counters"])
        result = {
            "run": self.id,
            "users": sum(state["ready"] for state in self._states.values()),
            "began": bool(self.go_ns),
            "go_ns": self.go_ns,
            "seconds": self.seconds,
            "cpu_s": sum(state["cpu_s"] for state in self._states.values()),
            "processes": len(self._states),
            "wall_s": (time.monotonic_ns() - self.go_ns) / 1e9 if self.go_ns else 0.0,
            **whole.to_json(),
        }
        Path(self._result).write_text(json.dumps(result), encoding="utf-8")
