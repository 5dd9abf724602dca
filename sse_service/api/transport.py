"""`GET /api/transport?feature=`: on which transport the caller is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from sse_service.api.identity import authenticate, services_of
from sse_service.api.models import TransportOut
from sse_service.errors import InvalidInputError
from sse_service.flags import is_feature

__all__ = ["transport_router"]

transport_router = APIRouter()

_PATTERN = "^[A-Za-z0-9._-]{1,64}$"


@transport_router.get(
    "/api/transport",
    response_model=TransportOut,
    summary="Which transport the caller is to use for a feature: websocket or sse",
)
async def transport(
    request: Request,
    response: Response,
    feature: Annotated[str, Query(description="name of the feature", json_schema_extra={"pattern": _PATTERN})],
) -> dict[str, object]:
    principal = authenticate(request)
    if not is_feature(feature):
        raise InvalidInputError("feature", "1 to 64 letters, digits, '.', '_' or '-'")
    response.headers["cache-control"] = "no-store"
    return services_of(request).transports.answer(feature, principal.tenant, principal.user)
