"""The migration, step by step, with the real commands. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from migrate.config import Config
from migrate.errors import MigrateError
from migrate.phases.items import items_of
from migrate.rehearse.commands import ACTOR, Commands
from migrate.rehearse.crowd import Crowd
from migrate.rehearse.demo import add_new_use, take_new_use_away, write_demo
from migrate.rehearse.half import LEAST_PERCENT, half
from migrate.rehearse.result import Result, StepResult, StoppedError
from migrate.rehearse.rows import Haunted, described
from migrate.rehearse.stacks import Stack
from migrate.rehearse.stage import Pace, Stage
from migrate.up.state import StateDir

__all__ = ["Rehearsal"]

MOVE_S, ALONE_S = 80.0, 3.0
AFTER_FAILURE_S = 10.0
COMPARE_S = 90.0
WAIVED = {"cost-checked": "minutes of a few people's traffic cost less than one task of the service"}
"""Items that a rehearsal cannot fulfil, and why."""


class Rehearsal:
    """One stack's.

    Args:
        folder: its own, new directory.
        say: told of each step as it begins and ends (name, None | seconds, facts).
    """

    def __init__(
        self, stack: Stack, folder: Path, say: Callable[[str, float | None, dict[str, Any]], None],
        pace: Pace,
    ) -> None:  # fmt: skip
        self._folder, self._say = folder, say
        self._source = folder / "source"
        self._commands = Commands(folder / "state", folder)
        self._stage = Stage(stack, StateDir(folder / "state"), self._commands, pace)
        self._result = Result(stack.name, folder=str(folder))
        self._crowd: Crowd | None = None
        self._config: Config
        self._haunted: Haunted
        self._before: dict[str, Any] = {}
        self._seemed_lost = False

    async def run(self) -> Result:
        """All of it. Raises MigrateError only for what is no verdict: stacks that do not start."""
        began = time.monotonic()
        result = self._result
        try:
            async with self._commands.ready(), self._set(), self._people() as crowd:
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

    @contextlib.asynccontextmanager
    async def _set(self) -> AsyncIterator[None]:
        stage = self._stage
        async with contextlib.AsyncExitStack() as stack:
            with self._step("both stacks start") as facts:
                self._config = await stack.enter_async_context(stage.up())
                self._haunted = Haunted(self._config)
                facts["functions"] = len(self._config.functions)
            self._result.not_rehearsed = [{"what": one.what, "do": one.do} for one in stage.limits]
            yield

    @contextlib.asynccontextmanager
    async def _people(self) -> AsyncIterator[Crowd]:
        async with contextlib.AsyncExitStack() as stack:
            self._crowd = await self._stage.crowd()
            with self._step("people come") as facts:
                await stack.enter_async_context(self._crowd.here())
                facts.update(self._crowd.transports())
            yield self._crowd

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
                return {"verdict": "pass", "matched": _matched(done.json)}
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
            # The first change draws the places of all users: so small that it moves nobody yet, or one.
            await self._for_each_feature("cutover", "--percent", f"{LEAST_PERCENT:g}", "--execute")
            percent, chosen = await asyncio.to_thread(
                half, self._config, {name: crowd.user(name) for name in self._movers}, len(crowd.names) // 2
            )
            await self._for_each_feature("cutover", "--percent", f"{percent:.2f}", "--execute")
            await self._all_on("sse", chosen)
            await crowd.calm(MOVE_S)
            # A while on the new stack alone: what the bridge loses is seen here, while everybody can still come back.
            over = crowd.transports()["sse"]
            facts["over"] = f"{over} of {len(crowd.names)}"
            self._demand(over == len(chosen) > 0, f"{len(chosen)} users were to move, and {over} did")
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
            await self._stage.stop_bridge()
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
            # It is evidence of the phase, and so made before the phase is closed; again, so that it has the closing.
            report = ("report", "--source", str(self._source))
            await self._commands.run(*report)
            await self._close_phase(3)
            self._result.report = (await self._commands.run(*report)).out.splitlines()[0]

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
        result.scheduled = self._stage.scheduled
        said = [vars_of(one) for one in crowd.ledger.said]
        heard = {name: {stack: dict(c) for stack, c in one.heard.items()} for name, one in crowd.ledger.records.items()}
        path = self._folder / "people.json"
        path.write_text(json.dumps({"said": said, "heard": heard}, ensure_ascii=False, indent=1), encoding="utf-8")


def vars_of(said: Any) -> dict[str, Any]:
    """A message as JSON."""
    return {
        "text": said.text, "by": said.by, "step": said.step, "via": said.via, "to": sorted(said.to), "at": said.at,
    }  # fmt: skip


def _matched(view: Any) -> dict[str, int]:
    """Deliveries that were the same on both stacks, by feature."""
    return {name: one["counts"]["matched"] for name, one in view["features"].items()}


def _why(view: Any) -> str:
    """The reasons of a comparison."""
    if isinstance(view, dict):
        for key in ("reasons", "hint", "summary"):
            if view.get(key):
                found = view[key]
                return "; ".join(map(str, found)) if isinstance(found, list) else str(found)
    return "see its report"
