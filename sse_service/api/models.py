"""Bodies of requests and answers. What a value may contain is checked by the domain, not here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from sse_service.chat import EventIn

__all__ = [
    "AddressOut",
    "AgentRunAccepted",
    "AgentRunIn",
    "AgentRunOut",
    "AttachmentIn",
    "AttachmentOut",
    "ChatResponseOut",
    "ConversationIn",
    "ConversationOut",
    "DirectHistoryOut",
    "DirectMessageOut",
    "EnsureIn",
    "EventItem",
    "EventsIn",
    "EventsOut",
    "HistoryOut",
    "LibraryJobAccepted",
    "LibraryJobIn",
    "LibraryJobOut",
    "MessageIn",
    "MessageOut",
    "ParticipantsIn",
    "PublishedOut",
    "ReadIn",
    "ReadOut",
    "RecentItem",
    "RecentOut",
    "SendIn",
    "SendOut",
    "StreamIn",
    "TransportOut",
    "TypingIn",
    "TypingOut",
    "UnreadItem",
    "UnreadOut",
    "UploadIn",
    "UploadOut",
    "event_in",
]


def _whole(value: object) -> object:
    """JSON knows one kind of number: 5.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Size = Annotated[int, Field(ge=1), BeforeValidator(_whole)]


class _Body(BaseModel):
    """A field that is not known is refused: one that is misspelt would be left out without a word."""

    model_config = ConfigDict(strict=True, extra="forbid")


_KEY = "a repeat of the request with it changes nothing and gets the first answer"
_WITH = "instead of conversationId: the user on the other side of a direct conversation"


class AttachmentIn(_Body):
    uploadId: str = Field(min_length=1, max_length=64, description="from POST /api/chat/uploads")  # noqa: N815 - names of the wire
    name: str | None = Field(None, min_length=1, max_length=200, description="shown, and proposed for downloads")


def _given(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"type": "string"}}}


def _absent(*names: str) -> JsonDict:
    return {"properties": {name: {"type": "null"} for name in names}}


_HAS_CONTENT: JsonDict = {
    "anyOf": [
        {"required": ["message"], "properties": {"message": {"minLength": 1}}},
        {"required": ["attachment"], "properties": {"attachment": {"type": "object"}}},
    ]
}
_ONE_PLACE: JsonDict = {"oneOf": [_given("conversationId"), _given("with")]}


class _Where(_Body):
    """A conversation by its id, or by the user on its other side."""

    model_config = ConfigDict(strict=True, json_schema_extra=_ONE_PLACE)
    conversationId: str | None = Field(None, min_length=1, max_length=200)  # noqa: N815
    partner: str | None = Field(None, alias="with", min_length=1, max_length=200, description=_WITH)


class SendIn(_Where):
    model_config = ConfigDict(strict=True, json_schema_extra={"allOf": [_ONE_PLACE, _HAS_CONTENT]})
    message: str = Field("", description="may be empty only with an attachment")
    idempotencyKey: str | None = Field(None, min_length=1, max_length=256, description=_KEY)  # noqa: N815
    userName: str | None = Field(None, min_length=1, max_length=200)  # noqa: N815
    attachment: AttachmentIn | None = None


