"""What the parts of the local AWS promise each other, until phase 3.

The gateway knows functions only as a `FunctionInvoker`; the front door knows the gateway only as a
`ControlPlaneListener`. Neither imports the other.
"""

from dataclasses import dataclass
from typing import Protocol


class InvokeError(Exception):
    """An invocation that never reached an answer of the function."""


class FunctionNotFoundError(InvokeError):
    """No such function (or qualifier) in the control plane: AWS's ResourceNotFoundException."""

    def __init__(self, function: str) -> None:
        self.function = function
        super().__init__(f"Function not found: {function}")


class InvokeTimeoutError(InvokeError):
    """The caller's own time limit passed before the function answered; the function may still be running."""

    def __init__(self, function: str, timeout_s: float) -> None:
        self.function = function
        self.timeout_s = timeout_s
        super().__init__(f"No answer from {function} within {timeout_s:g} s")


class TooManyRequestsError(InvokeError):
    """Reserved concurrency (or the local cap for asynchronous events) is used up: AWS's TooManyRequestsException."""

    def __init__(self, function: str, reason: str = "ReservedFunctionConcurrentInvocationLimitExceeded") -> None:
        self.function = function
        self.reason = reason
        super().__init__(f"Rate exceeded for {function}: {reason}")


@dataclass(frozen=True)
class InvokeResult:
    """What one invocation gave back; a handler's exception is a result, not an error of ours."""

    payload: bytes
    """What the handler returned (JSON), or AWS's error object when `function_error` is set."""
    function_error: str | None
    """`Handled`, `Unhandled` or None, as in the header X-Amz-Function-Error."""
    log_tail: bytes = b""
    """The last 4 KB at most of the invocation's log."""


class FunctionInvoker(Protocol):
    """Runs Lambda functions."""

    async def invoke(
        self, function_arn: str, payload: bytes, *, timeout_s: float, asynchronous: bool = False
    ) -> InvokeResult:
        """Run a function given by ARN (with or without qualifier) or name.

        `timeout_s` is the caller's own limit (API Gateway: 29 s), not the function's Timeout.
        Raises FunctionNotFoundError, InvokeTimeoutError, TooManyRequestsError.
        """
        ...


class ControlPlaneListener(Protocol):
    """Is told of changes that went through the front door, before the caller gets its answer."""

    async def control_plane_changed(self, api_id: str | None) -> None:
        """A mutating apigatewayv2 call (its API id) or another one that may have changed an API (None)."""
        ...

    async def deployed(self, api_id: str, stage: str | None, deployment_id: str) -> None:
        """CreateDeployment, or UpdateStage with a deployment id, succeeded (MiniStack does not record it)."""
        ...
