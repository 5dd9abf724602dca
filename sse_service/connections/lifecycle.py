"""Life cycle of a connection: states, events, the transition table, causes of an end, deadlines.

Theory of operation. A connection is CONNECTING from the upgrade request until `$connect` (authorizer and
integration) has answered; until then it "is pending and the actual connection will not be established", and
posting to it is answered with 410. It is OPEN until either side starts to close it. CLOSING means that our
close frame is out and the client's is awaited; posting is 410 again. CLOSED is final, and only then does
`$disconnect` run ("the connection is already closed when it is executed").

Every state change goes through `advance`; a pair without a row is a mistake of the caller and raises.

Sources: "Manage connected users and client apps: $connect and $disconnect routes"
(apigateway-websocket-api-route-keys-connect-disconnect.html); quotas page (limits.py);
"Binary media types for WebSocket APIs" (close code 1003); AWS Knowledge Center "410 GoneException".
"""

from dataclasses import dataclass
from enum import StrEnum

from sse_service.connections.errors import IllegalTransitionError
from sse_service.connections.limits import ConnectionLimits


class State(StrEnum):
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Event(StrEnum):
    ACCEPTED = "accepted"
    """`$connect` allowed the connection."""
    REFUSED = "refused"
    """The authorizer, the integration or a limit refused it."""
    CLOSE_SENT = "close sent"
    """We started to close (a limit, @connections DELETE, shutdown)."""
    CLOSE_RECEIVED = "close received"
    """The client's close frame arrived; the echo is sent with it."""
    LOST = "lost"
    """The transport ended, with or without a closing handshake."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CONNECTING: {
        Event.ACCEPTED: State.OPEN,
        Event.REFUSED: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.OPEN: {
        Event.CLOSE_SENT: State.CLOSING,
        Event.CLOSE_RECEIVED: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.CLOSING: {
        Event.CLOSE_RECEIVED: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.CLOSED: {},
}


def advance(state: State, event: Event) -> State:
    """The next state. Raises IllegalTransitionError for a pair the table does not have."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransitionError(state.value, event.value) from None


@dataclass(frozen=True)
class CloseStatus:
    """A close code and the reason that `$disconnect` gets; `wire_reason` is what the client's close frame
    says."""

    code: int
    reason: str
    wire_reason: str = ""


class CloseCause(StrEnum):
    """Why the service closed a connection; `CLOSE_STATUS` has the code and reason of each."""

    DELETED = "deleted"
    IDLE = "idle"
    LIFETIME = "lifetime"
    SHUTDOWN = "shutdown"
    API_DELETED = "api deleted"
    BINARY = "binary frame"
    INVALID_TEXT = "invalid text"
    TOO_BIG = "too big"
    PROTOCOL_ERROR = "protocol error"

    @property
    def status(self) -> CloseStatus:
        return CLOSE_STATUS[self]


CLOSE_STATUS = {
    # What users' logs show for @connections DELETE (boto3 issue 3789).
    CloseCause.DELETED: CloseStatus(1000, "Connection Closed Normally"),
    # RFC 6455's code for an endpoint that goes away; AWS documents no code for age and idleness.
    CloseCause.IDLE: CloseStatus(1001, "Going away", "Going away"),
    CloseCause.LIFETIME: CloseStatus(1001, "Going away", "Going away"),
    CloseCause.SHUTDOWN: CloseStatus(1001, "Going away", "Service is stopping"),
    CloseCause.API_DELETED: CloseStatus(1001, "Going away", "API or stage was deleted"),
    # Documented: binary media types page (1003), quotas page (1009).
    CloseCause.BINARY: CloseStatus(1003, "Binary frames are not supported", "Binary frames are not supported"),
    CloseCause.TOO_BIG: CloseStatus(1009, "Message too big", "Message too big"),
    # RFC 6455, 7.4.1.
    CloseCause.INVALID_TEXT: CloseStatus(1007, "Invalid UTF-8", "Invalid UTF-8"),
    CloseCause.PROTOCOL_ERROR: CloseStatus(1002, "Protocol error", "Protocol error"),
}

ABNORMAL = CloseStatus(1006, "Connection Closed Abnormally")
"""The transport ended without a close frame (RFC 6455, 7.1.5)."""

NO_STATUS_REASON = "Client-side close frame status not set"
"""AWS's reason for a client's close frame without a code, reported with 1005 (recorded events in
aws-powertools/powertools-lambda-python, tests/events/apiGatewayWebSocketApiDisconnect.json)."""


def client_close_status(code: int | None, reason: str) -> CloseStatus:
    """What `$disconnect` reports for a client's close frame; `code` is None (or 1005) for an empty frame."""
    if code is None or code == 1005:
        return CloseStatus(1005, NO_STATUS_REASON)
    return CloseStatus(code, reason)


def next_deadline(limits: ConnectionLimits, opened_s: float, last_message_s: float) -> tuple[float, CloseCause]:
    """When the connection is to be closed, on the clock of the arguments, if nothing happens before."""
    idle = last_message_s + limits.idle_s
    age = opened_s + limits.lifetime_s
    return (idle, CloseCause.IDLE) if idle < age else (age, CloseCause.LIFETIME)