class MessageIn(SendIn):
    """Without a conversation: to the support. With chat_id: to the responder, whose answer comes as events."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "allOf": [
                _HAS_CONTENT,
                {
                    "oneOf": [
                        {"allOf": [_given("chat_id"), _absent("conversationId", "with", "attachment", "userName")]},
                        {"allOf": [_given("with"), _absent("conversationId", "chat_id", "message_id")]},
                        _absent("with", "chat_id", "message_id"),
                    ]
                },
            ]
        },
    )
    chat_id: str | None = Field(None, min_length=1, max_length=200)
    message_id: str | None = Field(None, min_length=1, max_length=200, description="with chat_id; also the key")


class ChatResponseOut(BaseModel):
    type: Literal["chat_response"]
    chat_id: str
    message_id: str
    status: Literal["accepted"]
    timestamp: str = Field(description="ISO 8601, UTC, microseconds")


class StreamIn(_Body):
    message: str = Field(min_length=1)
    message_id: str | None = Field(None, min_length=1, max_length=200, description="chosen by the client; also the key")
    idempotencyKey: str | None = Field(None, min_length=1, max_length=256, description=_KEY)  # noqa: N815


class SendOut(BaseModel):
    messageId: str  # noqa: N815
    conversationId: str  # noqa: N815
    timestamp: float = Field(description="UNIX seconds with microseconds")
    duplicate: bool = Field(description="true: an earlier request with this key had sent it")


class AttachmentOut(BaseModel):
    contentType: str  # noqa: N815
    size: int
    name: str


class MessageOut(BaseModel):
    roomId: str  # noqa: N815
    messageId: str  # noqa: N815
    userName: str  # noqa: N815
    message: str
    timestamp: float
    attachment: AttachmentOut | None = None


class DirectMessageOut(BaseModel):
    type: Literal["message"]
    roomId: str  # noqa: N815
    messageId: str  # noqa: N815
    senderEmail: str  # noqa: N815
    receiverEmail: str  # noqa: N815
    message: str
    timestamp: str = Field(description="ISO 8601, UTC, microseconds")
    read: bool
    attachment: AttachmentOut | None = None


class HistoryOut(BaseModel):
    conversationId: str  # noqa: N815
    messages: list[MessageOut | DirectMessageOut] = Field(description="oldest first, unless asked otherwise")
    before: float | str | None = Field(description="pass as `before` to page further back; null: no more")


class DirectHistoryOut(BaseModel):
    type: Literal["history"]
    roomId: str  # noqa: N815
    conversationId: str  # noqa: N815
    messages: list[DirectMessageOut] = Field(description="newest first")
    before: str | None = Field(description="pass as `before` to page further back; null: no more")


class TypingIn(_Where):
    typing: bool


class TypingOut(BaseModel):
    told: bool = Field(description="false: the others have been told the same a moment ago, or there are none yet")


class ReadIn(_Where):
    upTo: str | float | int | None = Field(  # noqa: N815
        None, description="time of the latest message read, as its payload had it; left out: all"
    )


class ReadOut(BaseModel):
    type: Literal["readDone"]
    roomId: str  # noqa: N815
    upTo: str | float | None  # noqa: N815
    count: int = Field(description="messages of others that this made read")
    readerEmail: str | None = Field(None, description="direct conversations")  # noqa: N815
    userId: str | None = Field(None, description="rooms")  # noqa: N815


class UnreadItem(BaseModel):
    conversationId: str  # noqa: N815
    unread: int


class UnreadOut(BaseModel):
    unread: int = Field(description="in all conversations")
    conversations: list[UnreadItem] = Field(description="those that have some; each counted up to 1000")


class RecentItem(BaseModel):
    conversationId: str  # noqa: N815
    with_: str | None = Field(None, alias="with", description="direct conversations: the user on the other side")
    open: bool
    unread: int
    lastMessage: MessageOut | DirectMessageOut | None  # noqa: N815
    readUpTo: float | None = Field(description="UNIX seconds; null: nothing yet")  # noqa: N815


class RecentOut(BaseModel):
    conversations: list[RecentItem] = Field(description="by their latest message, newest first")
    before: float | None = Field(description="pass as `before` to page on; null: no more")


class ParticipantsIn(_Body):
    conversationId: str = Field(min_length=1, max_length=200)  # noqa: N815
    participants: list[str] = Field(min_length=1, max_length=200, description="users to add")


class UploadIn(_Body):
    contentType: str = Field(min_length=1, max_length=128)  # noqa: N815
    size: Size | None = Field(None, description="bytes; S3 then takes no more than that")


class UploadOut(BaseModel):
    uploadId: str = Field(description="name it in `attachment.uploadId` of a message")  # noqa: N815
    url: str = Field(description="where to POST a multipart form to")
    fields: dict[str, str] = Field(description="its fields; the file comes last, as `file`")
    maxBytes: int  # noqa: N815
    expiresIn: int = Field(description="seconds")  # noqa: N815


class AddressOut(BaseModel):
    url: str
    expiresIn: int = Field(description="seconds")  # noqa: N815


class AgentRunIn(_Body):
    agent_id: str = Field(min_length=1, max_length=200)
    input: dict[str, Any] | str
    run_id: str | None = Field(None, min_length=1, max_length=200, description=_KEY)


class AgentRunAccepted(BaseModel):
    type: Literal["agent_run_response"]
    run_id: str
    status: Literal["accepted"]


class LibraryJobIn(_Body):
    library_id: str = Field(min_length=1, max_length=200)
    documents: list[Annotated[str, Field(min_length=1, max_length=1024)]] = Field(min_length=1, max_length=1000)
    job_id: str | None = Field(None, min_length=1, max_length=200, description=_KEY)


class LibraryJobAccepted(BaseModel):
    type: Literal["library_process_response"]
    job_id: str
    status: Literal["accepted"]


class _JobOut(BaseModel):
    status: Literal["running", "completed", "failed"]
    progress: int = Field(ge=0, le=100)
    result: Any = None
    index: int | None = Field(None, description="of the latest notification")


class AgentRunOut(_JobOut):
    type: Literal["agent_run_notification"]
    run_id: str
    agent_id: str
    step: str | None = None


class LibraryJobOut(_JobOut):
    type: Literal["library_processing_notification"]
    job_id: str
    library_id: str
    document: str | None = None


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
    excludeUser: str | None = Field(  # noqa: N815
        None, min_length=1, max_length=200, description="a user whose streams do not get it"
    )
    ttlSeconds: float | None = Field(  # noqa: N815
        None, gt=0, le=86400, description="after so long it is not replayed any more"
    )


def event_in(item: EventItem) -> EventIn:
    """The event as the domain knows it."""
    ensure = item.ensureConversation
    return EventIn(
        item.topic,
        item.type,
        item.data,
        item.key or "",
        item.origin or "",
        (ensure.conversationId, ensure.open) if ensure else None,
        item.excludeUser or "",
        item.ttlSeconds or 0.0,
    )


class EventsIn(_Body):
    events: list[EventItem] = Field(min_length=1, max_length=500)


class TransportOut(BaseModel):
    feature: str
    transport: Literal["websocket", "sse"]
    epoch: int = Field(description="grows with each change of what decided; 0: nothing was decided for the feature")
    pollAfterMs: int = Field(description="when to ask again")  # noqa: N815


class PublishedOut(BaseModel):
    id: str
    duplicate: bool


class EventsOut(BaseModel):
    ids: list[str] = Field(description="one for each event, in the order of the request")
    events: list[PublishedOut]
