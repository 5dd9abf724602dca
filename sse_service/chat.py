"""Chat: sending, history, conversations, and what back ends publish.

A message is stored first and appended to the log second; a record keyed by the idempotency key says how far
its sending came, so that a repeat (after a crash, a time-out, a lost answer) finishes it instead of sending
it again: the same message id and proposed time lead to the same place in the table, and the message id as the
event's key to the same event in the log.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sse_service.auth import SCOPE_PUBLISH, Principal, require_publishable
from sse_service.errors import ForbiddenError, InvalidInputError, NotFoundError, TooLargeError, UnavailableError
from sse_service.events import (
    CONVERSATION_TYPE,
    RESERVED_TYPES,
    Draft,
    EventId,
    check_conversation_id,
    check_event_type,
    check_key,
    check_name,
    parse_topic,
    room_topic,
    tenant_topic,
    user_topic,
)
from sse_service.once import Once
from sse_service.ports import Claim, ClaimStore, Clock, Conversation, ConversationStore, Message, MessageStore
from sse_service.publisher import Published, Publisher
from sse_service.wire import compact_json

__all__ = ["ChatService", "EventIn", "Sent", "message_frame"]

MICRO = 1_000_000
AT_ONCE = 32
MAX_PARTICIPANTS = 200
MAX_EVENTS = 500
KNOWN_CONVERSATIONS = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """The place a message has; is_duplicate: it had it before this request."""

    message_id: str
    conversation_id: str
    timestamp_us: int
    event_id: str
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class EventIn:
    """An event as a back end hands it in. ensure: (conversation id, open) to make if it is missing."""

    topic: str
    type: str
    data: object
    key: str = ""
    origin: str = ""
    ensure: tuple[str, bool] | None = None


def message_frame(message: Message) -> dict[str, object]:
    """The message as clients of both stacks get it (timestamp: UNIX seconds with microseconds)."""
    return {
        "type": "message",
        "roomId": message.conversation_id,
        "messageId": message.message_id,
        "userName": message.user_name,
        "message": message.text,
        "timestamp": message.timestamp_us / MICRO,
    }


class ChatService:
    def __init__(
        self,
        publisher: Publisher,
        messages: MessageStore,
        conversations: ConversationStore,
        claims: ClaimStore,
        *,
        clock: Clock,
        keep_s: float,
        max_event_bytes: int,
    ) -> None:
        self._publisher = publisher
        self._messages = messages
        self._conversations = conversations
        self._once = Once(claims, clock, keep_s)
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._ensured: dict[tuple[str, str, bool], None] = {}

    # Conversations ------------------------------------------------------------------------------------

    async def admit(self, principal: Principal, conversation_id: str) -> Conversation:
        """The conversation, if `principal` takes part in it.

        Raises ForbiddenError, with the same words whether it exists or not.
        """
        conversation = await self._conversations.get(principal.tenant, conversation_id)
        if conversation is None or not conversation.admits(principal.user):
            raise ForbiddenError("not a participant of this conversation")
        return conversation

    async def conversation(self, principal: Principal, conversation_id: str) -> Conversation:
        """A conversation, for one who takes part in it, or for a back end.

        Raises: ForbiddenError: `principal` is neither. NotFoundError: there is none (said to back ends only).
        """
        check_conversation_id(conversation_id)
        if SCOPE_PUBLISH not in principal.scopes:
            return await self.admit(principal, conversation_id)
        found = await self._conversations.get(principal.tenant, conversation_id)
        if found is None:
            raise NotFoundError("there is no such conversation")
        return found

    async def rooms_of(self, principal: Principal) -> frozenset[str]:
        return await self._conversations.of_user(principal.tenant, principal.user)

    async def save_conversation(
        self, principal: Principal, conversation_id: str, participants: Sequence[str], is_open: bool
    ) -> tuple[Conversation, bool]:
        """Make or widen a conversation and tell the streams of those who can now read it.

        Returns it and whether it is new. Only its creator, or a back end (scope events:publish), may widen
        one that exists; for a participant a repeat without a change is fine.
        """
        check_conversation_id(conversation_id)
        if len(participants) > MAX_PARTICIPANTS:
            raise InvalidInputError("participants", f"no more than {MAX_PARTICIPANTS} at once")
        for user in participants:
            check_name("participants", user)
        tenant = principal.tenant
        is_service = SCOPE_PUBLISH in principal.scopes
        members = frozenset(participants) if is_service else frozenset(participants) | {principal.user}
        known = await self._conversations.get(tenant, conversation_id)
        if known is not None and not is_service and known.creator != principal.user:
            if not known.admits(principal.user):
                raise ForbiddenError("not a participant of this conversation")
            # Whom an open conversation admits need not be listed in it.
            widened = members - known.participants - ({principal.user} if known.is_open else set())
            if widened or (is_open and not known.is_open):
                raise ForbiddenError("only its creator may widen a conversation")
            return known, False
        if known is not None and is_open and not known.is_open and not self._messages.may_open(tenant):
            raise InvalidInputError(
                "open", "a private conversation stays private while the messages of open ones are shared"
            )
        saved = await self._conversations.save(tenant, Conversation(conversation_id, members, is_open, principal.user))
        await self._announce(tenant, saved.conversation_id, members, is_open)
        return saved, known is None

    async def _announce(self, tenant: str, conversation_id: str, members: frozenset[str], is_open: bool) -> None:
        data = compact_json({"type": CONVERSATION_TYPE, "conversationId": conversation_id, "open": is_open})
        told = [(user_topic(user), f"user:{user}") for user in sorted(members)]
        if is_open:
            told.append((tenant_topic(tenant), "open"))
        now = self._clock()
        drafts = [
            # Quoted: a user "a" with conversation "b:c" is not the user "a:b" with conversation "c".
            Draft(topic, CONVERSATION_TYPE, data, now, "rest", f"conversation:{quote(who, safe='')}:{conversation_id}")
            for topic, who in told
        ]
        if drafts:
            await self._publish_once(tenant, drafts)

    async def _ensure(self, principal: Principal, conversation_id: str, is_open: bool) -> None:
        known = (principal.tenant, conversation_id, is_open)
        if known in self._ensured:
            return
        there = await self._conversations.get(principal.tenant, conversation_id)
        # Only what is missing is made. To open one that people have made for themselves, because a room of
        # that name has a message elsewhere, would show it to everybody.
        if there is None or (there.creator == principal.user and there.is_open == is_open):
            await self.save_conversation(principal, conversation_id, [], is_open)
        if len(self._ensured) >= KNOWN_CONVERSATIONS:
            del self._ensured[next(iter(self._ensured))]
        self._ensured[known] = None

    # Messages -----------------------------------------------------------------------------------------

    async def send(self, principal: Principal, conversation_id: str, text: str, *, user_name: str, key: str) -> Sent:
        """Store a message and publish it, once for each key of a user.

        Raises ForbiddenError, TooLargeError, UnavailableError (carrying the key: repeating with it completes
        what was begun).
        """
        check_conversation_id(conversation_id)
        name = check_name("userName", user_name) if user_name else principal.user
        key = check_key("idempotencyKey", key) if key else uuid.uuid4().hex
        tenant = principal.tenant
        self._check_size(conversation_id, name, text)
        conversation = await self.admit(principal, conversation_id)
        try:
            facts = {
                "messageId": str(uuid.uuid4()),
                "conversationId": conversation_id,
                "at": str(int(self._clock() * MICRO)),
                "after": str(await self._publisher.tail(tenant)),
            }

            async def work(facts: Mapping[str, str], is_continued: bool) -> Mapping[str, str]:
                message = Message(facts["conversationId"], facts["messageId"], name, text, int(facts["at"]))
                # A repeat finishes what its key began, in whatever conversation that was.
                first = conversation
                if message.conversation_id != conversation_id:
                    first = await self.admit(principal, message.conversation_id)
                stored = await self._messages.put(tenant, message, is_open=first.is_open)
                draft = Draft(
                    room_topic(stored.conversation_id),
                    "message",
                    compact_json(message_frame(stored)),
                    stored.timestamp_us / MICRO,
                    "rest",
                    stored.message_id,
                )
                since = [EventId.parse(facts["after"])] if is_continued else None
                (published,) = await self._publisher.publish(tenant, [draft], since)
                return {
                    "messageId": stored.message_id,
                    "conversationId": stored.conversation_id,
                    "timestampUs": str(stored.timestamp_us),
                    "id": str(published.id),
                }

            record = f"IDEMPOTENCY#{_plain(tenant)}#{_plain(principal.user)}#{key}"
            result, was_done = await self._once.run(record, facts, work)
        except UnavailableError as error:
            raise UnavailableError(
                "the message may not have been delivered yet; repeat the request with this idempotencyKey",
                retry_after_s=error.retry_after_s or 1,
                idempotencyKey=key,
            ) from error
        return Sent(result["messageId"], result["conversationId"], int(result["timestampUs"]), result["id"], was_done)

    def _check_size(self, conversation_id: str, name: str, text: str) -> None:
        if not text:
            raise InvalidInputError("message", "must not be empty")
        try:
            size = len(compact_json({"roomId": conversation_id, "userName": name, "message": text}).encode())
        except ValueError:
            raise InvalidInputError("message", "is not valid Unicode text") from None
        if size + 256 > self._max_event_bytes:
            raise TooLargeError("the message", self._max_event_bytes - 256)

    async def history(
        self,
        principal: Principal,
        conversation_id: str,
        *,
        limit: int,
        before_us: int | None,
        after_us: int | None,
    ) -> tuple[list[Message], int | None]:
        """The latest messages, oldest first, and the time to page further back with (None: no more)."""
        check_conversation_id(conversation_id)
        conversation = await self.admit(principal, conversation_id)
        messages, more = await self._messages.page(
            principal.tenant,
            conversation_id,
            is_open=conversation.is_open,
            limit=limit,
            before_us=before_us,
            after_us=after_us,
        )
        return messages, messages[0].timestamp_us if more and messages else None

    # Back ends ----------------------------------------------------------------------------------------

    async def publish_events(self, principal: Principal, events: Sequence[EventIn]) -> list[Published]:
        """Append events of a back end in their order; those whose key is known keep their first place.

        All of them are checked before anything is done. Raises InvalidInputError (field `events[i].name`),
        ForbiddenError, TooLargeError, UnavailableError.
        """
        principal.require(SCOPE_PUBLISH)
        if not 1 <= len(events) <= MAX_EVENTS:
            raise InvalidInputError("events", f"must have 1 to {MAX_EVENTS} entries")
        now = self._clock()
        drafts = [self._draft(principal, f"events[{i}]", event, now) for i, event in enumerate(events)]
        for event in events:
            if event.ensure is not None:
                await self._ensure(principal, *event.ensure)
        return await self._publish_once(principal.tenant, drafts)

    def _draft(self, principal: Principal, field: str, event: EventIn, now: float) -> Draft:
        topic = parse_topic(event.topic, f"{field}.topic")
        require_publishable(principal, topic)
        kind = check_event_type(event.type, f"{field}.type")
        if kind in RESERVED_TYPES:
            raise InvalidInputError(f"{field}.type", f"{kind!r} is the service's own")
        try:
            data = compact_json(event.data)
        except (ValueError, RecursionError):
            raise InvalidInputError(f"{field}.data", "is not valid JSON in valid Unicode") from None
        if len(data.encode()) > self._max_event_bytes:
            raise TooLargeError(f"{field}.data", self._max_event_bytes)
        if event.ensure is not None:
            check_conversation_id(event.ensure[0], f"{field}.ensureConversation.conversationId")
        key = check_key(f"{field}.key", event.key) if event.key else ""
        origin = check_name(f"{field}.origin", event.origin, 64) if event.origin else principal.user[:64]
        return Draft(topic, kind, data, now, origin, key)

    async def _publish_once(self, tenant: str, drafts: Sequence[Draft]) -> list[Published]:
        """Append drafts; of those with a key only what was not appended before."""
        keyed = {draft.key: draft for draft in reversed(drafts) if draft.key}
        if not keyed:
            return await self._publisher.publish(tenant, drafts)
        owner = uuid.uuid4().hex
        facts = {"after": str(await self._publisher.tail(tenant))}
        names = {key: f"EVENT#{_plain(tenant)}#{key}" for key in keyed}
        claims = await self._claim_all(owner, names, facts)
        try:
            todo: list[Draft] = []
            since: list[EventId | None] = []
            for draft in drafts:
                claim = claims.get(draft.key)
                if claim is None:
                    todo.append(draft)
                    since.append(None)
                elif claim.state != "done" and keyed[draft.key] is draft:
                    todo.append(draft)
                    taken = claim.state == "taken_over"
                    since.append(EventId.parse(claim.facts["after"]) if taken else None)
            placed = await self._publisher.publish(tenant, todo, since if any(since) else None) if todo else []
        except BaseException:
            await asyncio.shield(self._release_all(owner, names, claims))
            raise
        ids = {id(draft): published for draft, published in zip(todo, placed, strict=True)}
        new = {draft.key: published for draft, published in zip(todo, placed, strict=True) if draft.key}
        await _in_turns([self._once.complete(names[key], {"id": str(one.id)}) for key, one in new.items()])
        results = []
        for draft in drafts:
            if id(draft) in ids:
                results.append(ids[id(draft)])
            elif draft.key in new:
                results.append(Published(new[draft.key].id, was_there=True))
            else:
                first = EventId.parse(claims[draft.key].result["id"])
                assert first is not None  # noqa: S101 - written by `complete` above
                results.append(Published(first, was_there=True))
        return results

    async def _claim_all(self, owner: str, names: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, Claim]:
        claims: dict[str, Claim] = {}

        async def claim(key: str, name: str) -> None:
            claims[key] = await self._once.attempt(name, owner, facts)

        try:
            await _in_turns([claim(key, name) for key, name in names.items()])
            if any(claim.state == "busy" for claim in claims.values()):
                # Two that hold and wait could wait for each other: let go of all, then one by one in the same order
                # for everybody.
                await self._release_all(owner, names, claims)
                claims.clear()
                for key in sorted(names):
                    claims[key] = await self._once.claim(names[key], owner, facts)
        except BaseException:
            await asyncio.shield(self._release_all(owner, names, claims))
            raise
        return claims

    async def _release_all(self, owner: str, names: Mapping[str, str], claims: Mapping[str, Claim]) -> None:
        held = [key for key, claim in claims.items() if claim.state in {"mine", "taken_over"}]
        await _in_turns([self._once.release(names[key], owner) for key in held])


def _plain(part: str) -> str:
    return quote(part, safe="@.:+-_")


async def _in_turns(jobs: Sequence[Awaitable[None]]) -> None:
    """Run coroutines, a limited number at a time; the first exception is raised after all have ended."""
    problem: BaseException | None = None
    for at in range(0, len(jobs), AT_ONCE):
        for result in await asyncio.gather(*jobs[at : at + AT_ONCE], return_exceptions=True):
            if isinstance(result, BaseException) and problem is None:
                problem = result
    if problem is not None:
        raise problem
