"""The migration, step by step, with the real commands. until phase 3"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrate.clients import new_http_client
from migrate.config import Config, load_config
from migrate.config.model import Cleanup, Cutover, Drain, Gates, Shadow
from migrate.config.write import to_toml
from migrate.errors import GateClosedError, MigrateError
from migrate.phases.items import items_of
from migrate.rehearse.applications import APPLICATIONS, ROOM
from migrate.rehearse.commands import ACTOR, Commands, end
from migrate.rehearse.crowd import Crowd
from migrate.rehearse.demo import add_new_use, take_new_use_away, write_demo
from migrate.rehearse.person import Addresses
from migrate.tokens import mint
from migrate.up.configs import settings_for, state_table
from migrate.up.state import STACK, StateDir

__all__ = ["Rehearsal", "Result", "StepResult"]

MOVERS, OTHERS = 6, 2
"""Clients that ask for the flag, and clients that move only when the drain tells them."""
PUBLISH = ("events:publish",)
GHOSTS = 150
MOVE_S = 80.0
COMPARE_S = 90.0
HEADING = """The application {name} in a rehearsal. Thresholds and times are for minutes of a few people's traffic,
not for production."""
# For minutes: about 400 deliveries of 70 messages, of which none may be lost.
GATES = Gates(min_samples=300, max_loss=0.05, fresh_s=900.0, error_budget=0.01)
WAIVED = {"cost-checked": "minutes of a few people's traffic cost less than one task of the service"}
"""Items that a rehearsal cannot fulfil, and why."""


class StoppedError(GateClosedError):
    """The real thing would have lost something, or would have been stopped."""


@dataclass(slots=True)
class StepResult:
    """One step: name, seconds, what was seen."""

    name: str
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Result:
    """What came of it."""

    app: str
    steps: list[StepResult] = field(default_factory=list)
    problem: str = ""
    """Why it ended early, or what a command would have done wrong."""
    stopped_in: str = ""
    wrong: list[str] = field(default_factory=list)
    by_step: dict[str, dict[str, int]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    waived: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    report: str = ""
    folder: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problem and not self.wrong


class Rehearsal:
    """One application's.

    Args:
        folder: its own, new directory.
        say: told of each step as it begins and ends (name, None | seconds, facts).
    """

    def __init__(self, app: str, folder: Path, say: Callable[[str, float | None, dict[str, Any]], None]) -> None:
        self._app, self._folder, self._say = app, folder, say
        self._state = StateDir(folder / "state")
        self._source = folder / "source"
        self._commands = Commands(self._state.path, folder)
        self._result = Result(app, folder=str(folder))
        self._crowd: Crowd | None = None
        self._config: Config
        self._before: dict[str, Any] = {}
        self._like: dict[str, Any] = {}
        self._bridge: asyncio.subprocess.Process | None = None

    async def run(self) -> Result:
        """All of it. Raises MigrateError only for what is no verdict: stacks that do not start."""
        began = time.monotonic()
        result = self._result
        try:
            async with self._up(), self._people() as crowd:
                try:
                    await self._migrate(crowd)
                except StoppedError as error:
                    result.problem = error.message
                except MigrateError as error:
                    result.problem = f"step {result.stopped_in}: {error.message}"
                    with contextlib.suppress(MigrateError):
                        await crowd.finish()
                self._judge(crowd)
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
            done = await self._commands.run("up", "--detach", "--json", "--no-traffic", config=False)
            up = done.json
            self._commands.env = {**up["env"], "SSE_JWT_SECRET": self._state.jwt_secret()}
            facts["functions"] = len(up["stacks"][self._app]["functions"])
        try:
            self._config = self._configure(up)
            self._commands.config = self._config.path
            if self._app != STACK:
                await self._start_bridge()
            yield
        finally:
            if self._bridge is not None:
                await end(self._bridge)
            await self._commands.run("down", config=False, codes=(0, 1, 2, 3, 4, 5))

    def _configure(self, up: dict[str, Any]) -> Config:
        described = settings_for(self._app, up["stacks"][self._app], up)
        # The one service of `migrate up` reads the flags of one table.
        project = replace(described.project, state_table=state_table(STACK), archive="../../archive")
        settings = replace(
            described,
            project=project,
            # Names for dashboard and alarms, as a deployed service has them.
            sse=replace(
                described.sse, table_prefix="rehearsal-", ecs_cluster="rehearsal", ecs_service="sse-service",
                load_balancer="app/rehearsal/0123456789abcdef",
            ),
            shadow=Shadow(settle_s=5.0),
            gates=GATES,
            cutover=Cutover(steps=(25.0, 50.0, 100.0), hold_s=4.0),
            drain=Drain(rate_per_s=20.0, notice_s=15.0),
            cleanup=Cleanup(
                get_connection_per_s=200.0, delete_per_s=500.0, segments=2, settle_s=2.0, quiet_hours=0.0,
            ),
        )  # fmt: skip
        path = self._state.configs / f"{self._app}.toml"
        path.write_text(to_toml(settings, heading=HEADING.format(name=self._app)), encoding="utf-8")
        return load_config(path, self._state.path)

    @contextlib.asynccontextmanager
    async def _people(self) -> AsyncIterator[Crowd]:
        config, secret = self._config, self._state.jwt_secret()
        app = APPLICATIONS[self._app]
        movers = [f"mover{number}" for number in range(1, MOVERS + 1)]
        others = [f"old{number}" for number in range(1, OTHERS + 1)]

        def token(user: str) -> str:
            return mint(user, config.sse.default_tenant, secret, PUBLISH if user == ACTOR else ())

        # One of the applications has a user pool, whose tokens the old stack wants.
        users = {name: app.user(name) for name in (*movers, *others)}
        signed = dict(zip(users, await asyncio.gather(*map(self._pool_token, users.values())), strict=True))
        addresses = Addresses(
            lambda name: f"{config.ws_url}?token={signed[name] or token(users[name])}",
            config.sse.url,
            config.sse.stream,
            lambda user: {"Authorization": f"Bearer {token(user)}"},
        )
        await self._make_room(token(ACTOR))
        crowd = self._crowd = Crowd(app, addresses, movers, others)
        with self._step("people come") as facts:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(crowd.here())
                kept = stack.pop_all()
            facts.update(crowd.transports())
        async with kept:
            yield crowd

    async def _pool_token(self, email: str) -> str:
        if self._app != "direct":
            return ""
        done = await self._commands.program("legacy_ws", "token", self._app, email, "--yes")
        return done.out.strip()

    async def _make_room(self, token: str) -> None:
        """A conversation that is open to everybody; `migrate up` has made those of the rooms application."""
        if self._app != "layers":
            return
        async with new_http_client(self._config.sse.url) as http:
            answer = await http.post(
                f"{self._config.sse.url}/api/conversations",
                json={"conversationId": ROOM, "open": True},
                headers={"Authorization": f"Bearer {token}"},
            )
        if answer.is_error:
            raise MigrateError(f"the conversation {ROOM} could not be made: HTTP {answer.status_code}")

    # Phase 1 ------------------------------------------------------------------------------------------

    async def _phase1(self) -> None:
        run, api = self._commands.run, self._config.api
        where = (self._source, api.id, self._config.region, api.stage)
        scan = ("scan", str(self._source), "--baseline", str(self._source / ".ws-baseline.jsonl"))
        async with self._checked("phase 1: no new WebSocket code") as facts:
            write_demo(*where)
            await asyncio.gather(run("check-config"), run(*scan, "--write-baseline", state=False))
            await run(*scan, "--fail-on-new", state=False)
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
            done = await self._commands.run("compare", "--json", codes=(0, 2, 3, 4))
            if done.code == 0:
                return {"verdict": "pass"}
            if done.code == 2:
                # In the first seconds nothing is recorded yet.
                self._demand("holds no deliveries" in done.err and time.monotonic() < deadline, done.err.strip())
                await asyncio.sleep(1)
                continue
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
            for feature in self._config.features:
                await self._commands.run("cutover", feature.name, "--percent", "50", "--execute")
            await asyncio.sleep(6)
            facts["over"] = crowd.transports()["sse"]
            for feature in self._config.features:
                await self._commands.run("rollback", feature.name)
            await self._all_on("websocket", self._movers)

    async def _cutover(self) -> None:
        async with self._checked("users move in steps") as facts:
            for feature in self._config.features:
                await self._commands.run("cutover", feature.name, "--steps", "--execute")
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
            self._before = await asyncio.to_thread(self._described, self._table, self._config.functions[0].name)
            # The application itself deletes what it gets 410 for, so that it and the sweep are at it together.
            ghosts = await asyncio.to_thread(self._haunt)
            swept = (await self._commands.run("cleanup", "connections", "--execute", "--json")).json[0]
            left = await asyncio.to_thread(self._rows)
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
            ghosts = await asyncio.to_thread(self._haunt)
            facts["deleted"] = deleted = (await run(*sweep)).json[0]["counts"]["deleted"]
            left = await asyncio.to_thread(self._rows)
            self._demand(not left, f"{len(left)} rows are left in {self._table}")
            facts["restored"] = (
                (await run("cleanup", "connections", "restore", "--execute", "--json")).json["counts"].get("put", 0)
            )
            back = await asyncio.to_thread(self._rows)
            same = all(back.get(name) == item for name, item in ghosts.items())
            self._demand(same, "the restored rows are not as they were")
            self._result.restored.append(f"{facts['restored']} rows of {self._table}, equal to what they were")
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
        run, table = self._commands.run, self._table
        function = self._config.functions[0].name
        async with self._checked("a table and a function are restored for trial") as facts:
            await run("cleanup", "resources", "restore", f"table:{table}", f"function:{function}", "--execute")
            after = await asyncio.to_thread(self._described, table, function)
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
            await self._commands.run("report", "--source", str(self._source))
            await self._close_phase(3)
            done = await self._commands.run("report", "--source", str(self._source))
            self._result.report = done.out.splitlines()[0]

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

    @property
    def _table(self) -> str:
        return next(one.name for one in self._config.tables if one.role == "connections")

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
                raise StoppedError(f"lost: {missing[0]}")
            wrong = self._here.ledger.wrong()
            doubled = [one for one in wrong if one.times]
            if doubled:
                raise StoppedError(f"wrong: {doubled[0]}")
            counts = self._here.ledger.by_step().get(name)
            facts["said"] = counts.said if counts else 0
            facts["heard"] = counts.due if counts else 0

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

    # AWS ----------------------------------------------------------------------------------------------

    def _haunt(self) -> dict[str, dict[str, Any]]:
        """Rows of connections that never were; how they were written, by id."""
        client, table = self._config.client("dynamodb"), self._table
        described = next(one for one in self._config.tables if one.name == table)
        if not self._like:
            self._like = next(iter(self._rows().values()))
        ghosts = {}
        for _ in range(GHOSTS):
            name = base64.urlsafe_b64encode(os.urandom(11)).decode()
            ghosts[name] = {**self._like, described.key: {"S": name}}
        items = list(ghosts.values())
        for first in range(0, len(items), 25):
            client.batch_write_item(
                RequestItems={table: [{"PutRequest": {"Item": one}} for one in items[first : first + 25]]}
            )
        return ghosts

    def _rows(self) -> dict[str, dict[str, Any]]:
        described = next(one for one in self._config.tables if one.name == self._table)
        pages = self._config.client("dynamodb").get_paginator("scan").paginate(
            TableName=self._table, ConsistentRead=True
        )  # fmt: skip
        return {item[described.key]["S"]: item for page in pages for item in page["Items"]}

    def _described(self, table: str, function: str) -> dict[str, Any]:
        found = self._config.client("dynamodb").describe_table(TableName=table)["Table"]
        indexes = [
            {key: one.get(key) for key in ("IndexName", "KeySchema", "Projection")}
            for one in found.get("GlobalSecondaryIndexes", [])
        ]
        settings = self._config.client("lambda").get_function_configuration(FunctionName=function)
        keys = ("CodeSha256", "Runtime", "Role", "Timeout", "MemorySize")
        return {
            "KeySchema": found["KeySchema"],
            "AttributeDefinitions": sorted(found["AttributeDefinitions"], key=lambda one: str(one["AttributeName"])),
            "GlobalSecondaryIndexes": sorted(indexes, key=lambda one: str(one["IndexName"])),
            **{key: settings.get(key) for key in keys},
        }

    async def _start_bridge(self) -> None:
        status = self._state.path / f"bridge-{self._app}.json"
        self._bridge = await self._commands.background("bridge", "run")
        deadline = time.monotonic() + 60
        while not (status.exists() and json.loads(status.read_text(encoding="utf-8"))["live"]):
            if self._bridge.returncode is not None or time.monotonic() > deadline:
                raise MigrateError(f"the bridge of {self._app} did not start", "migrate bridge run says why")
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
