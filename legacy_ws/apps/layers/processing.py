"""Processing (WL6): run the responder, put what it yields into the queue, in order. until phase 3

Lambda calls it asynchronously, and may call it twice for one job: parts of an answer that are in the queue already are
dropped there by their deduplication id. When the queue does not take a part, the function fails and Lambda calls it
again, up to twice (AWS Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation");
what failed in the responder is told to the client and not tried again.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from legacy_ws.apps.layers import services
from legacy_ws.apps.layers.deadline import OutOfTimeError, RaisedError, outputs
from legacy_ws.apps.layers.jobs import Job, answer_body, parse_job
from legacy_ws.apps.layers.stream import Part, stream_of
from legacy_ws.apps.layers.times import iso
from legacy_ws.errors import HandOffError
from legacy_ws.handling import Response, remaining_of
from legacy_ws.log import Log, log
from legacy_ws.ports import AnswerQueue
from legacy_ws.responder import Responder, checked

__all__ = ["handler", "process"]

# Kept back from the time limit, for the end of the stream to be put into the queue.
_RESERVE_S = 5.0


def handler(event: object, context: object) -> Response:
    """Lambda entry point, called with a job (InvocationType=Event).

    Raises: MalformedEventError: this is no job. HandOffError: the queue did not take a part; Lambda tries again.
    """
    job = parse_job(event)
    left = remaining_of(context)
    status = process(job, _respond, services.answers(), lambda: left() - _RESERVE_S)
    return {"id": job.id, "status": status}


def _respond(request: dict[str, Any]) -> Any:
    # Loaded where its failures count as the responder's: the client is told that its answer has failed.
    return services.responder()(request)


def process(
    job: Job,
    responder: Responder,
    queue: AnswerQueue,
    left_s: Callable[[], float],
    *,
    clock: Callable[[], float] = time.time,
    log: Log = log,
) -> str:
    """Answer one job. Returns: "completed" or "failed". Raises: HandOffError.

    Args:
        left_s: seconds until the responder has to be done.
    """
    sent = 0

    def send(part: Part) -> None:
        nonlocal sent
        queue.send(answer_body(job, part.frame), group=job.group, deduplication=job.deduplication(part.name))
        sent += 1

    stream = stream_of(job, iso(clock()))
    failure: BaseException | None = None
    try:
        for part in stream.begin():
            send(part)
        try:
            for output in outputs(responder, job.request, left_s):
                for part in stream.take(checked(job.feature, output)):
                    send(part)
        except HandOffError:
            raise
        except RaisedError as error:
            failure = error.error
        except Exception as error:
            failure = error
        for part in stream.finish(failed=failure is not None):
            send(part)
    except HandOffError as error:
        log("ERROR", "answer_not_queued", target=error.target, reason=error.reason, parts=sent, **_which(job))
        raise
    if failure is not None:
        log(
            "ERROR",
            "responder_out_of_time" if isinstance(failure, OutOfTimeError) else "responder_failed",
            errorType=type(failure).__name__,
            errorMessage=str(failure),
            stack="".join(traceback.format_exception(failure)),
            parts=sent,
            **_which(job),
        )
        return "failed"
    log("INFO", "job_done", parts=sent, **_which(job))
    return "completed"


def _which(job: Job) -> dict[str, object]:
    return {
        "requestId": job.request_id,
        "connectionId": job.connection_id,
        "feature": job.feature,
        "id": job.id,
        "userId": job.user_id,
        "tenantId": job.tenant_id,
    }
