"""Who sent a frame, and what can be sent to whom in return. until phase 3"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from legacy_ws.apps.layers import services
from legacy_ws.apps.layers.jobs import Job
from legacy_ws.apps.layers.schema import MAX_ID_BYTES
from legacy_ws.apps.layers.times import iso
from legacy_ws.errors import ClientInputError, ConnectionGoneError, LegacyWsError, SendFailedError
from legacy_ws.events import WebSocketEvent
from legacy_ws.frames import MAX_FRAME_BYTES, encode, text_field
from legacy_ws.log import log
from legacy_ws.manager import BroadcastResult, ConnectionManager
from legacy_ws.responder import Feature
from legacy_ws.router import Call

__all__ = ["Caller", "caller_of", "id_field", "own_id_field", "require_fits"]


@dataclass(frozen=True)
class Caller:
    """The connection that sent a frame."""

    call: Call
    manager: ConnectionManager
    user_id: str
    tenant_id: str

    @property
    def event(self) -> WebSocketEvent:
        """Where the frame came from."""
        return self.call.event

    @property
    def frame(self) -> Mapping[str, object]:
        """What it holds."""
        return self.call.frame

    @property
    def sent_at(self) -> str:
        """When API Gateway got the frame, as ISO text: one clock for all Lambda hosts."""
        milliseconds = self.event.request_time_ms
        return iso(time.time() if milliseconds is None else milliseconds / 1000)

    def tell(self, frame: Mapping[str, object]) -> None:
        """Send one frame back; a failure is logged only, for others are still to hear of what this one has sent."""
        try:
            self.manager.send(self.event.connection_id, frame, remaining=self.call.remaining)
        except (ConnectionGoneError, SendFailedError) as error:
            reason = error.reason if isinstance(error, SendFailedError) else "gone"
            log("INFO", "answer_not_sent", reason=reason, frameType=frame.get("type"), **self.where)

    def tell_tenant(self, frame: Mapping[str, object]) -> BroadcastResult:
        """Send one frame to every connection of the tenant but this one."""
        result = self.manager.broadcast(
            self.manager.of_tenant(self.tenant_id),
            frame,
            remaining=self.call.remaining,
            exclude=[self.event.connection_id],
        )
        log(
            "WARNING" if result.failed else "INFO",
            "message_sent",
            frameType=frame.get("type"),
            **result.record,
            **self.where,
        )
        return result

    def hand_over(self, feature: Feature, job_id: str, given: Mapping[str, object]) -> None:
        """Have the responder answer. Raises: HandOffError: processing did not take it."""
        job = Job(
            feature=feature,
            id=job_id,
            input=given,
            user_id=self.user_id,
            tenant_id=self.tenant_id,
            connection_id=self.event.connection_id,
            management_url=self.event.management_url,
            request_id=self.event.request_id,
        )
        services.processing().hand_over(job.encode())
        log("INFO", "job_handed_over", feature=feature, id=job_id, **self.where)

    @property
    def where(self) -> dict[str, object]:
        """Fields of a log record."""
        return {
            "requestId": self.event.request_id,
            "connectionId": self.event.connection_id,
            "userId": self.user_id,
            "tenantId": self.tenant_id,
        }


def caller_of(call: Call) -> Caller:
    """Who sent this frame; its activity is noted.

    Raises: LegacyWsError: the handshake was not authorized.
    """
    user, tenant = call.event.authorized("userId"), call.event.authorized("tenantId")
    if user is None or tenant is None:
        raise LegacyWsError("the event names no userId and tenantId", "attach the authorizer to $connect")
    caller = Caller(call, services.manager_for(call.event), user, tenant)
    try:
        # False when the row is gone: then it stays gone, and the frame is served all the same.
        caller.manager.touch(call.event.connection_id)
    except Exception as error:
        log("WARNING", "activity_not_noted", errorType=type(error).__name__, errorMessage=str(error), **caller.where)
    return caller


def id_field(frame: Mapping[str, object], name: str) -> str:
    """An id that the client must give. Raises: ClientInputError."""
    return text_field(frame, name, max_bytes=MAX_ID_BYTES)


def own_id_field(frame: Mapping[str, object], name: str) -> str:
    """An id that the client may give; a new one when it does not. Raises: ClientInputError."""
    return text_field(frame, name, max_bytes=MAX_ID_BYTES, default="") or str(uuid.uuid4())


def require_fits(frame: Mapping[str, object], name: str) -> None:
    """Raises: ClientInputError: `frame` outgrows what API Gateway posts, for what the client has put into `name`."""
    if len(encode(frame)) > MAX_FRAME_BYTES:
        # JSON escapes control characters six-fold: a text within its limit can still outgrow a frame.
        raise ClientInputError("message_too_long", f'"{name}" does not fit into one frame.')
