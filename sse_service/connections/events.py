"""The events a WebSocket API sends to its integrations and authorizers, complete and in AWS's shape.

Sources: "Control access to WebSocket APIs with AWS Lambda REQUEST authorizers"
(apigateway-websocket-api-lambda-auth.html) for the authorizer's input; "WebSocket API mapping template
reference" (apigateway-websocket-api-mapping-template-reference.html) for the fields of the context; recorded
events of real APIs in aws-powertools/powertools-lambda-python, tests/events/apiGatewayWebSocketApi*.json, for
where headers appear: all of them on CONNECT (without Connection and Upgrade), none on MESSAGE, four on
DISCONNECT.

Times come in as milliseconds since the epoch, ids as strings; nothing here reads a clock or a random source.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from sse_service.connections.definition import CONNECT, DISCONNECT
from sse_service.connections.lifecycle import CloseStatus

ID_BYTES: Final = 11
"""Random bytes behind a connection, message or request id."""
_ID = re.compile(r"[A-Za-z0-9_-]{15}=")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Recorded $connect events do not have them; the authorizer's documented input does.
_HOP_HEADERS = frozenset({"connection", "upgrade", "content-length"})


def format_id(random: bytes) -> str:
    """An id in API Gateway's form, `BFaT_fALIAMCKug=`, from ID_BYTES random bytes."""
    return base64.urlsafe_b64encode(random[:ID_BYTES]).decode("ascii")


def is_id(text: str) -> bool:
    """Whether a text has the form of a connection id (posting to anything else is a bad request)."""
    return _ID.fullmatch(text) is not None


@lru_cache(maxsize=8)
def _clf_of_second(epoch_s: int) -> str:
    at = datetime.fromtimestamp(epoch_s, UTC)
    # Not strftime: %b follows the process's locale.
    return f"{at.day:02}/{_MONTHS[at.month - 1]}/{at.year}:{at.hour:02}:{at.minute:02}:{at.second:02} +0000"


