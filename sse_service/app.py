"""create_app(settings): wiring, and nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import FastAPI

from sse_service.adapters.memory import (
    MemoryBroker,
    MemoryClaims,
    MemoryConversations,
    MemoryEventLog,
    MemoryMessages,
)
from sse_service.adapters.memory_inbox import MemoryInbox, MemoryJobs
from sse_service.adapters.memory_sessions import MemorySessions
from sse_service.addresses import TrustedProxies
from sse_service.api import problems
from sse_service.api.context import RequestContext
from sse_service.api.cors import Cors
from sse_service.api.inbox import inbox_router
from sse_service.api.ingest import ingest
from sse_service.api.keys import KeysFirst
from sse_service.api.openapi import openapi_of
from sse_service.api.quick import QuickPublish
from sse_service.api.quick_asgi import QuickPublishes
from sse_service.api.routes import chat_router, health_router
from sse_service.api.streams import stream_router
from sse_service.api.tickets import ticket_router
from sse_service.api.transport import transport_router
from sse_service.api.urls import NoTokenInUrl
from sse_service.api.work import work_router
from sse_service.chat import ChatService, ChatStores
from sse_service.errors import SettingsError
from sse_service.hub import Hub
from sse_service.jwks import KeySet
from sse_service.limits import Rates
from sse_service.metrics import Metrics
from sse_service.outermost import Outermost
from sse_service.ports import (
    Batch,
    Broker,
    ClaimStore,
    Clock,
    ConversationStore,
    EventLog,
    InboxStore,
    IngestQueue,
    JobStore,
    MessageStore,
    UploadStore,
)
from sse_service.publisher import Publisher
from sse_service.responder import load
from sse_service.services import Services
from sse_service.settings import Settings
from sse_service.tickets import SessionStore, Tickets
from sse_service.tokens import ClaimRules, KeySetVerifier, SecretVerifier
from sse_service.transports import FlagSource, Moved, Transports

if TYPE_CHECKING:
    from sse_service.adapters.dynamodb import Dynamo
    from sse_service.virtual_wiring import Virtual

__all__ = ["Backends", "create_app", "make_backends"]

logger = logging.getLogger("sse_service")


@dataclass(frozen=True, slots=True)
class Backends:
    """What the settings choose; tests hand in their own."""

    log: EventLog
    broker: Broker
    messages: MessageStore
    conversations: ConversationStore
    claims: ClaimStore
    metrics: Metrics = field(default_factory=Metrics)
    sessions: SessionStore = field(default_factory=MemorySessions)
    inbox: InboxStore = field(default_factory=MemoryInbox)
    jobs: JobStore = field(default_factory=MemoryJobs)
    uploads: UploadStore | None = None
    ingest: IngestQueue | None = None
    flags: FlagSource | None = None


def make_backends(settings: Settings, clock: Clock) -> Backends:
    metrics = Metrics()
    if not settings.is_durable:
        return Backends(
            MemoryEventLog(clock, retention_s=settings.retention_s, max_bytes=settings.memory_log_bytes),
            MemoryBroker().for_instance(),
            MemoryMessages(),
            MemoryConversations(),
            MemoryClaims(),
            metrics,
            uploads=_make_uploads(settings),
            ingest=_make_ingest(settings, clock, metrics),
            flags=_make_flags(settings),
        )
    # Imported here: the embedded default starts without the AWS SDK.
    from sse_service.adapters.dynamodb import Dynamo
    from sse_service.adapters.dynamodb_inbox import DynamoInbox, DynamoJobs
    from sse_service.adapters.dynamodb_log import DynamoEventLog
    from sse_service.adapters.dynamodb_sessions import DynamoSessions
    from sse_service.adapters.dynamodb_stores import DynamoClaims, DynamoConversations, DynamoMessages, SharedMessages

    dynamo, prefix = Dynamo(settings), settings.table_prefix
    conversations = DynamoConversations(dynamo, f"{prefix}-conversations")
    messages: MessageStore = (own := DynamoMessages(dynamo, settings.own_messages_table, "conversationId"))
    if settings.shares_messages_table:
        theirs = DynamoMessages(dynamo, settings.messages_table, settings.messages_partition_key, is_shared=True)
        messages = SharedMessages(theirs, own, settings.messages_tenant)
    return Backends(
        DynamoEventLog(dynamo, f"{prefix}-events", clock, retention_s=settings.retention_s),
        _make_broker(settings, clock, metrics, dynamo, conversations),
        messages,
        conversations,
        DynamoClaims(dynamo, f"{prefix}-claims"),
        metrics,
        DynamoSessions(dynamo, f"{prefix}-claims"),
        DynamoInbox(dynamo, f"{prefix}-conversations"),
        DynamoJobs(dynamo, f"{prefix}-conversations"),
        _make_uploads(settings),
        _make_ingest(settings, clock, metrics),
        _make_flags(settings),
    )


def _make_uploads(settings: Settings) -> UploadStore | None:
    if not settings.uploads_bucket:
        return None
    from sse_service.adapters.s3_uploads import S3Uploads

    return S3Uploads(settings)


def _make_ingest(settings: Settings, clock: Clock, metrics: Metrics) -> IngestQueue | None:
    if not settings.ingest_queue_url:
        return None
    from sse_service.adapters.sqs_ingest import SqsIngest

    return SqsIngest(settings, metrics, clock=clock)


def _make_flags(settings: Settings) -> FlagSource | None:
    if not settings.transport_table:
        return None
    from sse_service.adapters.dynamodb import Dynamo
    from sse_service.adapters.dynamodb_flags import DynamoFlags

    return DynamoFlags(Dynamo(settings), settings.transport_table)


def _make_broker(
    settings: Settings, clock: Clock, metrics: Metrics, dynamo: Dynamo, conversations: ConversationStore
) -> Broker:
    """What SSE_BROKER names; imported where it is chosen."""
    if settings.broker == "redis":
        from sse_service.adapters.redis_broker import RedisBroker

        return RedisBroker(settings.redis_url, settings.table_prefix, metrics, clock=clock)
    if settings.broker == "sqs":
        from sse_service.adapters.sqs_broker import SqsBroker

        return SqsBroker(settings, dynamo, conversations.get, metrics, clock=clock)
    return MemoryBroker().for_instance()


def _make_virtual(settings: Settings, metrics: Metrics, clock: Clock) -> Virtual | None:
    if not settings.has_virtual:
        return None
    from sse_service.virtual_wiring import Virtual

    return Virtual(settings, metrics, clock)


def _make_keys(settings: Settings) -> KeySet | None:
    """The issuer's keys, where tokens are not signed with a secret of ours."""
    url = settings.effective_jwks_url
    if not url:
        return None
    from sse_service.adapters.jwks_http import fetch_keys

    return KeySet(lambda: fetch_keys(url), time.monotonic)


