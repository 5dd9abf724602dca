"""Bodies of requests and answers. What a value may contain is checked by the domain, not here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ConversationIn",
    "ConversationOut",
    "EnsureIn",
    "EventItem",
    "EventsIn",
    "EventsOut",
    "HistoryOut",
    "MessageOut",
    "PublishedOut",
    "SendIn",
    "SendOut",
]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)


class SendIn(_Body):
    conversationId: str = Field(min_length=1, max_length=200)  # noqa: N815 - names of the wire
    message: str = Field(min_length=1)
    idempotencyKey: str | None = Field(None, min_length=1, max_length=256)  # noqa: N815
    userName: str | None = Field(None, min_length=1, max_length=200)  # noqa: N815


class SendOut(BaseModel):
    messageId: str  # noqa: N815
    conversationId: str  # noqa: N815
    timestamp: float = Field(description="UNIX seconds with microseconds")
    duplicate: bool = Field(description="true: an earlier request with this key had sent it")


class MessageOut(BaseModel):
    roomId: str  # noqa: N815
    messageId: str  # noqa: N815
    userName: str  # noqa: N815
    message: str
    timestamp: float


class HistoryOut(BaseModel):
    conversationId: str  # noqa: N815
    messages: list[MessageOut] = Field(description="oldest first")
    before: float | None = Field(description="pass as `before` to page further back; null: no more")


class ConversationIn(_Body):
    conversationId: str = Field(min_length=1, max_length=200)  # noqa: N815
    participants: list[str] = Field(default_factory=list, max_length=200)
    open: bool = False


class ConversationOut(BaseModel):
    conversationId: str  # noqa: N815
    participants: list[str]
    open: bool


class EnsureIn(_Body):
    conversationId: str = Field(min_length=1, max_length=200)  # noqa: N815
    open: bool = False


class EventItem(_Body):
    topic: str = Field(min_length=1, max_length=256)
    type: str = Field(min_length=1, max_length=64)
    data: Any = Field(description="any JSON")
    key: str | None = Field(None, min_length=1, max_length=256, description="a repeat with it is appended once")
    origin: str | None = Field(None, min_length=1, max_length=64)
    ensureConversation: EnsureIn | None = None  # noqa: N815


class EventsIn(_Body):
    events: list[EventItem] = Field(min_length=1, max_length=500)


class PublishedOut(BaseModel):
    id: str
    duplicate: bool


class EventsOut(BaseModel):
    ids: list[str] = Field(description="one for each event, in the order of the request")
    events: list[PublishedOut]