def clf_time(epoch_ms: int) -> str:
    """`$context.requestTime`: dd/MMM/yyyy:HH:mm:ss +hhmm, always UTC."""
    return _clf_of_second(epoch_ms // 1000)


@dataclass(frozen=True)
class Handshake:
    """What the client sent to connect. `headers` keep the client's spelling and order."""

    headers: Sequence[tuple[str, str]]
    query: str = ""
    """The raw query string, without `?`."""

    def header(self, name: str) -> str | None:
        """The last value of a header, whatever its spelling."""
        wanted = name.lower()
        return next((value for key, value in reversed(self.headers) if key.lower() == wanted), None)

    def query_pairs(self) -> list[tuple[str, str]]:
        """Decoded query parameters in order, blank ones included."""
        return parse_qsl(self.query, keep_blank_values=True)


@dataclass(frozen=True)
class ConnectionFacts:
    """What stays the same over a connection's life."""

    api_id: str
    stage: str
    connection_id: str
    connected_at_ms: int
    domain_name: str
    source_ip: str
    user_agent: str | None = None
    authorizer: Mapping[str, Any] | None = None
    """principalId and the stringified context of the REQUEST authorizer."""
    stage_variables: Mapping[str, str] = field(default_factory=dict)


def method_arn(region: str, account_id: str, api_id: str, stage: str, route_key: str = CONNECT) -> str:
    """`arn:aws:execute-api:{region}:{account}:{api}/{stage}/$connect`."""
    return f"arn:aws:execute-api:{region}:{account_id}:{api_id}/{stage}/{route_key}"


def request_context(
    facts: ConnectionFacts, route_key: str, event_type: str, *, request_id: str, now_ms: int, **extra: Any
) -> dict[str, Any]:
    """The `requestContext` of any event; `extra` are the fields of one event type."""
    identity = {"sourceIp": facts.source_ip}
    if facts.user_agent is not None:
        identity = {"userAgent": facts.user_agent, **identity}
    context: dict[str, Any] = {"routeKey": route_key, **extra}
    if facts.authorizer is not None:
        context["authorizer"] = facts.authorizer
    context.update(
        eventType=event_type,
        extendedRequestId=request_id,
        requestTime=clf_time(now_ms),
        messageDirection="IN",
        stage=facts.stage,
        connectedAt=facts.connected_at_ms,
        requestTimeEpoch=now_ms,
        identity=identity,
        requestId=request_id,
        domainName=facts.domain_name,
        connectionId=facts.connection_id,
        apiId=facts.api_id,
    )
    return context


def _forwarded_headers(facts: ConnectionFacts, handshake: Handshake, trace_id: str) -> list[tuple[str, str]]:
    # Host is the API's own domain, as on AWS: handlers build their management endpoint from it.
    ours = {
        "Host": facts.domain_name,
        "X-Amzn-Trace-Id": trace_id,
        "X-Forwarded-For": facts.source_ip,
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    replaced = {name.lower() for name in ours} | _HOP_HEADERS
    theirs = [(name, value) for name, value in handshake.headers if name.lower() not in replaced]
    return sorted([*ours.items(), *theirs], key=lambda pair: pair[0].lower())


def _multi(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def connect_event(
    facts: ConnectionFacts, handshake: Handshake, *, request_id: str, trace_id: str, now_ms: int
) -> dict[str, Any]:
    """The event of the `$connect` route; query parameters appear only when there are some."""
    headers = _forwarded_headers(facts, handshake, trace_id)
    query = handshake.query_pairs()
    event: dict[str, Any] = {"headers": dict(headers), "multiValueHeaders": _multi(headers)}
    if query:
        event["queryStringParameters"] = dict(query)
        event["multiValueQueryStringParameters"] = _multi(query)
    if facts.stage_variables:
        event["stageVariables"] = dict(facts.stage_variables)
    event["requestContext"] = request_context(facts, CONNECT, "CONNECT", request_id=request_id, now_ms=now_ms)
    event["isBase64Encoded"] = False
    return event


def authorizer_event(
    facts: ConnectionFacts,
    handshake: Handshake,
    *,
    arn: str,
    request_id: str,
    trace_id: str,
    now_ms: int,
) -> dict[str, Any]:
    """The input of a REQUEST authorizer; `arn` is `method_arn(...)`. Query and stage variables are always
    there."""
    headers = sorted(
        [
            *_forwarded_headers(facts, handshake, trace_id),
            ("Connection", "upgrade"),
            ("content-length", "0"),
            ("Upgrade", "websocket"),
        ],
        key=lambda pair: pair[0].lower(),
    )
    query = handshake.query_pairs()
    return {
        "type": "REQUEST",
        "methodArn": arn,
        "headers": dict(headers),
        "multiValueHeaders": _multi(headers),
        "queryStringParameters": dict(query),
        "multiValueQueryStringParameters": _multi(query),
        "stageVariables": dict(facts.stage_variables),
        "requestContext": request_context(facts, CONNECT, "CONNECT", request_id=request_id, now_ms=now_ms),
    }


def message_event(
    facts: ConnectionFacts, route_key: str, body: str, *, message_id: str, request_id: str, now_ms: int
) -> dict[str, Any]:
    """The event of a message: no headers, no query, the body as the client sent it."""
    event: dict[str, Any] = {}
    if facts.stage_variables:
        event["stageVariables"] = dict(facts.stage_variables)
    event["requestContext"] = request_context(
        facts, route_key, "MESSAGE", request_id=request_id, now_ms=now_ms, messageId=message_id
    )
    event["body"] = body
    event["isBase64Encoded"] = False
    return event


def disconnect_event(facts: ConnectionFacts, status: CloseStatus, *, request_id: str, now_ms: int) -> dict[str, Any]:
    """The event of the `$disconnect` route."""
    headers = {"Host": facts.domain_name, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    event: dict[str, Any] = {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
    }
    if facts.stage_variables:
        event["stageVariables"] = dict(facts.stage_variables)
    event["requestContext"] = request_context(
        facts,
        DISCONNECT,
        "DISCONNECT",
        request_id=request_id,
        now_ms=now_ms,
        disconnectStatusCode=status.code,
        disconnectReason=status.reason,
    )
    event["isBase64Encoded"] = False
    return event
