"""What is rehearsed: one of the three applications of `migrate up`, or a team's own stack. until phase 3"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx

from legacy_ws.deploy.apps import APPS
from migrate.config import Config
from migrate.config.model import Settings, Sse
from migrate.config.templates import render
from migrate.init.draft import Limit
from migrate.local.functions.reference import ACCOUNT
from migrate.rehearse.applications import APPLICATIONS, ROOM, Application
from migrate.rehearse.commands import Commands
from migrate.rehearse.deploy import deploy
from migrate.rehearse.environment import not_given
from migrate.rehearse.own import foreign_services, plan_own
from migrate.rehearse.packages import Package
from migrate.rehearse.spoken import Spoken
from migrate.up.aws import clients
from migrate.up.configs import records_of, settings_for
from migrate.up.state import STACK

__all__ = ["Own", "Shipped", "Stack"]

Handshake = Callable[[str], tuple[str, dict[str, str]]]
"""Address and headers of a person's handshake, by name."""


class Stack(Protocol):
    """One stack of a rehearsal."""

    name: str
    app: Application
    rooms: Collection[str]
    """Conversations that are open to everybody and that nobody else makes."""
    limits: Collection[Limit]
    not_given: Collection[Limit]
    """Variables that functions read and nobody has given a stand-in for."""
    has_bridge: bool
    """Whether `migrate up` runs its bridge."""
    up_options: tuple[str, ...]
    scheduled: Collection[str]
    """Functions that the rehearsal invokes in the place of their schedules."""

    def settings(self, up: Mapping[str, Any], secret: str) -> Settings:
        """Its description on the local AWS of `up`, where it is from now on."""

    async def handshake(
        self, commands: Commands, config: Config, users: Mapping[str, str], token: Callable[[str], str]
    ) -> Handshake:
        """How people come in. users: ids by name; token: signs one for a user's id."""


class Shipped:
    """An application of `migrate up`."""

    limits: Collection[Limit] = ()
    not_given: Collection[Limit] = ()
    scheduled: Collection[str] = ()

    def __init__(self, name: str) -> None:
        self.name, self.app = name, APPLICATIONS[name]
        self.up_options: tuple[str, ...] = ("--only", name)
        # `migrate up` has made those of the rooms application.
        self.rooms: Collection[str] = (ROOM,) if name == "layers" else ()
        self.has_bridge = name == STACK

    def settings(self, up: Mapping[str, Any], secret: str) -> Settings:  # noqa: ARG002 - `migrate up` has deployed it
        return settings_for(self.name, up["stacks"][self.name], up)

    async def handshake(
        self, commands: Commands, config: Config, users: Mapping[str, str], token: Callable[[str], str]
    ) -> Handshake:
        tokens = {name: token(user) for name, user in users.items()}
        if self.name == "direct":
            # It has a user pool, whose tokens its old stack wants.
            ran = (commands.program("legacy_ws", "token", self.name, user, "--yes") for user in users.values())
            tokens = dict(zip(users, [done.out.strip() for done in await asyncio.gather(*ran)], strict=True))
        return lambda name: (f"{config.ws_url}?token={tokens[name]}", {})


class Own:
    """A team's own stack.

    Args:
        described: its `migrate.toml`.
        packages: by function.
        env: further stand-ins for environments, by function; "" is for all.
        source: how errors call the description.

    Raises: UsageError: it cannot be rehearsed, and why.
    """

    has_bridge = False

    def __init__(
        self, described: Settings, packages: Mapping[str, Package], env: Mapping[str, Mapping[str, str]], source: str
    ) -> None:
        name = described.project.name
        # The names of our own stand beside it.
        name = f"own-{name}"[:40] if name in APPS else name
        described = replace(described, project=replace(described.project, name=name))
        self._plan = plan_own(described, packages, source)
        self._env = env
        self.name = name
        self.scheduled: Collection[str] = [
            one.name
            for one in self._plan.settings.functions
            if any(source.type == "schedule" for source in one.event_sources)
        ]
        self.limits: Collection[Limit] = self._plan.limits
        self.not_given: Collection[Limit] = tuple(not_given(self._plan.settings.functions, self._plan.packages, env))
        self.up_options: tuple[str, ...] = ("--only", "none", "--shadow-for", name)
        self.app: Application = self._spoken(self._plan.settings)

    def _spoken(self, settings: Settings) -> Spoken:
        spoken = Spoken(settings)
        spoken.check()
        self.rooms: Collection[str] = sorted(spoken.rooms())
        return spoken

    def settings(self, up: Mapping[str, Any], secret: str) -> Settings:
        region = up["env"]["AWS_DEFAULT_REGION"]
        services = httpx.get(f"{up['aws_endpoint_url']}/_ministack/health", trust_env=False).json()["services"]
        self.limits = (*self.limits, *foreign_services(self._plan.packages, services))
        there = deploy(
            self._plan, clients(up["env"]), region=region, account=ACCOUNT, secret=secret, env=self._env
        )  # fmt: skip
        given = self._plan.settings
        return replace(
            given,
            project=replace(given.project, records=records_of(self.name, up)),
            # No schedule is made: nothing of it is to be found there.
            functions=tuple(
                replace(one, event_sources=tuple(s for s in one.event_sources if s.type != "schedule"))
                for one in given.functions
            ),
            api=replace(
                given.api, id=there.api_id, region=region, endpoint_url=up["aws_endpoint_url"], ws_url=there.ws_url,
                management_url=there.management_url, hosts=(),
            ),
            sse=replace(
                given.sse, url=up["sse_url"], shadow_url=up["shadow_url"][self.name],
                jwt_secret_env=Sse().jwt_secret_env,
            ),
        )  # fmt: skip

    async def handshake(
        self,
        commands: Commands,  # noqa: ARG002 - its people need no command
        config: Config,
        users: Mapping[str, str],
        token: Callable[[str], str],
    ) -> Handshake:
        given = self._plan.settings.rehearse

        def one(name: str) -> tuple[str, dict[str, str]]:
            user = users[name]
            context = {"user": user, "tenant": config.sse.default_tenant, "token": token(user)}
            query = render(dict(given.query), {}, context)
            headers = {key: str(value) for key, value in render(dict(given.headers), {}, context).items()}
            return f"{config.ws_url}?{urlencode(query)}" if query else config.ws_url, headers

        return one
