"""What surrounds every handler: parse, route, answer, and the error handler. until phase 3

Lambda entry points are plain synchronous functions: AWS's Python runtime never awaits one (REQUIREMENTS.md,
fault 1). A client gets a code and a request id, the log gets the rest (fault 12).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Protocol

from legacy_ws.errors import ClientInputError, ConnectionGoneError, SendError
from legacy_ws.events import WebSocketEvent, parse_event, text_body
from legacy_ws.frames import decode, error_frame
from legacy_ws.log import Log, log
from legacy_ws.router import Call, Router

__all__ = ["ErrorHandler", "FrameSender", "Response", "handle_life_cycle", "handle_message", "remaining_of"]

# Time kept back for the last log record and for the answer to API Gateway.
_RESERVE_S = 1.0
_WITHOUT_CONTEXT_S = 25.0

Response = dict[str, object]


class FrameSender(Protocol):
    """Sends a frame to one connection (the connection manager does)."""

    def send(self, connection_id: str, frame: Mapping[str, object], *, remaining: Callable[[], float]) -> None:
        """Raises: ConnectionGoneError, SendFailedError."""


class ErrorHandler:
    """Tells the client that something failed, and the log what.

    Args:
        sender_of: makes the sender for an event; called only when there is something to send.
        log: where records go.
    """

    def __init__(self, sender_of: Callable[[WebSocketEvent], FrameSender], *, log: Log = log) -> None:
        self._sender_of = sender_of
        self._log = log

    def refused(self, event: WebSocketEvent, error: ClientInputError, remaining: Callable[[], float]) -> None:
        """The client's frame is at fault."""
        self._log("INFO", "frame_refused", code=error.code, reason=error.message, **_where(event))
        self._tell(event, error.code, error.message, remaining)

    def failed(self, event: WebSocketEvent, error: BaseException, remaining: Callable[[], float]) -> None:
        """We are at fault: the client gets `internal`, the log gets type, text and stack."""
        self.record(event, error)
        self._tell(event, "internal", "Something went wrong on our side; quote the requestId.", remaining)

    def record(self, event: WebSocketEvent, error: BaseException) -> None:
        """Log a failure, without telling anybody."""
        self._log(
            "ERROR",
            "handler_failed",
            errorType=type(error).__name__,
            errorMessage=str(error),
            stack="".join(traceback.format_exception(error)),
            **_where(event),
        )

    def _tell(self, event: WebSocketEvent, code: str, message: str, remaining: Callable[[], float]) -> None:
        # A failing send of an error is only logged: there is nobody left to tell.
        try:
            self._sender_of(event).send(
                event.connection_id, error_frame(code, message, event.request_id), remaining=remaining
            )
        except ConnectionGoneError:
            self._log("INFO", "error_frame_not_sent", reason="gone", **_where(event))
        except Exception as error:
            self._log(
                "WARNING",
                "error_frame_not_sent",
                errorType=type(error).__name__,
                errorMessage=str(error),
                **_where(event),
            )


def handle_message(
    router: Router,
    raw: object,
    context: object,
    *,
    sender_of: Callable[[WebSocketEvent], FrameSender],
    log: Log = log,
) -> Response:
    """Entry point of a function behind a message route.

    Args:
        router: chooses the handler.
        raw, context: as Lambda passes them.
        sender_of: makes the sender for an event.
    Returns: {"statusCode": 200} when the client was answered (also with an error frame about its own frame,
        or is gone), {"statusCode": 500} when we failed. API Gateway shows neither to the client: the routes
        have no route response.
    Raises: MalformedEventError: this is no WebSocket event.
    """
    event = parse_event(raw)
    remaining = remaining_of(context)
    errors = ErrorHandler(sender_of, log=log)
    try:
        frame = decode(text_body(event))
        handler = router.resolve(event.route_key, frame)
        answer = handler(Call(event, frame, remaining))
        if answer is not None:
            sender_of(event).send(event.connection_id, answer, remaining=remaining)
    except ClientInputError as error:
        errors.refused(event, error, remaining)
    except ConnectionGoneError:
        log("INFO", "answer_not_sent", reason="gone", **_where(event))
    except SendError as error:
        errors.record(event, error)
        return {"statusCode": 500}
    except Exception as error:
        errors.failed(event, error, remaining)
        return {"statusCode": 500}
    return {"statusCode": 200}


def handle_life_cycle(handler: Callable[[WebSocketEvent], int], raw: object, *, log: Log = log) -> Response:
    """Entry point of a function behind `$connect` or `$disconnect`: there is no connection to send anything
    to.

    Args:
        handler: returns the HTTP status; for `$connect` anything but 2xx refuses the handshake.
    Raises: MalformedEventError: this is no WebSocket event.
    """
    event = parse_event(raw)
    try:
        return {"statusCode": handler(event)}
    except ClientInputError as error:
        log("INFO", "handshake_refused", code=error.code, reason=error.message, **_where(event))
        return {"statusCode": 400}
    except Exception as error:
        ErrorHandler(_no_sender, log=log).record(event, error)
        return {"statusCode": 500}


def remaining_of(context: object) -> Callable[[], float]:
    """Seconds until Lambda ends this invocation, less a reserve; a fixed time when the context does not
    say.
    """
    left = getattr(context, "get_remaining_time_in_millis", None)
    if left is None:
        return lambda: _WITHOUT_CONTEXT_S
    return lambda: float(left()) / 1000 - _RESERVE_S


def _where(event: WebSocketEvent) -> dict[str, object]:
    return {
        "requestId": event.request_id,
        "connectionId": event.connection_id,
        "routeKey": event.route_key,
    }


def _no_sender(event: WebSocketEvent) -> FrameSender:
    raise AssertionError(f"nothing is sent during {event.event_type}")
