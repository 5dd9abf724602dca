"""The connection core: what a WebSocket API does, without a socket, a clock or an event loop.

Routes, events, authorizers, life cycle and limits behave as Amazon API Gateway documents them; each module
names its pages. Two transports drive the same core: WebSocket frames, and the virtual connections of this
service (a stream of server-sent events with POST for the way up).

    definition   what an API is          selection    which route takes a message
    events       what handlers are given authorizer   who may connect
    integration  what answers become     templates    mapping templates, as far as plain references go
    lifecycle    states, causes, times   limits       sizes and times
    frames       the gateway's own words throttle     token bucket

Nothing here imports anything else of this project.
"""

from sse_service.connections.authorizer import (
    Grant,
    evaluate_failure,
    evaluate_result,
    identity_sources_present,
)
from sse_service.connections.definition import (
    CONNECT,
    DEFAULT,
    DISCONNECT,
    ApiDefinition,
    AuthorizationType,
    Authorizer,
    Integration,
    IntegrationResponse,
    IntegrationType,
    Route,
    StageSettings,
    Throttle,
)
from sse_service.connections.events import ConnectionFacts, Handshake
from sse_service.connections.frames import GatewayError, Refusal, error_frame
from sse_service.connections.integration import Accept, ProxyResponse, judge_connect, parse_proxy_response
from sse_service.connections.lifecycle import CloseCause, CloseStatus, Event, State, advance
from sse_service.connections.limits import AWS_LIMITS, ConnectionLimits
from sse_service.connections.selection import SelectionExpression, select_route_key
from sse_service.connections.throttle import TokenBucket

__all__ = [
    "AWS_LIMITS",
    "CONNECT",
    "DEFAULT",
    "DISCONNECT",
    "Accept",
    "ApiDefinition",
    "AuthorizationType",
    "Authorizer",
    "CloseCause",
    "CloseStatus",
    "ConnectionFacts",
    "ConnectionLimits",
    "Event",
    "GatewayError",
    "Grant",
    "Handshake",
    "Integration",
    "IntegrationResponse",
    "IntegrationType",
    "ProxyResponse",
    "Refusal",
    "Route",
    "SelectionExpression",
    "StageSettings",
    "State",
    "Throttle",
    "TokenBucket",
    "advance",
    "error_frame",
    "evaluate_failure",
    "evaluate_result",
    "identity_sources_present",
    "judge_connect",
    "parse_proxy_response",
    "select_route_key",
]
