"""The migration, step by step, with the real commands. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migrate.clients import new_http_client
from migrate.config import Config, load_config
from migrate.config.model import Cleanup, Cutover, Gates, Shadow
from migrate.config.write import to_toml
from migrate.errors import MigrateError
from migrate.phases.items import items_of
from migrate.rehearse.commands import ACTOR, Commands, end
from migrate.rehearse.crowd import Crowd
from migrate.rehearse.demo import add_new_use, take_new_use_away, write_demo
from migrate.rehearse.person import Addresses
from migrate.rehearse.result import Result, StepResult, StoppedError
from migrate.rehearse.rows import Haunted, described
from migrate.rehearse.stacks import Stack
from migrate.tokens import mint
from migrate.up.configs import state_table
from migrate.up.state import STACK, StateDir

__all__ = ["Pace", "Rehearsal"]

PUBLISH = ("events:publish",)
MOVE_S, ALONE_S = 80.0, 3.0
AFTER_FAILURE_S = 10.0
COMPARE_S = 90.0
HEADING = """The application {name} in a rehearsal. Thresholds and times are for minutes of a few people's traffic,
not for production."""
# For minutes: of 100 deliveries none may be lost, for the bound to be below 5 %.
GATES = Gates(min_samples=100, max_loss=0.05, fresh_s=900.0, error_budget=0.01)
WAIVED = {"cost-checked": "minutes of a few people's traffic cost less than one task of the service"}
"""Items that a rehearsal cannot fulfil, and why."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, and how long.

    Args:
        people: clients; a quarter of them do not ask for the flag, and move only when the drain tells them.
        hold_s: seconds to hold each step of the cut-over.
    """

    people: int = 8
    hold_s: float = 4.0

    def names(self) -> tuple[list[str], list[str]]:
        """Those who ask for the flag, and the others."""
        others = max(1, self.people // 4)
        return (
            [f"mover{number}" for number in range(1, self.people - others + 1)],
            [f"old{number}" for number in range(1, others + 1)],
        )


class Rehearsal:
    """One stack's.

    Args:
        folder: its own, new directory.
        say: told of each step as it begins and ends (name, None | seconds, facts).
    """

    def __init__(
        self, stack: Stack, folder: Path, say: Callable[[str, float | None, dict[str, Any]], None],
        pace: Pace = Pace(),
    ) -> None:  # fmt: skip
        self._stack, self._folder, self._say, self._pace = stack, folder, say, pace
        self._state = StateDir(folder / "state")
        self._source = folder / "source"
        self._commands = Commands(self._state.path, folder)
        self._result = Result(stack.name, folder=str(folder))
        self._crowd: Crowd | None = None
        self._config: Config
        self._haunted: Haunted
        self._before: dict[str, Any] = {}
        self._bridge: asyncio.subprocess.Process | None = None
        self._seemed_lost = False

    async def run(self) -> Result:
        """All of it. Raises MigrateError only for what is no verdict: stacks that do not start."""
        began = time.monotonic()
        result = self._result
        try:
            async with self._commands.ready(), self._up(), self._people() as crowd:
                try:
                    await self._migrate(crowd)
                except StoppedError as error:
                    result.problem = error.message
                except MigrateError as error:
                    result.problem = f"step {result.stopped_in}: {error.message}"
                if result.problem:
                    # What is under way arrives: only what is lost is said to be.
                    with contextlib.suppress(MigrateError):
                        await crowd.finish(AFTER_FAILURE_S)
                self._judge(crowd)
                result.is_late = self._seemed_lost and not result.wrong
        finally:
            result.seconds = round(time.monotonic() - began, 1)
        return result

    async def _migrate(self, crowd: Crowd) -> None:
        for step in (
            self._phase1, self._shadow, self._compare, self._there_and_back, self._cutover, self._phase2,
            self._sweep_among_the_living, self._drain, self._take_off, self._resources, self._restore_trial,
            self._phase3,
        ):  # fmt: skip
            await step()
        with self._step("the end"):
            await crowd.finish()

    # The stage ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _up(self) -> AsyncIterator[None]:
        with self._step("both stacks start") as facts:
            options = ("--detach", "--json", "--no-traffic", *self._stack.up_options)
            up = (await self._commands.run("up", *options, config=False)).json
            self._commands.env = {**up["env"], "SSE_JWT_SECRET": self._state.jwt_secret()}
            try:
                self._config = await asyncio.to_thread(self._configure, up)
                self._haunted = Haunted(self._config)
                self._commands.config = self._config.path
                self._result.not_rehearsed = [{"what": one.what, "do": one.do} for one in self._stack.limits]
                if not self._stack.has_bridge:
                    await self._start_bridge()
            except BaseException:
                await self._down()
                raise
            facts["functions"] = len(self._config.functions)
        try:
            yield
        finally:
            await self._down()

    async def _down(self) -> None:
        if self._bridge is not None:
            await end(self._bridge)
        await self._commands.run("down", config=False, codes=(0, 1, 2, 3, 4, 5))

    def _configure(self, up: dict[str, Any]) -> Config:
        given = self._stack.settings(up, self._state.jwt_secret())
        # The one service of `migrate up` reads the flags of one table.
        project = replace(given.project, state_table=state_table(STACK), archive="../../archive")
        settings = replace(
            given,
            project=project,
            # Names for dashboard and alarms, as a deployed service has them.
            sse=replace(
                given.sse, table_prefix="rehearsal-", ecs_cluster="rehearsal", ecs_service="sse-service",
                load_balancer="app/rehearsal/0123456789abcdef",
            ),
            shadow=Shadow(settle_s=5.0),
            gates=GATES,
            cutover=Cutover(steps=(25.0, 50.0, 100.0), hold_s=self._pace.hold_s),
            drain=replace(given.drain, rate_per_s=20.0, notice_s=15.0),
            cleanup=Cleanup(
                get_connection_per_s=200.0, delete_per_s=500.0, segments=2, settle_s=2.0, quiet_hours=0.0,
            ),
        )  # fmt: skip
        path = self._state.configs / f"{self._stack.name}.toml"
        path.write_text(to_toml(settings, heading=HEADING.format(name=self._stack.name)), encoding="utf-8")
        return load_config(path, self._state.path)

    @contextlib.asynccontextmanager
    async def _people(self) -> AsyncIterator[Crowd]:
        config, secret, app = self._config, self._state.jwt_secret(), self._stack.app
        movers, others = self._pace.names()

        def token(user: str, scopes: tuple[str, ...] = ()) -> str:
            return mint(user, config.sse.default_tenant, secret, scopes)

        users = {name: app.user(name) for name in (*movers, *others)}
        addresses = Addresses(
            await self._stack.handshake(self._commands, config, users, token),
            config.sse.url,
            config.sse.stream,
            lambda user, scopes: {"Authorization": f"Bearer {token(user, scopes)}"},
        )
        for room in self._stack.rooms:
            await self._make_room(room, token(ACTOR, PUBLISH))
        crowd = self._crowd = Crowd(app, addresses, movers, others)
        with self._step("people come") as facts:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(crowd.here())
                kept = stack.pop_all()
            facts.update(crowd.transports())
        async with kept:
            yield crowd

    async def _make_room(self, room: str, token: str) -> None:
        """A conversation that is open to everybody."""
        async with new_http_client(self._config.sse.url) as http:
            answer = await http.post(
                f"{self._config.sse.url}/api/conversations",
                json={"conversationId": room, "open": True},
                headers={"Authorization": f"Bearer {token}"},
            )
        if answer.is_error:
            raise MigrateError(f"the conversation {room} could not be made: HTTP {answer.status_code}")

    # Phase 1 ------------------------------------------------------------------------------------------

    async def _phase1(self) -> None:
        run, api = self._commands.run, self._config.api
        where = (self._source, api.id, self._config.region, api.stage)
        scan = ("scan", str(self._source), "--baseline", str(self._source / ".ws-baseline.jsonl"))
        async with self._checked("phase 1: no new WebSocket code") as facts:
            write_demo(*where)
            await asyncio.gather(run("check-config"), run(*scan, "--write-baseline", state=False))
            add_new_use(*where)
            await run(*scan, "--fail-on-new", state=False, codes=(3,))
            take_new_use_away(self._source)
            await self._close_phase(1)
            facts["gate"] = "refuses a new use, lets the known ones be"

    # Phase 2 ------------------------------------------------------------------------------------------

    async def _shadow(self) -> None:
        async with self._checked("shadow traffic begins") as facts:
            facts["tee"] = (await self._commands.run("shadow", "start", "--json")).json["tee"]

    async def _compare(self) -> None:
        async with self._checked("both stacks are compared") as facts:
            facts.update(await self._until_compared())

    async def _until_compared(self) -> dict[str, Any]:
        deadline = time.monotonic() + COMPARE_S
        while True:
            done = await self._commands.run("compare", "--json", codes=(0, 3, 4))
            if done.code == 0:
                return {"verdict": "pass"}
            if done.code == 3:
                raise StoppedError(f"step {self._result.stopped_in}: the comparison failed: {_why(done.json)}")
            if time.monotonic() > deadline:
                raise StoppedError(
                    f"step {self._result.stopped_in}: no verdict after {COMPARE_S:g} s: {_why(done.json)}"
                )
            await asyncio.sleep(2)

    async def _there_and_back(self) -> None:
        """A trial: half of them go, and all come back."""
        crowd = self._here
        async with self._checked("half of the users move, and come back") as facts:
            await self._for_each_feature("cutover", "--percent", "50", "--execute")
            await crowd.calm(MOVE_S)
            # A while on the new stack alone: what the bridge loses is seen here, while everybody can still come back.
            facts["over"] = crowd.transports()["sse"]
            await asyncio.sleep(ALONE_S)
            await self._for_each_feature("rollback")
            await self._all_on("websocket", self._movers)

    async def _cutover(self) -> None:
        async with self._checked("users move in steps") as facts:
            await self._for_each_feature("cutover", "--steps", "--execute")
            await self._all_on("sse", self._movers)
            facts.update(self._here.transports())
        async with self._checked("shadow traffic ends"):
            await self._commands.run("shadow", "stop")

    async def _phase2(self) -> None:
        async with self._checked("phase 2: signatures, runbook, alarms"):
            await asyncio.gather(
                self._commands.run("observe", "--execute"),
                self._commands.run("runbook"),
                self._commands.run("codemod", str(self._source), "--write", state=False),
            )
            await self._close_phase(2)

    # Phase 3 ------------------------------------------------------------------------------------------

    async def _sweep_among_the_living(self) -> None:
        async with self._checked("tables are swept while people are connected") as facts:
            self._before = await asyncio.to_thread(
                described, self._config, self._haunted.name, self._config.functions[0].name
            )
            # The application itself deletes what it gets 410 for, so that it and the sweep are at it together.
            ghosts = await asyncio.to_thread(self._haunted.haunt)
            swept = (await self._commands.run("cleanup", "connections", "--execute", "--json")).json[0]
            left = await asyncio.to_thread(self._haunted.rows)
            facts.update(deleted=swept["counts"]["deleted"], living=len(left))
            self._demand(not set(left) & set(ghosts), "rows of gone connections are left")
            self._demand(len(left) >= len(self._others), f"{len(self._others)} people are connected, {len(left)} rows")

    async def _drain(self) -> None:
        run = self._commands.run
        async with self._checked("the old stack is drained") as facts:
            drained = (await run("drain", "start", "--execute", "--json")).json
            await self._all_on("sse", self._here.names)
            left = (await run("drain", "status", "--who", "--json")).json["left"]["connections"]
            facts.update(drained["counts"], left=left)
            self._demand(left == 0, f"{left} connections are left after the drain")

    async def _take_off(self) -> None:
        run = self._commands.run
        async with self._checked("bridge and tee go, tables are swept, and restored for trial") as facts:
            if self._bridge is not None:
                await end(self._bridge)
                self._bridge = None
            else:
                await run("bridge", "stop", config=False)
            await run("shadow", "stop", "--all-readers")
            sweep = ("cleanup", "connections", "--execute", "--json")
            ghosts = await asyncio.to_thread(self._haunted.haunt)
            facts["deleted"] = deleted = (await run(*sweep)).json[0]["counts"]["deleted"]
            left = await asyncio.to_thread(self._haunted.rows)
            self._demand(not left, f"{len(left)} rows are left in {self._haunted.name}")
            facts["restored"] = (
                (await run("cleanup", "connections", "restore", "--execute", "--json")).json["counts"].get("put", 0)
            )
            back = await asyncio.to_thread(self._haunted.rows)
            same = all(back.get(name) == item for name, item in ghosts.items())
            self._demand(same, "the restored rows are not as they were")
            self._result.restored.append(f"{facts['restored']} rows of {self._haunted.name}, equal to what they were")
            await run(*sweep)
            self._result.deleted.append(f"{deleted} rows of gone connections")

    async def _resources(self) -> None:
        run = self._commands.run
        async with self._checked("the old stack's resources go") as facts:
            plan = (await run("cleanup", "resources", "plan", "--json")).json
            blocked = [f"{one['id']}: {'; '.join(one['blocked'])}" for one in plan["steps"] if one.get("blocked")]
            self._demand(not blocked, f"the plan is blocked: {' | '.join(blocked)}")
            await run("cleanup", "resources", "apply", "--execute")
            await run("cleanup", "resources", "apply", "--execute", "--point-of-no-return", self._config.api.id)
            names = [f"{one['kind']} {one['name']}" for one in plan["steps"] if one["kind"] != "log-group"]
            self._result.deleted += names
            facts["steps"] = len(plan["steps"])

    async def _restore_trial(self) -> None:
        """One table and one function, made again, compared, and taken away again."""
        run, table = self._commands.run, self._haunted.name
        function = self._config.functions[0].name
        async with self._checked("a table and a function are restored for trial") as facts:
            await run("cleanup", "resources", "restore", f"table:{table}", f"function:{function}", "--execute")
            after = await asyncio.to_thread(described, self._config, table, function)
            different = [key for key, value in self._before.items() if after.get(key) != value]
            self._demand(not different, f"restored, but different: {', '.join(different)}")
            self._result.restored += [f"table {table}: schema as before", f"function {function}: code and settings"]
            facts["compared"] = len(self._before)
            # Not by the plan: it was made for the function as it was, and this one has a later date.
            await asyncio.to_thread(self._config.client("dynamodb").delete_table, TableName=table)
            await asyncio.to_thread(self._config.client("lambda").delete_function, FunctionName=function)

    async def _phase3(self) -> None:
        async with self._checked("phase 3: cost, report, archive"):
            await self._commands.run("cost", "--days", "0.05", "--json")
            # It is evidence of the phase, and so made before the phase is closed.
            done = await self._commands.run("report", "--source", str(self._source))
            self._result.report = done.out.splitlines()[0]
            await self._close_phase(3)

    # What the steps share -----------------------------------------------------------------------------

    @property
    def _here(self) -> Crowd:
        if self._crowd is None:
            raise RuntimeError("nobody has come yet")
        return self._crowd

    @property
    def _movers(self) -> list[str]:
        return [one for one in self._here.names if one.startswith("mover")]

    @property
    def _others(self) -> list[str]:
        return [one for one in self._here.names if not one.startswith("mover")]

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        step = StepResult(name)
        self._result.stopped_in = name
        if self._crowd is not None:
            self._crowd.step = name
        self._say(name, None, {})
        began = time.monotonic()
        try:
            yield step.facts
        finally:
            step.seconds = round(time.monotonic() - began, 1)
            self._result.steps.append(step)
        self._say(name, step.seconds, step.facts)

    @contextlib.asynccontextmanager
    async def _checked(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """A step after which everything that was said has to have arrived."""
        with self._step(name) as facts:
            yield facts
            missing = await self._here.settled()
            if missing:
                self._seemed_lost = True
                raise StoppedError(f"lost: {missing[0]}")
            wrong = self._here.ledger.wrong()
            doubled = [one for one in wrong if one.times]
            if doubled:
                raise StoppedError(f"wrong: {doubled[0]}")
            counts = self._here.ledger.by_step().get(name)
            facts["said"] = counts.said if counts else 0
            facts["heard"] = counts.due if counts else 0

    async def _for_each_feature(self, command: str, *more: str) -> None:
        """A command for all of them at once."""
        await asyncio.gather(*(self._commands.run(command, one.name, *more) for one in self._config.features))

    def _demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise StoppedError(f"step {self._result.stopped_in}: {otherwise}")

    async def _all_on(self, stack: str, names: list[str]) -> None:
        self._demand(
            await self._here.on(stack, names, MOVE_S), f"not all clients are on {stack} after {MOVE_S:g} s"
        )  # fmt: skip

    async def _close_phase(self, phase: int) -> None:
        """Sign what only a person can know, waive what a rehearsal cannot have, and close."""
        command = f"phase{phase}"
        signed = [one.id for one in items_of(phase) if not one.collector]
        waived = {one.id: WAIVED[one.id] for one in items_of(phase) if one.id in WAIVED}
        said = ("--by", ACTOR, "--note")
        await asyncio.gather(
            *(self._commands.run(command, "sign", item, *said, "a rehearsal") for item in signed),
            *(self._commands.run(command, "waive", item, *said, why) for item, why in waived.items()),
        )
        self._result.waived.update(waived)
        await self._commands.run(command, "close", "--by", ACTOR, "--source", str(self._source))

    def _judge(self, crowd: Crowd) -> None:
        result = self._result
        result.wrong = [str(one) for one in crowd.ledger.wrong()] + [
            f"{what} (step {step})" for step, what in crowd.ledger.failed
        ]
        result.by_step = {
            name: {"said": one.said, "heard": one.due - one.lost, "lost": one.lost, "doubled": one.doubled}
            for name, one in crowd.ledger.by_step().items()
        }
        result.events = [f"{one.name}: {event}" for one in crowd.ledger.records.values() for event in one.events]
        said = [vars_of(one) for one in crowd.ledger.said]
        heard = {name: {stack: dict(c) for stack, c in one.heard.items()} for name, one in crowd.ledger.records.items()}
        path = self._folder / "people.json"
        path.write_text(json.dumps({"said": said, "heard": heard}, ensure_ascii=False, indent=1), encoding="utf-8")

    async def _start_bridge(self) -> None:
        status = self._state.path / f"bridge-{self._stack.name}.json"
        self._bridge = await self._commands.background("bridge", "run")
        deadline = time.monotonic() + 60
        while not (status.exists() and json.loads(status.read_text(encoding="utf-8"))["live"]):
            if self._bridge.returncode is not None or time.monotonic() > deadline:
                raise MigrateError(f"the bridge of {self._stack.name} did not start", "migrate bridge run says why")
            await asyncio.sleep(0.1)


def vars_of(said: Any) -> dict[str, Any]:
    """A message as JSON."""
    return {
        "text": said.text, "by": said.by, "step": said.step, "via": said.via, "to": sorted(said.to), "at": said.at,
    }  # fmt: skip


def _why(view: Any) -> str:
    """The reasons of a comparison."""
    if isinstance(view, dict):
        for key in ("reasons", "hint", "summary"):
            if view.get(key):
                found = view[key]
                return "; ".join(map(str, found)) if isinstance(found, list) else str(found)
    return "see its report"
