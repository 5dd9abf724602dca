"""Who talks where: conversations, their participants, and those that are made on demand."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Collection, Sequence

from sse_service.auth import SCOPE_PUBLISH, Principal
from sse_service.chat.addresses import direct_id, is_direct, is_support, support_id
from sse_service.chat.publishing import Publishing
from sse_service.errors import ForbiddenError, InvalidInputError, NotFoundError, UnavailableError
from sse_service.events import (
    CONVERSATION_TYPE,
    LEFT_TYPE,
    Draft,
    Topic,
    check_conversation_id,
    check_name,
    key_part,
    tenant_topic,
    user_topic,
)
from sse_service.ports import Clock, Conversation, ConversationStore, Departure, MessageStore
from sse_service.wire import compact_json

__all__ = ["Conversations"]

logger = logging.getLogger("sse_service.chat")

MAX_PARTICIPANTS = 200
KNOWN_CONVERSATIONS = 4096


class Conversations:
    """support: users who take part in every support conversation."""

    def __init__(
        self,
        publishing: Publishing,
        store: ConversationStore,
        messages: MessageStore,
        clock: Clock,
        support: Collection[str] = (),
    ) -> None:
        self._publishing = publishing
        self._store = store
        self._messages = messages
        self._clock = clock
        self._support = frozenset(support)
        self._ensured: dict[tuple[str, str, bool], None] = {}

    # Reading --------------------------------------------------------------------------------------------

    async def admit(self, principal: Principal, conversation_id: str) -> Conversation:
        """The conversation, if `principal` takes part in it; their own support conversation is made at need.

        Raises ForbiddenError, with the same words whether it exists or not.
        """
        conversation = await self._store.get(principal.tenant, conversation_id)
        if conversation_id == support_id(principal.user):
            return await self.support(principal)
        if conversation is None or not conversation.admits(principal.user):
            raise ForbiddenError("not a participant of this conversation")
        return conversation

    async def show(self, principal: Principal, conversation_id: str) -> Conversation:
        """A conversation, for one who takes part in it, or for a back end.

        Raises: ForbiddenError: `principal` is neither. NotFoundError: there is none (said to back ends only).
        """
        check_conversation_id(conversation_id)
        if SCOPE_PUBLISH not in principal.scopes:
            return await self.admit(principal, conversation_id)
        found = await self._store.get(principal.tenant, conversation_id)
        if found is None:
            raise NotFoundError("there is no such conversation")
        return found

    async def get(self, principal: Principal, conversation_id: str) -> Conversation | None:
        """Unchecked; for ids that the store has given for this user."""
        return await self._store.get(principal.tenant, conversation_id)

    async def of_user(self, principal: Principal, wanted: Collection[str] = ()) -> frozenset[str]:
        """Ids of all that `principal` may read; their support conversation is made when it is `wanted`."""
        own = support_id(principal.user)
        if own in wanted:
            await self.admit(principal, own)
        return await self._store.of_user(principal.tenant, principal.user)

    # On demand ------------------------------------------------------------------------------------------

    async def support(self, principal: Principal) -> Conversation:
        """The conversation of `principal` with the support, made at the first request for it.

        Requests that race make one: its id is the user's, and saving is adding.
        """
        members = self._support | {principal.user}
        return await self._on_demand(principal.tenant, Conversation(support_id(principal.user), members, False, ""))

    def find_direct(self, principal: Principal, partner: str) -> Conversation:
        """The conversation of `principal` with one other user, whether it was made or not."""
        check_name("with", partner)
        members = frozenset({principal.user, partner})
        return Conversation(direct_id(principal.user, partner), members, False, "")

    async def direct(self, principal: Principal, partner: str) -> Conversation:
        """The same, made if it is missing."""
        return await self._on_demand(principal.tenant, self.find_direct(principal, partner))

    async def _on_demand(self, tenant: str, wanted: Conversation) -> Conversation:
        conversation_id = wanted.conversation_id
        known = await self._store.get(tenant, conversation_id)
        memo = (tenant, conversation_id, False)
        if known is not None and wanted.participants <= known.participants and memo in self._ensured:
            return known
        # Each process does it once: whoever made it may have ended before its streams were told.
        saved = await self._save(tenant, wanted)
        self._remember(memo)
        return saved

    def _remember(self, memo: tuple[str, str, bool]) -> None:
        if len(self._ensured) >= KNOWN_CONVERSATIONS:
            del self._ensured[next(iter(self._ensured))]
        self._ensured[memo] = None

    # Changing -------------------------------------------------------------------------------------------

    async def save(
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
        known = await self._store.get(tenant, conversation_id)
        creator = principal.user
        if is_direct(conversation_id) or is_support(conversation_id):
            creator = ""  # nobody's to widen
            self._check_reserved(principal, conversation_id, members, is_open, is_service)
        if known is not None and not is_service and (not known.creator or known.creator != principal.user):
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
        saved = await self._save(tenant, Conversation(conversation_id, members, is_open, creator))
        return saved, known is None

    def _check_reserved(
        self, principal: Principal, conversation_id: str, members: frozenset[str], is_open: bool, is_service: bool
    ) -> None:
        """Conversations whose names say whose they are can be made by those only, and stay theirs."""
        if is_open:
            raise ForbiddenError("direct and support conversations are private")
        if is_direct(conversation_id):
            people = sorted(members)
            if not 1 <= len(people) <= 2 or direct_id(people[0], people[-1]) != conversation_id:
                raise ForbiddenError("a direct conversation has the two users of its id")
        elif not is_service and (
            conversation_id != support_id(principal.user) or members - self._support - {principal.user}
        ):
            raise ForbiddenError("the support conversation of a user is theirs")

    async def ensure(self, principal: Principal, conversation_id: str, is_open: bool) -> None:
        """For back ends: make it if it is missing."""
        known = (principal.tenant, conversation_id, is_open)
        if known in self._ensured:
            return
        there = await self._store.get(principal.tenant, conversation_id)
        # Only what is missing is made. To open one that people have made for themselves, because a room of
        # that name has a message elsewhere, would show it to everybody.
        if there is None or (there.creator == principal.user and there.is_open == is_open):
            await self.save(principal, conversation_id, [], is_open)
        self._remember(known)

    async def remove(self, principal: Principal, conversation_id: str, user: str) -> Conversation:
        """Take `user` out: oneself always, others as its creator or as a back end. Their streams stop getting it.

        Raises ForbiddenError, NotFoundError (there is no such conversation: said to back ends; or no such participant).
        """
        check_conversation_id(conversation_id)
        check_name("user", user)
        tenant = principal.tenant
        known = await self._store.get(tenant, conversation_id)
        is_service = SCOPE_PUBLISH in principal.scopes
        if known is None:
            if is_service:
                raise NotFoundError("there is no such conversation")
            raise ForbiddenError("not a participant of this conversation")
        is_creator = bool(known.creator) and known.creator == principal.user
        # Who has left may say so again: the first answer may have been lost.
        is_own = user == principal.user and (user in known.former or known.admits(user))
        if not (is_service or is_own or (is_creator and known.admits(principal.user))):
            if known.admits(principal.user):
                raise ForbiddenError("only its creator may remove others")
            raise ForbiddenError("not a participant of this conversation")
        if is_direct(conversation_id):
            raise ForbiddenError("nobody leaves a direct conversation")
        if user not in known.participants | known.former:
            raise NotFoundError("there is no such participant")
        departure = Departure(tenant, conversation_id, user, uuid.uuid4().hex)
        saved = await self._store.remove(departure) or known
        await self._tell_left(departure, saved)
        return saved

    async def tell_untold(self) -> None:
        """Tell of removals whose instance ended, or lost the log, before it could. Raises UnavailableError."""
        for departure in await self._store.untold():
            known = await self._store.get(departure.tenant, departure.conversation_id)
            logger.info("telling of a removal that was not told", extra={"conversationId": departure.conversation_id})
            await self._tell_left(departure, known)

    async def _tell_left(self, departure: Departure, saved: Conversation | None) -> None:
        tenant, conversation_id, user = departure.tenant, departure.conversation_id, departure.user
        if saved is not None and user in saved.former:
            data = {"type": LEFT_TYPE, "conversationId": conversation_id, "open": saved.is_open}
            key = f"left:{key_part(user)}:{saved.removals}:{conversation_id}"
            await self._tell(tenant, [(user_topic(user), LEFT_TYPE, data, key)])
            now = await self._store.get(tenant, conversation_id)
            if now is not None and user in now.participants:
                # Added again meanwhile: what was said of that may stand before what was said here.
                data = {"type": CONVERSATION_TYPE, "conversationId": conversation_id, "open": now.is_open}
                key = f"back:{key_part(user)}:{now.removals}:{conversation_id}"
                await self._tell(tenant, [(user_topic(user), CONVERSATION_TYPE, data, key)])
        with contextlib.suppress(UnavailableError):  # then it is told once more, which changes nothing
            await self._store.told(departure)

    async def _save(self, tenant: str, conversation: Conversation) -> Conversation:
        saved = await self._store.save(tenant, conversation)
        data = {"type": CONVERSATION_TYPE, "conversationId": saved.conversation_id, "open": conversation.is_open}
        told = [(user_topic(user), f"user:{user}") for user in sorted(conversation.participants)]
        if conversation.is_open:
            told.append((tenant_topic(tenant), "open"))
        # Who comes back after a removal is told again.
        again = f"{saved.removals}:" if saved.removals else ""
        await self._tell(
            tenant,
            # Quoted: a user "a" with conversation "b:c" is not the user "a:b" with conversation "c".
            [
                (topic, CONVERSATION_TYPE, data, f"conversation:{key_part(who)}:{again}{saved.conversation_id}")
                for topic, who in told
            ],
        )
        return saved

    async def _tell(self, tenant: str, told: Sequence[tuple[Topic, str, dict[str, object], str]]) -> None:
        now = self._clock()
        drafts = [Draft(topic, kind, compact_json(data), now, "rest", key) for topic, kind, data, key in told]
        if drafts:
            await self._publishing.publish_once(tenant, drafts)
