"""Answer (WL6): from the queue to the connections. until phase 3

SQS may deliver a message again: frames carry ids and an index, and a client drops what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from legacy_ws.apps.layers import services
from legacy_ws.apps.layers.jobs import Answer, parse_answer
from legacy_ws.handling import QueueMessage, Response, handle_batch, remaining_of
from legacy_ws.log import log
from legacy_ws.manager import BroadcastResult

__all__ = ["handler"]


def handler(event: object, context: object) -> Response:
    """Lambda entry point, called with a batch of the answers queue; fails partially."""
    return handle_batch(event, partial(_deliver, remaining=remaining_of(context)))


def _deliver(message: QueueMessage, *, remaining: Callable[[], float]) -> None:
    """Raises: SendFailedError: nobody got it and it may go better later; MalformedEventError: no answer of ours (it
    ends in the dead-letter queue).
    """
    answer = parse_answer(message.body)
    manager = services.manager_at(answer.management_url)
    if answer.audience == "tenant":
        pages = manager.of_tenant(answer.tenant_id)
    else:
        pages = iter([manager.of_user(answer.user_id, answer.tenant_id)])
    # Who asked gets the answer, even when the index does not show its connection yet.
    result = manager.broadcast(pages, answer.frame, remaining=remaining, also=[answer.connection_id])
    if result.failed:
        _record(answer, message, result)
    if result.delivered == 0:
        # Where some got it, the others' loss is theirs: a connection that is stuck must not hold up its user's other
        # ones. Where nobody is connected any more, there is nobody to answer, and nothing failed.
        for error in result.failed:
            if error.retryable or error.reason == "out_of_time":
                raise error


def _record(answer: Answer, message: QueueMessage, result: BroadcastResult) -> None:
    log(
        "WARNING",
        "answer_not_delivered",
        messageId=message.message_id,
        group=message.group,
        frameType=answer.frame.get("type"),
        userId=answer.user_id,
        tenantId=answer.tenant_id,
        **result.record,
    )
