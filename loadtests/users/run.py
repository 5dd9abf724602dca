"""One run over all its processes: who is ready, when to begin, who sent what, when it is over.

Every process that has users tells the master twice a second what it has sent and counted; the master passes on what was
sent, so that each process can judge what its own receivers lost. Without workers, one process is both.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import RLock
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.users.ledger import Sent
from loadtests.users.processes import machine, merged
from loadtests.users.tally import Tally
from loadtests.users.target import Target, Tokens
from loadtests.users.words import counted

__all__ = ["Run"]

log = logging.getLogger(__name__)

TICK_S = 0.5
# Everything has come: so long a repeat is still waited for, and what another process sent last is told.
QUIET_S = 1.1
# So long after that, or after the last has connected, it begins everywhere at the same moment.
LEAD_S, SETTLE_S = 0.3, 1.0
# After the time in which a message is lost; sends that are still under way are given up then.
OVERDUE_S = 2.0
STATE, SENT, WARM, GO = "loadtests-state", "loadtests-sent", "loadtests-warm", "loadtests-go"


class Run(Tally):
    """Of this process. Options are locust's, with those of `loadtests.locustfile`.

    Raises: TargetError: there is nothing to run against.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._lock = RLock()
        self._loop: Any = None
        self._again = 0
        self.begun = Event()
        self.go = Event()
        self.over = Event()
        self.is_worker = isinstance(environment.runner, WorkerRunner)
        options: Any = environment.parsed_options
        self._base = options.run_id or f"{time.time_ns() // 1_000_000 & 0xFFFFFFFF:x}"
        self._reset()
        if not self.is_worker:
            self._configure()

    def start(self) -> None:
        """Once locust's runner is there."""
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            runner.register_message(STATE, lambda msg, **_: self._take_state(msg.node_id, msg.data))
        elif isinstance(runner, WorkerRunner):
            runner.register_message(SENT, lambda msg, **_: self.ledger.sent(Sent(*one) for one in msg.data["sent"]))
            runner.register_message(WARM, lambda msg, **_: self._warm(msg.data["until_ns"]))
            runner.register_message(GO, lambda msg, **_: self._begin(msg.data["at_ns"]))
        self._events.test_start.add_listener(lambda **_: self._started())
        self._events.test_stop.add_listener(lambda **_: self._stopped())

    def _configure(self) -> None:
        options: Any = self.environment.parsed_options
        self.target = (
            Target.load(Path(options.target_file))
            if options.target_file
            else Target.from_state_dir(Path(options.state_dir))
        )
        self.tokens = Tokens(self.target)
        self.id: str = options.run_id
        self.rate, self.seconds, self.size = options.rate, options.seconds, options.size
        self.warm_up = options.warm_up

    def _reset(self) -> None:
        options: Any = self.environment.parsed_options
        self.begin_anew(options.lost_after)
        self.shared: dict[str, Any] = {}
        # When each was sent, and how long it took; where somebody wants them.
        self.deliveries: list[tuple[int, int]] | None = [] if options.deliveries else None
        self.ready = self.saying = self.warm_until_ns = self.over_ns = self._numbers = 0
        self._quiet_ns = 0
        self._states: dict[str, dict[str, Any]] = {}
        self._cpu_at_go = 0.0
        # CPU s and wall s of the time in which messages were sent, once it is over.
        self._used: tuple[float, float] | None = None
        self.begun.clear()
        self.go.clear()
        self.over.clear()

    def _started(self) -> None:
        """A test begins; in the web interface several do, one after the other, each with the options of its form."""
        if self._loop is not None:
            self._loop.kill(block=False)
        options: Any = self.environment.parsed_options
        if not self.is_worker:
            # Workers get it with their first users, as all options of our own: locust's custom arguments.
            options.run_id = f"{self._base}-{self._again}" if self._again else self._base
            self._again += 1
        self._configure()
        self._reset()
        self._loop = gevent.spawn(self._live)
        if not self.is_worker and len(self.environment.user_classes) != 1:
            # Locust is not yet so far that it could be stopped.
            gevent.spawn_later(TICK_S, self.end, "scenarios disturb each other; choose one class")

    def _stopped(self) -> None:
        """A test ends; what has come since the last time is told."""
        self.over.set()
        if self.is_worker and self._loop is not None:
            self._tell(self.environment.runner)

    def number(self) -> int:
        """The number of a new user, unique over all processes. 0 and 1, 2 and 3, ... are in one process."""
        index = max(0, getattr(self.environment.runner, "worker_index", 0) or 0)
        own, self._numbers = self._numbers, self._numbers + 1
        workers = getattr(self.environment.parsed_options, "processes", None)
        if not workers:
            return int(index * 100_000 + own)
        # Dealt out by twos, so that a file of tokens for as many users will do.
        return int((own // 2 * workers + index) * 2 + own % 2)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Something that all users of a process share."""
        with self._lock:
            if name not in self.shared:
                self.shared[name] = make()
            return self.shared[name]

    def _live(self) -> None:
        """Until the end of the test: tell, judge, and without workers decide as well."""
        runner: Any = self.environment.runner
        while not self.over.is_set():
            gevent.sleep(TICK_S)
            if not isinstance(runner, MasterRunner):
                for loss in self.ledger.expire(time.monotonic_ns()):
                    self.lost(loss)
                self._tell(runner)
            if not self.is_worker:
                self._decide(runner)

    def _tell(self, runner: Any) -> None:
        state = self._state()
        state["sent"] = [(one.group, one.sender, one.seq, one.at_ns) for one in self.fresh]
        self.fresh.clear()
        if self.is_worker:
            runner.send_message(STATE, state)
        else:
            self._take_state("local", state)

    def _state(self) -> dict[str, Any]:
        now, over = time.monotonic_ns(), self.sending_over
        used = (time.process_time() - self._cpu_at_go, (now - self.go_ns) / 1e9)
        if over and self._used is None:
            self._used = used
        cpu_s, wall_s = self._used or (used if self.live else (0.0, 0.0))
        warmed = bool(self.begun.is_set() and not self.go_ns and now > self.warm_until_ns and not self.saying)
        given_up = now > self.go_ns + self.seconds * 1e9 + self.ledger.lost_after_ns
        return {
            "machine": machine(),
            "ready": self.ready,
            "failed": self.failed,
            "problem": self.problem,
            "missing": (over or warmed) and self.ledger.awaited(),
            "warmed": warmed,
            "counters": self.counters.to_json(),
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "over": over and (not self.saying or given_up),
        }

    @property
    def live(self) -> bool:
        """Whether what is said counts: everybody is there, the warm-up is over."""
        return bool(self.go_ns and time.monotonic_ns() >= self.go_ns)

    @property
    def sending_over(self) -> bool:
        """Whether the time of sending is over."""
        return bool(self.seconds and self.go_ns and time.monotonic_ns() > self.go_ns + self.seconds * 1e9)

    def _take_state(self, node: str, state: dict[str, Any]) -> None:
        runner = self.environment.runner
        sent = state.pop("sent", None)
        self._states[node] = state
        if sent:
            self._quiet_ns = 0
        if sent and isinstance(runner, MasterRunner):
            for other in runner.clients:
                if other != node:
                    runner.send_message(SENT, {"sent": sent}, other)
        if state["machine"] != machine() and not self.over.is_set():
            self.end("a worker is on another machine; latencies are by the clock of one")

    def _warm(self, until_ns: int) -> None:
        """Everybody is there: until then it is warmed up."""
        self.warm_until_ns = until_ns
        self.begun.set()

    def _begin(self, at_ns: int) -> None:
        """It counts from `at_ns` on."""
        self.go_ns = at_ns
        self.begun.set()
        self.go.set()
        gevent.spawn_later(max(0.0, (at_ns - time.monotonic_ns()) / 1e9), self._from_now)

    def _from_now(self) -> None:
        self._cpu_at_go = time.process_time()

    def _decide(self, runner: Any) -> None:
        now, states = time.monotonic_ns(), list(self._states.values())
        if isinstance(runner, MasterRunner) and (gone := len(self._states.keys() - {one.id for one in _alive(runner)})):
            self.end(f"{counted(gone, 'worker')} {'has' if gone == 1 else 'have'} gone")
        elif not self.begun.is_set():
            ready, failed = (sum(state[name] for state in states) for name in ("ready", "failed"))
            wanted = runner.target_user_count
            if wanted and ready >= wanted:
                if self.warm_up:
                    self._all(runner, WARM, self._warm, until_ns=now + int(self.warm_up * 1e9))
                else:
                    self._all(runner, GO, self._begin, at_ns=now + int(SETTLE_S * 1e9))
            elif failed and ready + failed >= wanted:
                why = next((state["problem"] for state in states if state["problem"]), "")
                self.end(f"{failed} of {wanted} could not come: {why}")
        elif not self.go_ns:
            if self._quiet("warmed", now):
                self._quiet_ns = 0
                self._all(runner, GO, self._begin, at_ns=now + int(LEAD_S * 1e9))
        elif self.seconds:
            waited_ns = now - self.go_ns - self.seconds * 1e9
            if self._quiet("over", now) or waited_ns > self.ledger.lost_after_ns + OVERDUE_S * 1e9:
                self.end()

    def _quiet(self, phase: str, now: int) -> bool:
        """Whether nobody speaks any more and nothing has been awaited for QUIET_S."""
        states = self._states.values()
        if states and all(state[phase] for state in states) and not any(state["missing"] for state in states):
            self._quiet_ns = self._quiet_ns or now
            return now - self._quiet_ns >= QUIET_S * 1e9
        self._quiet_ns = 0
        return False

    @staticmethod
    def _all(runner: Any, message: str, here: Callable[..., None], **data: int) -> None:
        if isinstance(runner, MasterRunner):
            runner.send_message(message, data)
        here(**data)

    def end(self, problem: str = "") -> None:
        """The test is over. With a web interface, locust stays for the next one."""
        if self.over.is_set():
            return
        self.problem, self.over_ns = problem, time.monotonic_ns()
        if problem:
            log.error("%s", problem)
            self.environment.process_exit_code = 1
        self.over.set()
        runner: Any = self.environment.runner
        gevent.spawn(runner.stop if self.environment.web_ui is not None else runner.quit)

    def write(self) -> None:
        """The result of all processes, for `loadtests.compare`; deliveries one by one, for `loadtests.bench`."""
        options: Any = self.environment.parsed_options
        if self.deliveries is not None and not self.is_worker:
            lines = "".join(f"{sent_ns} {took_ns}\n" for sent_ns, took_ns in self.deliveries)
            Path(options.deliveries).write_text(lines, encoding="ascii")
        if not options.result or self.is_worker:
            return
        if not isinstance(self.environment.runner, MasterRunner):
            self._take_state("local", self._state())
        result = {
            "run": self.id,
            "began": self.live,
            # Not interrupted, and nobody left in the middle.
            "complete": bool(self.over_ns and not self.problem),
            "problem": self.problem,
            "go_ns": self.go_ns,
            "seconds": self.seconds,
            "wall_s": ((self.over_ns or time.monotonic_ns()) - self.go_ns) / 1e9 if self.go_ns else 0.0,
            **merged(self._states.values()),
        }
        path = Path(options.result)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps(result), encoding="utf-8")
        part.replace(path)


def _alive(runner: Any) -> list[Any]:
    return [one for one in runner.clients.all if one.state != "missing"]
