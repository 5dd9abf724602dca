"""What API Gateway itself says to a client: error frames on the socket, bodies of refused handshakes.

The form `{"message": "...", "connectionId":"...", "requestId":"..."}`, spaces included, is the one recorded
in nearst/laconia issue 41 and aws-samples/simple-websockets-chat-app issues 24, 42 and 46. Texts never
contain anything a back end or the client wrote.
"""

from dataclasses import dataclass
from enum import StrEnum


class GatewayError(StrEnum):
    """Texts of the gateway's own errors."""

    FORBIDDEN = "Forbidden"
    """No route takes the message and there is no `$default` ("the service returns an error")."""
    INTERNAL = "Internal server error"
    """The integration failed, answered with something malformed, or is missing."""
    TIMEOUT = "Endpoint request timed out"
    """The integration took longer than its limit."""
    THROTTLED = "Too Many Requests"
    """The stage's or route's throttle is used up."""


def error_frame(error: GatewayError, connection_id: str, request_id: str) -> bytes:
    """One text frame for the client."""
    return b'{"message": "%b", "connectionId":"%b", "requestId":"%b"}' % (
        error.value.encode(),
        connection_id.encode(),
        request_id.encode(),
    )


@dataclass(frozen=True)
class Refusal:
    """Why a handshake is refused: HTTP status, text of the body, AWS's error type for the header."""

    status: int
    message: str
    error_type: str = ""

    def body(self, connection_id: str, request_id: str) -> bytes:
        """The JSON body; `message` is one of ours, free of characters that JSON escapes."""
        return b'{"message": "%b", "connectionId":"%b", "requestId":"%b"}' % (
            self.message.encode(),
            connection_id.encode(),
            request_id.encode(),
        )


# Status codes: "If authorization fails on $connect, the connection will not be established, and the client
# will receive a 401 or 403 response" ($connect page); the others as "Gateway response types" lists them.
UNAUTHORIZED = Refusal(401, "Unauthorized", "UnauthorizedException")
FORBIDDEN = Refusal(403, "Forbidden", "ForbiddenException")
MISSING_TOKEN = Refusal(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
DENIED = Refusal(403, "User is not authorized to access this resource with an explicit deny", "AccessDeniedException")
NOT_ALLOWED = Refusal(403, "User is not authorized to access this resource", "AccessDeniedException")
URI_TOO_LONG = Refusal(414, "Request URI too long", "RequestURITooLongException")
THROTTLED = Refusal(429, "Too Many Requests", "TooManyRequestsException")
AUTHORIZER_FAILED = Refusal(500, "Internal server error", "AuthorizerConfigurationException")
CONFIGURATION = Refusal(500, "Internal server error", "InternalServerErrorException")
INTEGRATION_FAILED = Refusal(502, "Internal server error", "InternalServerErrorException")
UNAVAILABLE = Refusal(503, "Service Unavailable", "ServiceUnavailableException")
INTEGRATION_TIMEOUT = Refusal(504, "Endpoint request timed out", "EndpointRequestTimedOutException")
