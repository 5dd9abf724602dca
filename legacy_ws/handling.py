"""What surrounds every handler: parse, route, answer, and the error handler. until phase 3

Lambda entry points are plain synchronous functions: AWS's Python runtime never awaits one (REQUIREMENTS.md,
fault 1). A client gets a code and a request id, the log gets the rest (fault 12).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from legacy_ws.errors import ClientInputError, ConnectionGoneError, HandOffError, MalformedEventError, SendError
from legacy_ws.events import WebSocketEvent, parse_event, text_body
from legacy_ws.frames import decode, error_frame
from legacy_ws.log import Log, log
from legacy_ws.router import Call, Router

__all__ = [
    "ErrorHandler",
    "FrameSender",
    "QueueMessage",
    "Response",
    "handle_batch",
    "handle_life_cycle",
    "handle_message",
    "remaining_of",
]

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

    def unavailable(self, event: WebSocketEvent, error: HandOffError, remaining: Callable[[], float]) -> None:
        """What would do the work did not take it: the client gets `unavailable`, the log gets where and why."""
        self._log("ERROR", "hand_off_failed", target=error.target, reason=error.reason, **_where(event))
        self._tell(event, "unavailable", "This cannot be worked on at the moment; try again later.", remaining)

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
    except HandOffError as error:
        errors.unavailable(event, error, remaining)
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


@dataclass(frozen=True)
class QueueMessage:
    """One message of an SQS batch; `group` is None for a queue that is not FIFO."""

    message_id: str
    body: str
    group: str | None


def handle_batch(raw: object, work: Callable[[QueueMessage], None], *, log: Log = log) -> Response:
    """Entry point of a function that consumes a queue, with partial batch failures.

    A message that fails takes the later ones of its group with it, unworked: delivered now, they would overtake it.
    Other groups go on. Source: AWS Lambda developer guide, "Handling errors for an SQS event source in Lambda":
    with a FIFO queue, stop after the first failure and return all failed and unprocessed messages, which "helps
    preserve the ordering of messages in your queue"; the order that SQS keeps is that of a group.

    Args:
        raw: {"Records": [{"messageId": str, "body": str, "attributes": {"MessageGroupId"?: str, ...}, ...}]}.
        work: does the work of one message; raises when the message is to be delivered again.
    Returns: {"batchItemFailures": [{"itemIdentifier": messageId}]}.
    Raises: MalformedEventError: this is no event of SQS.
    """
    failed: list[str] = []
    held: set[str] = set()
    for message in _messages(raw):
        if message.group is not None and message.group in held:
            failed.append(message.message_id)
            continue
        try:
            work(message)
        except Exception as error:
            log(
                "ERROR",
                "queue_message_failed",
                messageId=message.message_id,
                group=message.group,
                errorType=type(error).__name__,
                errorMessage=str(error),
                stack="".join(traceback.format_exception(error)),
            )
            failed.append(message.message_id)
            if message.group is not None:
                held.add(message.group)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _messages(raw: object) -> list[QueueMessage]:
    records = raw.get("Records") if isinstance(raw, Mapping) else None
    if not isinstance(records, list):
        raise MalformedEventError("Records")
    messages = []
    for record in records:
        fields = record if isinstance(record, Mapping) else {}
        attributes = fields.get("attributes")
        group = attributes.get("MessageGroupId") if isinstance(attributes, Mapping) else None
        message_id, body = fields.get("messageId"), fields.get("body")
        # Without its id a message cannot be told apart from the others: then the whole batch fails.
        if not isinstance(message_id, str) or not message_id or not isinstance(body, str):
            raise MalformedEventError("Records[].messageId or Records[].body")
        messages.append(QueueMessage(message_id, body, group if isinstance(group, str) and group else None))
    return messages


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
