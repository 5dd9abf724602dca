"""Who sends a request: the token in its Authorization header or, for development, a header of its own."""

from __future__ import annotations

from fastapi import Request

from sse_service.addresses import is_loopback
from sse_service.auth import Principal, bearer_token, refuse_token_in_url
from sse_service.errors import InvalidInputError, UnauthorizedError
from sse_service.events import check_name
from sse_service.logs import note
from sse_service.services import Services

__all__ = ["authenticate", "services_of"]

DEV_USER = "x-user-id"
DEV_TENANT = "x-tenant-id"
DEV_TTL_S = 86400.0


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def authenticate(request: Request) -> Principal:
    """The caller; its request that changes something is counted. Raises UnauthorizedError, RateLimitedError."""
    services = services_of(request)
    refuse_token_in_url(request.query_params.keys())
    header = request.headers.get("authorization")
    principal = _developer(request) if services.settings.dev_auth and not header else None
    if principal is None:
        principal = services.verifier.verify(bearer_token(header), services.clock())
    note(userId=principal.user)
    if request.method not in {"GET", "HEAD"}:
        services.rates.act(principal)
    return principal


def _developer(request: Request) -> Principal | None:
    """Whoever X-User-Id says (fault 14 of the old stack: forgeable, so only with SSE_DEV_AUTH=1 and only here).

    The peer and the address that was asked for must both be this machine: a page that has its own name resolved
    to 127.0.0.1 asks for that name.
    """
    user = request.headers.get(DEV_USER)
    if user is None:
        return None
    forwarded = {"x-forwarded-for", "forwarded", "x-real-ip"} & set(request.headers.keys())
    peer = request.client.host if request.client else ""
    if forwarded or not is_loopback(peer) or not is_loopback(request.url.hostname or ""):
        raise UnauthorizedError(f"{DEV_USER} counts for clients on this machine only")
    tenant = request.headers.get(DEV_TENANT, "demo")
    try:
        names = check_name(DEV_USER, user), check_name(DEV_TENANT, tenant)
    except InvalidInputError as error:
        raise UnauthorizedError(str(error)) from None
    return Principal(*names, frozenset(), services_of(request).clock() + DEV_TTL_S)
