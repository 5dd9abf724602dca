"""What becomes of a back end's answer.

Sources:
- "Set up route responses for WebSocket APIs": the answer reaches the client only when the route has a route
  response; "For proxy integrations, API Gateway automatically passes the backend output to the caller as the
  complete payload. There is no integration response" (apigateway-websocket-api-integration-responses.html).
- $connect page: "If the $connect request fails (e.g., due to AuthN/AuthZ failure or an integration failure),
  the connection will not be made"; its status code is the handshake's.
- "Set up a $connect route that requires a WebSocket subprotocol" (websocket-connect-route-subprotocol.html):
  the Sec-WebSocket-Protocol header comes from the integration's response, and only from there.
- Knowledge Center "malformed-502-api-gateway": the form a Lambda proxy response must have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sse_service.connections.errors import MalformedProxyResponseError
from sse_service.connections.frames import Refusal
from sse_service.connections.jsonpath import parse_json


@dataclass(frozen=True)
class ProxyResponse:
    """A proxy integration's answer; `body` is None when there is none."""

    status: int
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """A header whatever its spelling."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


def parse_proxy_response(payload: bytes) -> ProxyResponse:
    """Read what a Lambda function returned to a proxy integration.

    Shape: {"statusCode": int, "headers"?: {str: scalar}, "multiValueHeaders"?: {...}, "body"?: str,
    "isBase64Encoded"?: bool}.
    Raises MalformedProxyResponseError for anything else.
    """
    try:
        answer = parse_json(payload.decode())
    except ValueError as error:
        raise MalformedProxyResponseError("not JSON") from error
    if not isinstance(answer, dict):
        raise MalformedProxyResponseError("not an object")
    body = answer.get("body")
    if body is not None and not isinstance(body, str):
        raise MalformedProxyResponseError("body is not a string")
    return ProxyResponse(_status(answer.get("statusCode")), body, _headers(answer))


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
        raise MalformedProxyResponseError("statusCode is no HTTP status code")
    return value


def _headers(answer: Mapping[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}
    multi = {} if answer.get("multiValueHeaders") is None else answer["multiValueHeaders"]
    single = {} if answer.get("headers") is None else answer["headers"]
    if not isinstance(multi, dict) or not isinstance(single, dict):
        raise MalformedProxyResponseError("headers are not an object")
    for name, values in multi.items():
        if isinstance(values, list) and values:
            headers[name] = str(values[-1])
    for name, value in single.items():
        if isinstance(value, dict | list):
            raise MalformedProxyResponseError("a header is not a string")
        if value is not None:
            headers[name] = str(value)
    return headers


@dataclass(frozen=True)
class Accept:
    """The handshake succeeds, with the subprotocol the integration chose, if any."""

    subprotocol: str | None = None


def judge_connect(response: ProxyResponse) -> Accept | Refusal:
    """Whether the answer of `$connect`'s integration lets the connection be made: any 2xx does."""
    if not response.ok:
        # The text is ours: what the handler wrote does not go to somebody whom it has just refused.
        return Refusal(response.status, "Connection refused by the $connect integration")
    protocol = response.header("Sec-WebSocket-Protocol")
    return Accept(protocol if protocol and is_token(protocol) else None)


def is_token(text: str) -> bool:
    """Whether a text may stand in an HTTP header as a token (RFC 9110, 5.6.2)."""
    return bool(text) and all(
        character.isascii() and (character.isalnum() or character in "!#$%&'*+-.^_`|~") for character in text
    )


def message_for_client(response: ProxyResponse, *, two_way: bool) -> str | None:
    """The frame a message's answer becomes: with a route response the body whatever the status, else
    nothing."""
    return (response.body or "") if two_way else None
