"""What the responder says to a chat message, in order: chat_stream_start, chat_stream_chunk ..., chat_stream_end.

Either to the one who asked, as the response of their request (`stream`), or as events to all streams of the user
(`publish`). An answer is made by a task of its own: who leaves cancels it, and what it holds is let go without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Callable
from typing import Any

from sse_service.auth import Principal
from sse_service.chat.answer import Answer, AnswerIds
from sse_service.chat.frames import pieces
from sse_service.chat.publishing import Publishing
from sse_service.chat.sending import Sending, Sent
from sse_service.errors import ConflictError, RequestError, ResponderFailedError
from sse_service.events import Draft, EventId, key_part, user_topic
from sse_service.metrics import Metrics
from sse_service.once import Once
from sse_service.ports import Claim, Clock, Conversation
from sse_service.responder import Respond, check_output, run
from sse_service.wire import compact_json
from sse_service.work import Work

__all__ = ["Answers"]

logger = logging.getLogger("sse_service.answers")

MAX_CHUNKS = 10_000
MAX_KEPT_BYTES = 150_000
"""Answers up to this size can be given again to a repeat of their request."""


class Answers:
    """max_s: the longest an answer may take as a response, which is what the deployment lets one last. max_untold_s: as
    events."""

    def __init__(
        self,
        respond: Respond,
        sending: Sending,
        publishing: Publishing,
        once: Once,
        work: Work,
        metrics: Metrics,
        clock: Clock,
        *,
        max_s: float,
        max_untold_s: float,
    ) -> None:
        self.work = work
        self._respond = respond
        self._sending = sending
        self._publishing = publishing
        self._once = once
        self._metrics = metrics
        self._clock = clock
        self._max_s = max_s
        self._max_untold_s = max_untold_s

    async def stream(
        self, principal: Principal, conversation: Conversation, text: str, *, message_id: str, key: str
    ) -> Answer:
        """Store and publish what was said, and begin to answer it.

        A repeat with the key of an answer that was completed gets that one again. Raises BusyError, ConflictError (it
        is being answered), ResponderFailedError, and what sending raises.
        """
        caller = (principal.tenant, principal.user)
        self.work.enter(*caller)
        try:
            sent = await self._sending.say(principal, conversation, text, message_id=message_id, key=key)
            record = _Record(self._once, principal, key or message_id, sent)
            claim = await record.claim()
            answer = Answer(AnswerIds(sent.conversation_id, sent.message_id), sent.timestamp_us)
            if claim is not None and claim.state == "done" and "chunks" in claim.result:
                making = _again(answer, json.loads(claim.result["chunks"]))
            else:
                making = self._make(principal, conversation, text, answer, record)
            answer.made_by(self.work.start(making, caller))
        except BaseException:
            self.work.leave(*caller)
            raise
        # From here on its task holds the place.
        try:
            await answer.first()
        except BaseException:
            answer.abandon()
            raise
        return answer

    async def publish(
        self, principal: Principal, conversation: Conversation, text: str, *, message_id: str, key: str
    ) -> Sent:
        """The same, with the answer as events to all streams of the user; returns as soon as it is accepted.

        A repeat with the key of a message that was accepted changes nothing. Raises as `stream` does.
        """
        caller = (principal.tenant, principal.user)
        self.work.enter(*caller)
        try:
            sent = await self._sending.say(principal, conversation, text, message_id=message_id, key=key)
            # Without a key of the client's nobody can repeat it.
            record = _Record(self._once, principal, key or message_id, sent)
            try:
                claim = await record.claim()
            except ConflictError:
                claim = None
                is_taken = True
            else:
                is_taken = claim is not None and claim.state == "done"
            if is_taken:
                self.work.leave(*caller)
                return sent
            since = EventId.parse(claim.facts["after"]) if claim is not None and claim.state == "taken_over" else None
            self.work.start(self._tell(principal, conversation, text, sent, record, since), caller)
        except BaseException:
            self.work.leave(*caller)
            raise
        return sent

    def _request(self, principal: Principal, conversation: Conversation, text: str, message_id: str) -> dict[str, Any]:
        return {
            "feature": "chat",
            "id": message_id,
            "user_id": principal.user,
            "tenant_id": principal.tenant,
            "input": {"chat_id": conversation.conversation_id, "message": text},
        }

    async def _texts(self, request: dict[str, Any]) -> AsyncGenerator[str, None]:
        count = 0
        async with contextlib.aclosing(run(self._respond, request)) as items:
            async for item in items:
                for piece in pieces(check_output("chat", item).text):
                    count += 1
                    if count > MAX_CHUNKS:
                        raise ResponderFailedError(f"more than {MAX_CHUNKS} chunks")
                    yield piece

    async def _make(
        self, principal: Principal, conversation: Conversation, text: str, answer: Answer, record: _Record
    ) -> None:
        said: list[str] = []
        held = record.hold()
        try:
            request = self._request(principal, conversation, text, answer.message_id)
            left_s = max(0.0, min(self._max_s, principal.expires_at - self._clock()))
            async with asyncio.timeout(left_s), contextlib.aclosing(self._texts(request)) as texts:
                async for piece in texts:
                    said.append(piece)
                    await answer.put(piece)
            await self._keep(principal, conversation, said)
            await record.complete(said)
            self._metrics.answers.labels("completed").inc()
            await answer.finish("completed")
        except asyncio.CancelledError:
            # Its reader has left, or the service goes down: then the reader is still there.
            self._metrics.answers.labels("cancelled").inc()
            answer.cut("failed")
            raise
        except Exception as error:
            self._metrics.answers.labels("failed").inc()
            logger.exception("the responder failed", extra={"messageId": answer.message_id})
            if not answer.failed_at_once(_shown(error, answer.message_id)):
                await answer.finish("failed")
        finally:
            held()
            # In a task: a cancellation must not keep the claim from being let go.
            self.work.start(record.release())

    async def _keep(self, principal: Principal, conversation: Conversation, said: list[str]) -> None:
        try:
            await self._sending.keep_answer(principal, conversation, "".join(said))
        except RequestError as error:
            # It was said; that the history lacks it must not make it fail.
            logger.warning("an answer is not in the history: %s", error)

    async def _tell(
        self,
        principal: Principal,
        conversation: Conversation,
        text: str,
        sent: Sent,
        record: _Record,
        since: EventId | None,
    ) -> None:
        ids = AnswerIds(sent.conversation_id, sent.message_id)
        said: list[str] = []
        status = "failed"
        held = record.hold()
        cancelled: asyncio.CancelledError | None = None

        async def tell(part: str, facts: dict[str, object]) -> None:
            # Message ids may be chosen by clients: the key names whose it is.
            key = f"answer:{key_part(principal.user)}:{part}:{sent.message_id}"
            kind, now = str(facts["type"]), self._clock()
            draft = Draft(user_topic(principal.user), kind, compact_json(facts), now, "rest", key)
            await self._publishing.tell(principal.tenant, draft, since)

        try:
            await tell("start", ids.start(sent.timestamp_us))
            request = self._request(principal, conversation, text, sent.message_id)
            async with asyncio.timeout(self._max_untold_s), contextlib.aclosing(self._texts(request)) as texts:
                async for piece in texts:
                    await tell(str(len(said)), ids.chunk(len(said), piece))
                    said.append(piece)
            status = "completed"
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            logger.exception("the responder failed", extra={"messageId": sent.message_id})
        finally:
            held()
            self._metrics.answers.labels(status).inc()
        # Also when the service goes down: nobody may wait for the end of an answer for ever.
        await tell("end", ids.end(len(said), status))
        if status == "completed":
            await self._keep(principal, conversation, said)
        await record.complete(None)
        if cancelled is not None:
            raise cancelled


async def _again(answer: Answer, chunks: list[str]) -> None:
    for text in chunks:
        await answer.put(text)
    await answer.finish("completed")


def _shown(error: Exception, message_id: str) -> RequestError:
    if isinstance(error, RequestError) and not isinstance(error, ResponderFailedError):
        return error
    return ResponderFailedError(
        "the responder failed; the log has the reason under this request id", messageId=message_id
    )


class _Record:
    """Who answers a message that a client may ask for again (it sent a key); nothing where it did not."""

    def __init__(self, once: Once, principal: Principal, key: str, sent: Sent) -> None:
        self._once = once
        self._owner = uuid.uuid4().hex
        self._name = f"ANSWER#{key_part(principal.tenant)}#{key_part(principal.user)}#{key}" if key else ""
        self._facts = {"messageId": sent.message_id, "after": sent.event_id}
        self._is_open = False
        self._holder: asyncio.Task[None] | None = None

    async def claim(self) -> Claim | None:
        """Raises ConflictError: somebody is at it."""
        if not self._name:
            return None
        claim = await self._once.attempt(self._name, self._owner, self._facts)
        if claim.state == "busy":
            raise ConflictError(
                "this message is being answered at this moment",
                retry_after_s=2,
                messageId=self._facts["messageId"],
            )
        self._is_open = claim.state != "done"
        return claim

    def hold(self) -> Callable[[], None]:
        """Keep the claim until the returned function is called."""
        if self._is_open:
            self._holder = asyncio.create_task(self._once.hold(self._name, self._owner))
        return self._let_go

    def _let_go(self) -> None:
        if self._holder is not None:
            self._holder.cancel()

    async def complete(self, said: list[str] | None) -> None:
        """said: to be given again to a repeat; None: not to be."""
        if not self._is_open:
            return
        kept = json.dumps(said)
        self._is_open = False
        is_kept = said is not None and len(json.dumps(kept)) <= MAX_KEPT_BYTES
        await self._once.complete(self._name, {"chunks": kept} if is_kept else {})

    async def release(self) -> None:
        """The answer was not completed: a repeat may begin at once."""
        if self._is_open:
            self._is_open = False
            await self._once.release(self._name, self._owner)
