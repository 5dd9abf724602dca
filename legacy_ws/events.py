"""API Gateway WebSocket events as Lambda gets them, turned into one typed value. until phase 3

Pure. Source: Amazon API Gateway developer guide, "Set up a WebSocket API integration request" and "API
Gateway WebSocket API mapping template reference" (`$context` variables).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from legacy_ws.errors import MalformedEventError

__all__ = ["WebSocketEvent", "parse_event", "text_body"]


@dataclass(frozen=True, slots=True)
class WebSocketEvent:
    """What the handlers need of one event; times in milliseconds since the epoch, None when absent."""

    connection_id: str
    request_id: str
    route_key: str
    event_type: str
    domain_name: str
    stage: str
    body: str | None = None
    is_base64: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    authorizer: Mapping[str, object] = field(default_factory=dict)
    connected_at_ms: int | None = None
    request_time_ms: int | None = None
    disconnect_code: int | None = None
    source_ip: str | None = None
    user_agent: str | None = None

    @property
    def management_url(self) -> str:
        """Where `@connections` of this API answers: `https://{domainName}/{stage}`."""
        return f"https://{self.domain_name}/{self.stage}"

    def authorized(self, name: str) -> str | None:
        """A value of the authorizer's context (API Gateway passes all of them as text), None when absent or
        empty.
        """
        value = self.authorizer.get(name)
        return value if isinstance(value, str) and value else None


def parse_event(raw: object) -> WebSocketEvent:
    """Turn one Lambda payload into a WebSocketEvent.

    Args:
        raw: {"requestContext": {"connectionId": str, "requestId": str, "routeKey": str, "eventType":
            "CONNECT"|"MESSAGE"|"DISCONNECT", "domainName": str, "stage": str, "connectedAt": ms,
            "requestTimeEpoch": ms, "identity"?: {"sourceIp"?: str, "userAgent"?: str}, "authorizer"?: {...}},
            "headers"?: {...}, "body"?: str, "isBase64Encoded": bool, "queryStringParameters"?: {...}}.
    Raises: MalformedEventError: `.path` names what is missing or has the wrong type.
    """
    if not isinstance(raw, Mapping):
        raise MalformedEventError("object")
    context = raw.get("requestContext")
    if not isinstance(context, Mapping):
        raise MalformedEventError("requestContext")
    body = raw.get("body")
    if body is not None and not isinstance(body, str):
        raise MalformedEventError("body")
    query = raw.get("queryStringParameters")
    authorizer = context.get("authorizer")
    return WebSocketEvent(
        connection_id=_text(context, "connectionId"),
        request_id=_text(context, "requestId"),
        route_key=_text(context, "routeKey"),
        event_type=_text(context, "eventType"),
        domain_name=_text(context, "domainName"),
        stage=_text(context, "stage"),
        body=body,
        is_base64=raw.get("isBase64Encoded") is True,
        query=query if isinstance(query, Mapping) else {},
        authorizer=authorizer if isinstance(authorizer, Mapping) else {},
        connected_at_ms=_milliseconds(context.get("connectedAt")),
        request_time_ms=_milliseconds(context.get("requestTimeEpoch")),
        disconnect_code=_milliseconds(context.get("disconnectStatusCode")),
        source_ip=_identity(context, "sourceIp"),
        user_agent=_identity(context, "userAgent") or _header(raw, "user-agent"),
    )


def text_body(event: WebSocketEvent) -> str | None:
    """The frame's text; None when there is none, or when a binary frame is not UTF-8 text."""
    if event.body is None or not event.is_base64:
        return event.body
    try:
        return base64.b64decode(event.body, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _text(context: Mapping[str, object], name: str) -> str:
    value = context.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedEventError(f"requestContext.{name}")
    return value


def _identity(context: Mapping[str, object], name: str) -> str | None:
    identity = context.get("identity")
    value = identity.get(name) if isinstance(identity, Mapping) else None
    return value if isinstance(value, str) and value else None


def _header(raw: Mapping[str, object], name: str) -> str | None:
    headers = raw.get("headers")
    for key, value in headers.items() if isinstance(headers, Mapping) else ():
        if str(key).lower() == name and isinstance(value, str) and value:
            return value
    return None


def _milliseconds(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
