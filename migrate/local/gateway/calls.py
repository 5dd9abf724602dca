"""The functions of the local AWS, as the service's own caller of integrations runs them. Until phase 3."""

from migrate.local.ports import FunctionInvoker, FunctionNotFoundError, InvokeTimeoutError, TooManyRequestsError
from sse_service.virtual.calls import Invoked
from sse_service.virtual.errors import CallError, FailureKind


class LocalFunctions:
    """An `Invoker` of sse_service.virtual.calls. The functions belong to somebody else: they are neither started nor
    closed here."""

    def __init__(self, invoker: FunctionInvoker) -> None:
        self._invoker = invoker

    async def invoke(self, target: str, payload: bytes, timeout_s: float) -> Invoked:
        """Raises CallError when there was no answer at all."""
        try:
            result = await self._invoker.invoke(target, payload, timeout_s=timeout_s)
        except InvokeTimeoutError as error:
            raise CallError(FailureKind.TIMEOUT, str(error)) from error
        except (FunctionNotFoundError, TooManyRequestsError) as error:
            raise CallError(FailureKind.EXECUTION, str(error)) from error
        return Invoked(result.payload, result.function_error is not None)

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass
