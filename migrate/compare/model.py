"""The facts a comparison starts from. until phase 3"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Capture", "Delivery", "Gap", "Path", "Send", "Stack"]


class Stack(StrEnum):
    """A stack that delivers."""

    WEBSOCKET = "websocket"
    SSE = "sse"

    @property
    def label(self) -> str:
        return "WebSocket" if self is Stack.WEBSOCKET else "SSE"

    @property
    def other(self) -> Stack:
        return Stack.SSE if self is Stack.WEBSOCKET else Stack.WEBSOCKET


class Path(StrEnum):
    """The way a message was sent."""

    WEBSOCKET = "websocket"
    REST = "rest"

    @property
    def label(self) -> str:
        return "WebSocket" if self is Path.WEBSOCKET else "REST"

    @property
    def stack(self) -> Stack:
        """The stack that accepts what is sent this way."""
        return Stack.WEBSOCKET if self is Path.WEBSOCKET else Stack.SSE


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as one recipient received it on one stack.

    Args:
        stack: where it arrived.
        recipient: who received it.
        message_id: its identity on both stacks.
        room: the room or conversation.
        sender: the name it was sent under.
        seq: number of this delivery in its recipient's stream on its stack; only its order counts.
        received_at: epoch seconds by the recorder's clock.
        sent_at: the time the message itself carries, epoch seconds by the server's clock, or None.
        payload: its fields, or None when only the digest was kept.
        digest: digest of the payload, or None.
    """

    stack: Stack
    recipient: str
    message_id: str
    room: str
    sender: str
    seq: int
    received_at: float
    sent_at: float | None = None
    payload: Mapping[str, Any] | None = None
    digest: str | None = None

    @property
    def text(self) -> str:
        return str((self.payload or {}).get("message", ""))


@dataclass(frozen=True, slots=True)
class Send:
    """One message that the recorder itself sent: ground truth.

    Args:
        message_id: what the server called it; None when the sender was not told (WebSocket) or got no answer.
        sender, room, text: as sent; the text is unique within the run.
        marker: a part of the text that no other message holds, by which it is known even when the rest was
            spoilt.
        path: how it was sent.
        sent_at: epoch seconds by the recorder's clock.
        recipients: who should get it on each stack; None means every recipient of the capture.
        refused: what the server answered when it did not accept the message; empty when it did.
        unsent: why the message could not be handed to a server at all (no connection); empty when it was.
    """

    message_id: str | None
    sender: str
    room: str
    text: str
    path: Path
    sent_at: float
    recipients: frozenset[str] | None = None
    refused: str = ""
    marker: str = ""
    unsent: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a recipient's stream was not there.

    Args:
        start, end: epoch seconds; infinite when it never was there before or after.
        recovered: whether everything of that time was delivered afterwards (SSE resume with `recovered:
            true`).
        reason: in words.
    """

    stack: Stack
    recipient: str
    start: float
    end: float
    recovered: bool
    reason: str = ""

    @property
    def never_connected(self) -> bool:
        return self.start == -math.inf and self.end == math.inf


@dataclass(frozen=True, slots=True)
class Capture:
    """Everything recorded in one run.

    Args:
        recipients: the recorder's users, each connected to both stacks.
        window: (start, stop), epoch seconds: messages of others count when they were sent inside it. All
            streams were there before its start, and the recording went on after its stop until late ones had
            had their
            time: so a message at an edge is never missed on one side only because of the edge.
        flaws: what makes the capture itself incomplete, in words (a truncated file, a recorder that was
            killed).
        notes: what is worth saying without being a flaw.
    """

    run_id: str
    recipients: Sequence[str]
    sends: Sequence[Send]
    deliveries: Sequence[Delivery]
    window: tuple[float, float]
    gaps: Sequence[Gap] = ()
    flaws: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())
