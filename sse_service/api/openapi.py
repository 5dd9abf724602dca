"""The OpenAPI document: what FastAPI sees, and what it cannot see.

That is the token, how errors look, what text of a kind may contain (checked by the domain, not by the models),
and events of a stream. A text/event-stream is described by its event, as documents before OpenAPI 3.2 do, whose
`itemSchema` says the same. tests/sse_service/test_openapi_fuzz.py drives the service by this document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sse_service.events import MAX_KEY, MAX_NAME, MAX_TOPIC, RESERVED_TYPES
from sse_service.settings import Settings
from sse_service.wire import MEDIA_TYPE

__all__ = ["openapi_of"]

_NO_CONTROL = r"^[^\u0000-\u001f\u007f]+$"
_RESERVED = "|".join(sorted(RESERVED_TYPES))

_NAME = {"pattern": _NO_CONTROL, "minLength": 1, "maxLength": MAX_NAME}
_KEY = {"pattern": _NO_CONTROL, "minLength": 1, "maxLength": MAX_KEY}
_DAY = (
    r"([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|20([02468][048]|[13579][26])-02-29)"
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z"
_SECONDS = {"pattern": rf"^([0-9]{{1,10}}(\.[0-9]{{1,6}})?|{_DAY}T{_CLOCK})?$"}
_MEDIA_TYPE = {"pattern": "^[a-z]+/[a-z0-9.+-]+$"}

FIELDS: dict[str, dict[str, Any]] = {
    "conversationId": _NAME,
    "participants": _NAME,
    "userName": _NAME,
    "idempotencyKey": _KEY,
    "key": _KEY,
    "origin": {**_NAME, "maxLength": 64},
    "type": {"pattern": rf"^(?!({_RESERVED})$)[A-Za-z0-9_.:/-]{{1,64}}$", "minLength": 1, "maxLength": 64},
    "before": _SECONDS,
    "after": _SECONDS,
    "with": _NAME,
    "user": _NAME,
    "name": _NAME,
    "excludeUser": _NAME,
    "chat_id": _NAME,
    "message_id": _NAME,
    "messageId": _KEY,
    "agent_id": _NAME,
    "library_id": _NAME,
    "run_id": _NAME,
    "job_id": _NAME,
    "uploadId": {"pattern": "^[0-9a-f]{32}$"},
    "contentType": _MEDIA_TYPE,
    "upTo": _SECONDS,
}
"""What text under a name must look like, wherever the name occurs in a request."""

_EVENT = {
    "type": "object",
    "description": "One event; `data` is JSON text.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "the position to come back with, as Last-Event-ID"},
        "event": {"type": "string"},
        "retry": {"type": "integer", "description": "milliseconds to wait before coming back"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "requestId"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:sse-service:"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "requestId": {"type": "string", "description": "the same as in X-Request-Id and in the service's log"},
        "field": {"type": "string", "description": "what is wrong, where it is one field"},
    },
}
_ERRORS = {
    "400": "a field is not what it must be",
    "401": "no token, or not a valid one",
    "403": "the token does not permit this",
    "404": "it is not there",
    "408": "the request did not arrive in time",
    "413": "larger than the limit",
    "414": "path and query are too long",
    "429": "too often, or too many open streams; see Retry-After",
    "431": "the headers are too large",
    "500": "the service failed; its log has the reason under the request id",
    "503": "a store is away or the service goes down; repeat after Retry-After",
}


def openapi_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _complete(
                get_openapi(
                    title="sse-service",
                    version=app.version,
                    description="Server-Sent Events with resume, chat and publishing. "
                    "Errors are application/problem+json; every answer carries X-Request-Id.",
                    routes=app.routes,
                ),
                app.state.services.settings,
            )
        return app.openapi_schema

    return openapi


def _fields(settings: Settings) -> dict[str, dict[str, Any]]:
    kinds = "|".join(re.escape(kind) for kind in settings.topic_kinds)
    topic = rf"({kinds}):[^\u0000-\u001f\u007f]+"
    one = {"pattern": f"^{topic}$", "minLength": 3, "maxLength": MAX_TOPIC}
    return {**FIELDS, "topic": one, "topics": {**one, "pattern": rf"^(\*|{topic})$", "minLength": 1}}


def _complete(schema: dict[str, Any], settings: Settings) -> dict[str, Any]:
    fields, max_topics = _fields(settings), settings.max_topics
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    }
    schemas = components.setdefault("schemas", {})
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            _complete_operation(operation, fields, max_topics, is_public=not _is_api(path))
    for model in schemas.values():
        _describe_fields(model.get("properties", {}), fields, max_topics)
    schemas["Problem"], schemas["ServerSentEvent"] = _PROBLEM, _EVENT
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return schema


def _is_api(path: str) -> bool:
    return path.startswith(("/api/", "/chat/"))


def _complete_operation(
    operation: dict[str, Any], fields: dict[str, dict[str, Any]], max_topics: int, *, is_public: bool
) -> None:
    answers = operation["responses"]
    answers.pop("422", None)  # answered as 400
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for answer in answers.values():
        if MEDIA_TYPE in answer.get("content", {}):
            answer["content"][MEDIA_TYPE]["schema"] = {"$ref": "#/components/schemas/ServerSentEvent"}
    for status, description in _ERRORS.items():
        if not is_public or status in {"408", "413", "414", "431", "500"}:
            answers.setdefault(status, {"description": description, "content": content})
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        answers.setdefault("415", {"description": "the Content-Type is not application/json", "content": content})
    if is_public:
        return
    operation["security"] = [{"bearer": []}]
    for parameter in operation.get("parameters", []):
        _describe_fields({parameter["name"]: parameter["schema"]}, fields, max_topics)


def _describe_fields(properties: dict[str, Any], fields: dict[str, dict[str, Any]], max_topics: int) -> None:
    for name, schema in properties.items():
        if name in {"topic", "topics", "conversationId"}:
            for part in [schema, *schema.get("anyOf", [])]:
                if part.get("type") == "array":
                    part["maxItems"] = max_topics
        for text in _texts(schema):
            for keyword, value in fields.get(name, {}).items():
                text.setdefault(keyword, value)


def _texts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a schema that describe text."""
    if schema.get("type") == "string":
        yield schema
    for part in [*schema.get("anyOf", []), schema.get("items", {})]:
        if isinstance(part, dict) and part:
            yield from _texts(part)
