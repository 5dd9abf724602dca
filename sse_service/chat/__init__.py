"""Chat, and what back ends publish.

addresses      names of direct and support conversations      frames      payloads, as both stacks have them
conversations  who talks where                                sending     stored first, published second, once
history        pages, single messages                         receipts    read, unread, recent conversations
typing         an event with a short life                     publishing  events of back ends, each key once
answers        what the responder says, as a stream           jobs        agent runs and library jobs
uploads        files that messages refer to
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sse_service.auth import Principal
from sse_service.chat.answers import Answers
from sse_service.chat.conversations import Conversations
from sse_service.chat.frames import MICRO, message_frame
from sse_service.chat.history import History, HistoryPage
from sse_service.chat.jobs import Jobs
from sse_service.chat.publishing import EventIn, Publishing
from sse_service.chat.receipts import Receipts
from sse_service.chat.sending import Sending, Sent
from sse_service.chat.typing import Typing
from sse_service.chat.uploads import Uploads
from sse_service.errors import UnavailableError
from sse_service.events import check_conversation_id
from sse_service.metrics import Metrics
from sse_service.once import Once
from sse_service.ports import (
    ClaimStore,
    Clock,
    Conversation,
    ConversationStore,
    InboxStore,
    JobStore,
    MessageStore,
    UploadStore,
)
from sse_service.publisher import Published, Publisher
from sse_service.responder import Respond
from sse_service.settings import Settings
from sse_service.work import Work

__all__ = ["MICRO", "ChatService", "ChatStores", "EventIn", "HistoryPage", "Sent", "message_frame"]

logger = logging.getLogger("sse_service.chat")

SWEEP_S = 10.0
"""How often every instance looks for removals that another one did not live to tell: one read, usually of nothing."""


@dataclass(frozen=True, slots=True)
class ChatStores:
    """uploads: None where no bucket is set."""

    messages: MessageStore
    conversations: ConversationStore
    claims: ClaimStore
    inbox: InboxStore
    jobs: JobStore
    uploads: UploadStore | None


class ChatService:
    """Its parts, put together; what a request names is checked here before a part sees it."""

    def __init__(
        self,
        publisher: Publisher,
        stores: ChatStores,
        respond: Respond,
        metrics: Metrics,
        settings: Settings,
        clock: Clock,
    ) -> None:
        messages, inbox = stores.messages, stores.inbox
        self._sweep: asyncio.Task[None] | None = None
        once = self._once = Once(stores.claims, clock, settings.retention_s)
        publishing = self.publishing = Publishing(
            publisher, once, clock, settings.max_event_bytes, settings.topic_kinds
        )
        conversations = self.conversations = Conversations(
            publishing, stores.conversations, messages, clock, settings.support_participants
        )
        self.sending = Sending(
            publishing, conversations, messages, inbox, once, clock, notify_full=settings.notify == "full"
        )
        self.history = History(messages, inbox)
        self.receipts = Receipts(publishing, conversations, messages, inbox, clock)
        self.typing = Typing(publishing, clock)
        self.answers = Answers(
            respond,
            self.sending,
            publishing,
            once,
            Work("answers", settings.max_answers_per_user, settings.max_answers),
            metrics,
            clock,
            max_s=settings.effective_max_age_s,
            max_untold_s=settings.max_job_s,
        )
        self.jobs = Jobs(
            respond,
            stores.jobs,
            publishing,
            Work("jobs", settings.max_jobs_per_user, settings.max_jobs),
            metrics,
            clock,
            max_s=settings.max_job_s,
            keep_s=settings.retention_s,
        )
        self.uploads = Uploads(
            stores.uploads,
            types=settings.uploads_types,
            max_bytes=settings.uploads_max_bytes,
            expires_s=settings.uploads_expires_s,
            prefix=settings.uploads_prefix,
        )

    async def start(self) -> None:
        """Raises StartupError."""
        await self.uploads.start()
        self._sweep = asyncio.create_task(self._tell_untold())

    async def _tell_untold(self) -> None:
        while True:
            try:
                await self.conversations.tell_untold()
            except UnavailableError as error:
                logger.warning("removals that were not told wait: %s", error)
            except Exception:
                logger.exception("removals that were not told wait")
            await asyncio.sleep(SWEEP_S)

    async def drain(self, grace_s: float) -> int:
        """Let answers and jobs finish, then interrupt them. Returns how many were interrupted."""
        return sum(await asyncio.gather(self.answers.work.drain(grace_s), self.jobs.work.drain(grace_s)))

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.gather(self._sweep, return_exceptions=True)
        await self._once.close()
        await self.uploads.close()

    async def admit(self, principal: Principal, conversation_id: str) -> Conversation:
        """The conversation, if `principal` takes part in it. Raises InvalidInputError, ForbiddenError."""
        check_conversation_id(conversation_id)
        return await self.conversations.admit(principal, conversation_id)

    async def rooms_of(self, principal: Principal, wanted: Collection[str] = ()) -> frozenset[str]:
        return await self.conversations.of_user(principal, wanted)

    async def publish_events(self, principal: Principal, events: Sequence[EventIn]) -> list[Published]:
        """See Publishing.publish_events."""
        return await self.publishing.publish_events(principal, events, self.conversations.ensure)
