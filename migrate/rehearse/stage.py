"""What a rehearsal stands on: both stacks, their description, the bridge, the people who come. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from typing import Any

from botocore.config import Config as BotoConfig

from migrate.clients import new_http_client
from migrate.config import Config, load_config
from migrate.config.model import Cleanup, Cutover, Gates, Shadow
from migrate.config.write import to_toml
from migrate.errors import MigrateError
from migrate.init.draft import Limit
from migrate.local.functions.reference import ACCOUNT
from migrate.rehearse.commands import ACTOR, Commands, end
from migrate.rehearse.crowd import Crowd
from migrate.rehearse.person import Addresses
from migrate.rehearse.refused import why_refused
from migrate.rehearse.schedules import Schedules
from migrate.rehearse.stacks import Stack
from migrate.tokens import mint
from migrate.up.configs import state_table
from migrate.up.state import STACK, StateDir

__all__ = ["GATES", "Pace", "Stage"]

BRIDGE_S = 60.0
LONGEST_INVOCATION_S = 910
"""Of a function, and a little (Lambda quotas: 15 minutes)."""
PUBLISH = ("events:publish",)
HEADING = """The application {name} in a rehearsal. Thresholds and times are for minutes of a few people's traffic,
not for production."""
GATES = Gates(min_samples=100, max_loss=0.05, fresh_s=900.0, error_budget=0.01)
"""For minutes: of 100 deliveries none may be lost, for the bound to be below 5 %."""


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


class Stage:
    """One rehearsal's.

    Args:
        state: of its own `migrate up`.
    """

    def __init__(self, stack: Stack, state: StateDir, commands: Commands, pace: Pace) -> None:
        self._stack, self._state, self._commands, self._pace = stack, state, commands, pace
        self._config: Config
        self._bridge: asyncio.subprocess.Process | None = None
        self._schedules: Schedules | None = None

    @property
    def limits(self) -> Collection[Limit]:
        """What is not rehearsed; some of it is known only when the local AWS is up."""
        return self._stack.limits

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[Config]:
        """Both stacks and the bridge, inside the block. Yields the description."""
        # Whatever ends the rehearsal, its stacks end with it.
        own = ("--while-pid", str(os.getpid()))
        options = ("--detach", "--json", "--no-traffic", *own, *self._stack.up_options)
        up = (await self._commands.run("up", *options, config=False)).json
        try:
            self._commands.env = {**up["env"], "SSE_JWT_SECRET": self._state.jwt_secret()}
            self._config = await asyncio.to_thread(self._configure, up)
            self._commands.config = self._config.path
            if not self._stack.has_bridge:
                await self._start_bridge()
            async with self._scheduled():
                yield self._config
        finally:
            if self._bridge is not None:
                await end(self._bridge)
            await self._commands.run("down", config=False, codes=(0, 1, 2, 3, 4, 5))

    @contextlib.asynccontextmanager
    async def _scheduled(self) -> AsyncIterator[None]:
        """Functions with schedules are invoked, inside the block."""
        names, config = self._stack.scheduled, self._config
        if not names:
            yield
            return
        lambda_ = config.client(
            "lambda", config=BotoConfig(read_timeout=LONGEST_INVOCATION_S, retries={"max_attempts": 0})
        )
        self._schedules = Schedules(lambda_, names, account=ACCOUNT, region=config.region)
        task = asyncio.create_task(self._schedules.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def scheduled(self) -> list[str]:
        """What became of invocations in the place of schedules."""
        return self._schedules.said if self._schedules is not None else []

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

    async def _start_bridge(self) -> None:
        status = self._state.path / f"bridge-{self._stack.name}.json"
        self._bridge = await self._commands.background("bridge", "run")
        deadline = time.monotonic() + BRIDGE_S
        while not (status.exists() and json.loads(status.read_text(encoding="utf-8"))["live"]):
            if self._bridge.returncode is not None or time.monotonic() > deadline:
                raise MigrateError(f"the bridge of {self._stack.name} did not start", "migrate bridge run says why")
            await asyncio.sleep(0.1)

    async def stop_bridge(self) -> None:
        """Nothing crosses any more."""
        if self._bridge is not None:
            await end(self._bridge)
            self._bridge = None
        else:
            await self._commands.run("bridge", "stop", config=False)

    async def crowd(self) -> Crowd:
        """The people, who have not come yet; the conversations that they need are there."""
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
        return Crowd(app, addresses, movers, others, self._refused)

    async def _refused(self) -> tuple[str, str]:
        """What the functions behind the handshake said, and where the handshakes are."""
        said = await why_refused(self._config, [self._state.jwt_secret()])
        more = "".join(f"; function {name}: {lines[0]}" for name, lines in said.items())
        tails = "".join(f"\n{name}: the last of its log\n  " + "\n  ".join(lines) for name, lines in said.items())
        env = "a name that its environment lacks is given with `env` of [[functions]], or --env NAME=VALUE; "
        return more, f"{env if said else ''}the handshakes are in {self._state.logs / 'local-aws.log'}{tails}"

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
