"""The body of an ingest message: what POST /api/events takes, with the tenant, which no token names here."""

from __future__ import annotations

from math import inf

from pydantic import Field, ValidationError

from sse_service.api.models import EventsIn, event_in
from sse_service.auth import SCOPE_PUBLISH, Principal
from sse_service.chat import ChatService
from sse_service.errors import InvalidInputError
from sse_service.events import check_name
from sse_service.ports import TakeEvents

__all__ = ["INGEST_USER", "ingest"]

INGEST_USER = "ingest"
"""Origin of events that name none, and creator of conversations that are ensured."""


class _IngestIn(EventsIn):
    """{"tenant": str, "events": [...]}"""

    tenant: str = Field(min_length=1, max_length=200)


def ingest(chat: ChatService) -> TakeEvents:
    """What publishes a message's events, once however often it comes."""

    async def take(body: str, message_id: str) -> bool:
        try:
            found = _IngestIn.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidInputError(where or "body", first["msg"]) from None
        except ValueError:
            raise InvalidInputError("body", "is not valid JSON in valid Unicode") from None
        tenant = check_name("tenant", found.tenant)
        for number, item in enumerate(found.events):
            # SQS delivers at least once, always with the same message id.
            item.key = item.key or f"sqs:{message_id}:{number}"
        principal = Principal(INGEST_USER, tenant, frozenset({SCOPE_PUBLISH}), inf)
        published = await chat.publish_events(principal, [event_in(item) for item in found.events])
        return not all(one.was_there for one in published)

    return take
