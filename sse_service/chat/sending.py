"""Sending: stored first, published second, once for each key.

A record keyed by the idempotency key says how far a sending came, so that a repeat (after a crash, a time-out, a lost
answer) finishes it instead of sending it again: the same message id and proposed time lead to the same place in the
table, and the message id as the event's key to the same event in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sse_service.auth import Principal
from sse_service.chat.addresses import is_direct
from sse_service.chat.conversations import Conversations
from sse_service.chat.frames import MICRO, chat_message_frame, id_frame, message_frame
from sse_service.chat.publishing import Publishing
from sse_service.errors import InvalidInputError, TooLargeError, UnavailableError
from sse_service.events import Draft, EventId, check_key, check_name, key_part, room_topic
from sse_service.once import Lease, Once
from sse_service.ports import Attachment, Clock, Conversation, InboxStore, Message, MessageStore
from sse_service.wire import compact_json

__all__ = ["RESPONDER_NAME", "Sending", "Sent", "message_id_at"]

RESPONDER_NAME = "assistant"
"""Author of what the responder has answered."""

Frame = Callable[[Message, Conversation], dict[str, object]]


@dataclass(frozen=True, slots=True)
class Sent:
    """The place a message has; is_duplicate: it had it before this request."""

    message_id: str
    conversation_id: str
    timestamp_us: int
    event_id: str
    is_duplicate: bool


def message_id_at(at_us: int) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): its time leads to the message without an index."""
    value = (at_us // 1000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def _chat_frame(message: Message, _: Conversation) -> dict[str, object]:
    return chat_message_frame(message)


class Sending:
    """notify_full: events carry the whole message; otherwise its id alone (SSE_NOTIFY)."""

    def __init__(
        self,
        publishing: Publishing,
        conversations: Conversations,
        messages: MessageStore,
        inbox: InboxStore,
        once: Once,
        clock: Clock,
        *,
        notify_full: bool,
    ) -> None:
        self._publishing = publishing
        self._conversations = conversations
        self._messages = messages
        self._inbox = inbox
        self._once = once
        self._clock = clock
        self._frame: Frame = message_frame if notify_full else id_frame

    def check(self, text: str, *, user_name: str = "", key: str = "", has_attachment: bool = False) -> None:
        """What can be said of a message before it is known where it goes. Raises InvalidInputError, TooLargeError."""
        if user_name:
            check_name("userName", user_name)
        if key:
            check_key("idempotencyKey", key)
        self._check_size(None, user_name, user_name, text, has_attachment=has_attachment)

    async def send(
        self,
        principal: Principal,
        conversation: Conversation,
        text: str,
        *,
        user_name: str = "",
        key: str = "",
        attachment: Attachment | None = None,
    ) -> Sent:
        """Store a message and publish it, once for each key of a user.

        Raises ForbiddenError, TooLargeError, UnavailableError (carrying the key: repeating with it completes
        what was begun).
        """
        message_id = message_id_at(int(self._clock() * MICRO))
        return await self._send(principal, conversation, text, user_name, key, attachment, message_id, "message")

    async def say(
        self, principal: Principal, conversation: Conversation, text: str, *, message_id: str, key: str
    ) -> Sent:
        """The same for what is said to the responder: an event of type chat_message.

        message_id: chosen by the client, or "".
        """
        if message_id:
            check_key("message_id", message_id)
            key = key or message_id
        else:
            message_id = message_id_at(int(self._clock() * MICRO))
        return await self._send(principal, conversation, text, "", key, None, message_id, "chat_message")

    async def _send(
        self,
        principal: Principal,
        conversation: Conversation,
        text: str,
        user_name: str,
        key: str,
        attachment: Attachment | None,
        message_id: str,
        kind: str,
    ) -> Sent:
        tenant, sender = principal.tenant, principal.user
        name = check_name("userName", user_name) if user_name else sender
        key = check_key("idempotencyKey", key) if key else uuid.uuid4().hex
        self._check_size(conversation, sender, name, text, has_attachment=attachment is not None)
        frame = _chat_frame if kind == "chat_message" else self._frame
        try:
            facts = {
                "messageId": message_id,
                "conversationId": conversation.conversation_id,
                "at": str(int(self._clock() * MICRO)),
                "after": str(await self._publishing.publisher.tail(tenant)),
            }

            async def work(facts: Mapping[str, str], is_continued: bool, lease: Lease) -> Mapping[str, str]:
                # A repeat finishes what its key began, in whatever conversation that was.
                first = conversation
                if facts["conversationId"] != conversation.conversation_id:
                    first = await self._conversations.admit(principal, facts["conversationId"])
                stored = await self._messages.put(
                    tenant,
                    Message(
                        first.conversation_id, facts["messageId"], name, text, int(facts["at"]), sender, attachment
                    ),
                    is_open=first.is_open,
                )
                draft = Draft(
                    room_topic(stored.conversation_id),
                    kind,
                    compact_json(frame(stored, first)),
                    stored.timestamp_us / MICRO,
                    "rest",
                    _event_key(principal, stored.message_id),
                )
                since = [EventId.parse(facts["after"])] if is_continued else None
                # Storing twice is storing once; appending is not.
                lease.check()
                (published,), _ = await asyncio.gather(
                    self._publishing.publisher.publish(tenant, [draft], since),
                    self._inbox.touch(tenant, stored.conversation_id, stored.timestamp_us),
                )
                return {
                    "messageId": stored.message_id,
                    "conversationId": stored.conversation_id,
                    "timestampUs": str(stored.timestamp_us),
                    "id": str(published.id),
                }

            record = f"IDEMPOTENCY#{key_part(tenant)}#{key_part(sender)}#{key}"
            result, was_done = await self._once.run(record, facts, work)
        except UnavailableError as error:
            raise UnavailableError(
                "the message may not have been delivered yet; repeat the request with this idempotencyKey",
                retry_after_s=error.retry_after_s or 1,
                idempotencyKey=key,
            ) from error
        return Sent(result["messageId"], result["conversationId"], int(result["timestampUs"]), result["id"], was_done)

    async def keep_answer(self, principal: Principal, conversation: Conversation, text: str) -> None:
        """Put the responder's answer into the history. Its clients have seen it as it came: no event.

        Raises UnavailableError, TooLargeError.
        """
        if not text:
            return
        self._check_size(conversation, RESPONDER_NAME, RESPONDER_NAME, text, has_attachment=False)
        at = int(self._clock() * MICRO)
        message = Message(
            conversation.conversation_id, message_id_at(at), RESPONDER_NAME, text, at, sender=RESPONDER_NAME
        )
        await self._messages.put(principal.tenant, message, is_open=conversation.is_open)

    def _check_size(
        self, conversation: Conversation | None, sender: str, name: str, text: str, *, has_attachment: bool
    ) -> None:
        limit = self._publishing.max_event_bytes
        if not text and not has_attachment:
            raise InvalidInputError("message", "must not be empty")
        room_id = conversation.conversation_id if conversation is not None else ""
        people = sorted(conversation.participants) if conversation is not None and is_direct(room_id) else [name]
        shown = {"roomId": room_id, "names": [sender, *people], "message": text}
        try:
            size = len(compact_json(shown).encode())
        except ValueError:
            raise InvalidInputError("message", "is not valid Unicode text") from None
        # Names of fields, ids and times; an attachment's name and type.
        room = 256 + (1024 if has_attachment else 0)
        if size + room > limit:
            raise TooLargeError("the message", limit - room)


def _event_key(principal: Principal, message_id: str) -> str:
    try:
        uuid.UUID(message_id)
    except ValueError:
        # Chosen by a client: somebody else may have chosen the same.
        owner = hashlib.sha256(f"{principal.user}\n{message_id}".encode()).hexdigest()
        return f"chat:{owner}"
    return message_id
