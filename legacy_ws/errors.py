"""What can go wrong in `legacy_ws`, inside Lambda and on the command line. until phase 3

    LegacyWsError                     exit code 1
    ├── ClientInputError              a client's frame is at fault; the client gets `code` and `message`
    ├── MalformedEventError           a Lambda payload is not an API Gateway WebSocket event
    ├── ItemExistsError               a conditional put found an item under its key
    ├── SendError                     a frame did not reach a connection
    │   ├── ConnectionGoneError       410: the connection is over (or its handshake is not)
    │   └── SendFailedError           anything else; `retryable` says whether trying again can help
    ├── HandOffError                  another function or a queue did not take what was handed to it
    ├── ResponderError                the application's own logic broke its contract
    ├── TokenRefusedError             a token speaks for nobody (the authorizer makes it `Unauthorized`)
    ├── IdentityProviderError         the JWKS or Cognito could not be asked: nobody knows whose token it is
    ├── ConfigurationError            2   a setting is missing or wrong
    ├── UsageError                    2   a wrong argument, a thing that does not exist
    ├── StepFailedError               1   a deployment stopped half-way and can be continued
    ├── RefusedError                  5   refused: not ours, not confirmed, still in use
    └── StoppedError                130   somebody pressed Ctrl-C

Attributes first, the message is computed from them. No message holds a token or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ClientInputError",
    "ConfigurationError",
    "ConnectionGoneError",
    "HandOffError",
    "IdentityProviderError",
    "ItemExistsError",
    "LegacyWsError",
    "MalformedEventError",
    "RefusedError",
    "ResponderError",
    "SendError",
    "SendFailedError",
    "StepFailedError",
    "StoppedError",
    "TokenRefusedError",
    "UsageError",
]


class LegacyWsError(Exception):
    """Base of everything this package raises on purpose; `hint` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ClientInputError(LegacyWsError):
    """A frame of a client is at fault. `code` and `message` go to the client as they are: no internals in
    them.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MalformedEventError(LegacyWsError):
    """A Lambda payload lacks what every API Gateway WebSocket event has; `path` names the place."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the event has no usable {path}", "invoke this function through a WebSocket API")
        self.path = path


class ItemExistsError(LegacyWsError):
    """A conditional put found an item under its key; `existing` is that item when DynamoDB returned it."""

    def __init__(self, existing: Mapping[str, object] | None) -> None:
        super().__init__("an item with this key exists")
        self.existing = existing


class SendError(LegacyWsError):
    """A frame did not reach `connection_id`."""

    def __init__(self, connection_id: str, message: str) -> None:
        super().__init__(message)
        self.connection_id = connection_id


class ConnectionGoneError(SendError):
    """410: the connection does not exist (any more), or its `$connect` has not returned yet."""

    def __init__(self, connection_id: str) -> None:
        super().__init__(connection_id, f"connection {connection_id} is gone")


class SendFailedError(SendError):
    """A send failed for `reason` (an error code of AWS or of the HTTP client); the connection may well be
    alive. `detail` is what AWS says about it.
    """

    def __init__(self, connection_id: str, reason: str, *, retryable: bool, detail: str = "") -> None:
        why = f"{reason}: {detail}" if detail else reason
        super().__init__(connection_id, f"sending to connection {connection_id} failed: {why}")
        self.reason = reason
        self.retryable = retryable


class HandOffError(LegacyWsError):
    """`target` (a function or a queue) did not take what was handed to it, for `reason` (an error code of AWS or of the
    HTTP client).
    """

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"handing over to {target} failed: {reason}")
        self.target = target
        self.reason = reason


class ResponderError(LegacyWsError):
    """The responder yielded what its contract does not know; `problem` says what, never the output itself."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the responder yielded {problem}", "see legacy_ws/responder.py for its contract")
        self.problem = problem


class TokenRefusedError(LegacyWsError):
    """A token is not valid, or not for us; `reason` is for the log, never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the token is refused: {reason}")
        self.reason = reason


class IdentityProviderError(LegacyWsError):
    """`provider` could not be asked about a token, for `reason`; trying again can help."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"{provider} cannot be used: {reason}", "try again")
        self.provider = provider
        self.reason = reason


class ConfigurationError(LegacyWsError):
    """Setting `name` is missing or wrong; its value is never part of the message."""

    exit_code = 2

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}", f"set {name}")
        self.name = name


class UsageError(LegacyWsError):
    """A wrong argument, or the name of something that does not exist."""

    exit_code = 2


class StepFailedError(LegacyWsError):
    """Step `step` of a deployment failed for `reason`; what was done before it is kept."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(
            f"{step}: {reason}", "run the same command again: it continues, finished steps stay as they are"
        )
        self.step = step


class RefusedError(LegacyWsError):
    """Refused: not ours, not confirmed, or still in use."""

    exit_code = 5


class StoppedError(LegacyWsError):
    """Somebody pressed Ctrl-C (128 + SIGINT, as shells have it)."""

    exit_code = 130

    def __init__(self, hint: str | None = None) -> None:
        super().__init__("stopped", hint)