def _claim_rules(settings: Settings) -> ClaimRules:
    is_cognito = bool(settings.cognito_user_pool_id)
    return ClaimRules(
        issuer=settings.cognito_issuer or settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_s=settings.jwt_leeway_s,
        user_claim=settings.jwt_user_claim,
        tenant_claim=settings.jwt_tenant_claim,
        default_tenant=settings.jwt_default_tenant,
        token_uses=frozenset(settings.cognito_token_use if is_cognito else ()),
        client_ids=frozenset(settings.cognito_client_ids),
    )


def create_app(settings: Settings, backends: Backends | None = None, clock: Clock = time.time) -> FastAPI:
    """The ASGI application. Raises SettingsError when there is no key to check tokens with."""
    if not settings.checks_tokens:
        raise SettingsError(["SSE_JWT_SECRET is not set, nor SSE_JWKS_URL, nor SSE_COGNITO_USER_POOL_ID"])
    chosen = backends or make_backends(settings, clock)
    metrics = chosen.metrics
    hub = Hub(settings, chosen.log, metrics, clock=clock, broker=chosen.broker)

    def deliver(batch: Batch) -> None:
        hub.accept(batch)
        chosen.broker.notify(batch)

    publisher = Publisher(
        chosen.log,
        deliver,
        metrics,
        clock=clock,
        max_event_bytes=settings.max_event_bytes,
        timeout_s=settings.publish_timeout_s,
    )
    stores = ChatStores(chosen.messages, chosen.conversations, chosen.claims, chosen.inbox, chosen.jobs, chosen.uploads)
    chat = ChatService(publisher, stores, load(settings.responder), metrics, settings, clock)
    keys = _make_keys(settings)
    rules = _claim_rules(settings)
    verifier = KeySetVerifier(keys.lookup, rules) if keys else SecretVerifier(settings.jwt_secret, rules)
    tickets = Tickets(chosen.sessions, clock, settings.ticket_ttl_s)
    virtual = _make_virtual(settings, metrics, clock)

    async def tell(moved: Moved) -> None:
        await hub.tell(moved)
        if virtual:
            await virtual.tell(moved)

    transports = Transports(settings, chosen.flags, tell, metrics.registry)
    services = Services(
        settings, verifier, hub, chat, tickets, Rates(settings, time.monotonic), metrics, clock, transports, virtual
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await chosen.log.start()
        if keys:
            await keys.ensure("")  # an issuer that is away now is asked again with the first token
        await chat.start()
        if virtual:
            await virtual.start()
        if services.pages:
            await services.pages.start()
        await transports.start()
        await chosen.broker.start(hub)
        hub.start()
        if chosen.ingest is not None:
            await chosen.ingest.start(ingest(chat))
        services.is_started = True
        try:
            yield
        finally:
            services.is_started = False
            if chosen.ingest is not None:
                await chosen.ingest.close()
            # Under our own server the streams have ended already; under another one they end here.
            await services.drain(settings.grace_s)
            await transports.close()
            if virtual:
                await virtual.close()
            if services.pages:
                await services.pages.close()
            await publisher.close()
            await chat.close()
            await chosen.broker.close()
            await hub.close()
            await chosen.log.close()
            if keys:
                await keys.close()

    # A redirect would repeat the URL with its query in a header; a path with one slash too many is not there.
    # No page of the framework: it loads its scripts from elsewhere. /openapi.json is what tools read.
    app = Outermost(
        title="sse-service", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.services = services
    problems.install(app)
    app.add_middleware(NoTokenInUrl)
    if keys:
        app.add_middleware(KeysFirst, keys=keys)
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=list(settings.cors_origins),
            # The session cookie of a stream; never for pages of just any origin.
            allow_credentials="*" not in settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "last-event-id", "x-request-id"],
            expose_headers=["x-request-id", "retry-after"],
            max_age=600,
        )
    app.add_middleware(
        RequestContext,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        proxies=TrustedProxies(settings.forwarded_allow_ips),
    )
    app.add_middleware(QuickPublishes, quick=QuickPublish(services), body_timeout_s=settings.body_timeout_s)
    app.include_router(chat_router, tags=["chat"])
    app.include_router(inbox_router, tags=["chat"])
    app.include_router(work_router, tags=["responder"])
    app.include_router(stream_router, tags=["streams"])
    app.include_router(ticket_router, tags=["streams"])
    app.include_router(transport_router, tags=["streams"])
    app.include_router(health_router, tags=["operation"])
    if virtual:
        from sse_service.api.virtual import virtual_router

        app.include_router(virtual_router(virtual))
    if settings.pages:
        from sse_service.pages.part import add_pages

        services.pages = add_pages(app, settings, clock)
    app.openapi = openapi_of(app)  # type: ignore[method-assign]
    return app
