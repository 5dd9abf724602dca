"""Virtual connections as the settings want them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace

from sse_service.connections.events import ConnectionFacts
from sse_service.connections.limits import AWS_LIMITS
from sse_service.metrics import Metrics
from sse_service.ports import Clock
from sse_service.settings import Settings
from sse_service.trusted_listener import TrustedListener
from sse_service.virtual.calls import Caller, Invoker
from sse_service.virtual.files import read_file
from sse_service.virtual.flows import Flows
from sse_service.virtual.handlers import Handlers, Invokers
from sse_service.virtual.management import Elsewhere, ManagementApi
from sse_service.virtual.metrics import VirtualMetrics
from sse_service.virtual.plan import PYTHON, ApiPlan
from sse_service.virtual.service import VirtualConnections, VirtualOptions
from sse_service.virtual.session import SessionLimits
from sse_service.virtual.store import MemoryConnections, SessionStore
from sse_service.virtual.streams import Streams, StreamTimes

__all__ = ["Virtual"]

logger = logging.getLogger("sse_service.virtual")

MAX_LEASE_S = 45.0
"""A stream whose instance has not renewed it for so long is believed dead."""
SPARE_S = 15.0


class Virtual:
    """What app.py starts and ends. functions: who invokes Lambda functions; None: the real one.
    quiet: that it has started is no news.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
        *,
        store: SessionStore | None = None,
        functions: Invoker | None = None,
        quiet: bool = False,
    ) -> None:
        self.settings = settings
        self.path = settings.effective_virtual_path
        self._clock = clock
        self._functions = functions
        self._level = logging.DEBUG if quiet else logging.INFO
        self._metrics = VirtualMetrics(metrics.registry)
        limits = SessionLimits(
            idle_s=settings.virtual_idle_s,
            lifetime_s=settings.virtual_lifetime_s,
            resume_s=settings.virtual_resume_s,
            stream_lease_s=min(MAX_LEASE_S, settings.virtual_resume_s * 0.75),
            end_lease_s=2 * settings.virtual_integration_s + SPARE_S,
            window_bytes=settings.virtual_buffer_bytes,
        )
        instance = uuid.uuid4().hex
        kept = store or _make_store(settings, limits, instance)
        times = StreamTimes(
            settings.effective_heartbeat_s, settings.effective_max_age_s, settings.send_timeout_s, settings.retry_ms
        )
        options = VirtualOptions(
            stage=settings.virtual_stage,
            domain_name=settings.virtual_domain_name or f"{settings.host}:{settings.port}",
            limits=replace(
                AWS_LIMITS,
                message_bytes=settings.virtual_message_bytes,
                integration_s=settings.virtual_integration_s,
                in_flight=settings.virtual_in_flight,
            ),
            session_limits=limits,
            connects_per_s=settings.virtual_connects_per_s,
            max_connections=settings.virtual_max_connections,
            passes_binary=settings.virtual_binary == "pass",
        )
        streams = Streams(kept, limits, times, self._metrics, clock, instance=instance, most=options.max_connections)
        self.connections = VirtualConnections(options, kept, streams, self._metrics, clock)
        self._elsewhere = _elsewhere(settings)
        self.management = ManagementApi(
            self.connections,
            settings.management_secrets(),
            rate=settings.virtual_management_rate,
            clock=clock,
            elsewhere=self._elsewhere,
        )
        self.listener = TrustedListener(settings, self.management, metrics)
        self._caller: Caller | None = None

    async def start(self) -> None:
        """Read the API, make ready what it calls. Raises StartupError. Called again: nothing."""
        if self._caller is not None:
            return
        settings = self.settings
        if settings.virtual_definition:
            api, stage = await asyncio.to_thread(read_file, settings.virtual_definition, settings.virtual_stage)
        else:
            from sse_service.adapters.apigateway_definition import read_api

            api, stage = await read_api(settings)
        options = self.connections.options
        plan = ApiPlan(api, stage, options.limits, region=settings.region, now_s=self._clock())
        for problem in plan.problems():
            logger.warning("%s", problem)
        targets = plan.targets()
        handlers = Handlers({target for target in targets if target.startswith(PYTHON)})
        handlers.connections = self.connections
        needs_lambda = any(not target.startswith(PYTHON) for target in targets)
        functions = self._functions or (_lambda(settings) if needs_lambda else None)
        caller = Caller(Invokers(handlers, functions))
        await caller.start()
        self._caller = caller
        flows = Flows(
            plan,
            caller,
            options.limits,
            self._metrics,
            self.connections.tell,
            account_id=settings.virtual_account_id,
            ordered=bool(settings.virtual_ordered),
        )
        if self._elsewhere is not None:
            await self._elsewhere.start()
        await self.connections.start(flows)
        await self.listener.start()
        logger.log(
            self._level, "virtual connections at %s: %d routes of API %s", self.path, len(plan.plans), api.api_id
        )

    async def tell(self, about: Callable[[str, str], bytes]) -> None:
        """See Streams.tell."""
        await self.connections.streams.tell(about, self._user_of)

    def _user_of(self, facts: ConnectionFacts) -> tuple[str, str] | None:
        """Tenant and user as the authorizer's context has them; None where it names no user."""
        context, settings = facts.authorizer or {}, self.settings
        user = context.get(settings.transport_user) or context.get("principalId")
        tenant = context.get(settings.transport_tenant) or settings.jwt_default_tenant
        return (str(tenant), str(user)) if user and tenant else None

    async def drain(self, grace_s: float) -> None:
        await self.connections.drain(grace_s)

    async def close(self) -> None:
        await self.listener.close()
        await self.connections.close()
        if self._elsewhere is not None:
            await self._elsewhere.close()
        if self._caller is not None:
            await self._caller.close()
            self._caller = None


def _make_store(settings: Settings, limits: SessionLimits, instance: str) -> SessionStore:
    if settings.virtual_store == "redis":
        from sse_service.adapters.redis_connections import RedisConnections

        return RedisConnections(settings.redis_url, settings.table_prefix, limits, instance=instance)
    return MemoryConnections(limits)


def _elsewhere(settings: Settings) -> Elsewhere | None:
    if not settings.virtual_management_forward_url:
        return None
    from sse_service.adapters.management_forward import ForwardedConnections

    return ForwardedConnections(settings)


def _lambda(settings: Settings) -> Invoker:
    from sse_service.adapters.lambda_invoker import LambdaInvoker

    return LambdaInvoker(settings)
