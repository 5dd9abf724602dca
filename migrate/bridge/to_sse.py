"""Legacy -> SSE: reads the tee's queue and publishes on the SSE service. until phase 3

A record is deleted from the queue only after the service has stored what it holds; the service drops repeats by key. So
a message is published once, however often this process, the service or the queue is restarted. Records that cannot be
read, and messages that the service refuses for what they are, are kept aside in a file, never dropped in silence.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx

from migrate.bridge.core import NOBODY, Owner, Rules, SsePublication, publications
from migrate.bridge.rooms import Rooms, Sharing
from migrate.bridge.status import BridgeStatus
from migrate.clients import Backoff
from migrate.tee.records import MalformedRecordError, TeeRecord, parse_record

__all__ = ["TOKEN_TTL_S", "LegacyToSse"]

# Far below the 20 s that SQS allows, so that a bridge told to stop can wait for its last poll: what an abandoned poll
# still receives stays hidden from the next bridge for the visibility timeout. One poller of 2 s costs about half a
# dollar a month (1.3 million requests at $0.40 a million).
LONG_POLL_S = 2
BATCH = 10
# Answers that say that the event itself is at fault; sent again it would be refused again.
NEVER_ACCEPTED = frozenset({400, 409, 413, 422})
TOKEN_TTL_S = 600
"""How long the tokens live that it asks for, seconds."""


class LegacyToSse:
    """One direction of the bridge.

    Args:
        sqs: a boto3 SQS client; its calls run in a thread.
        queue_url: the tee's queue.
        http: a client with the SSE service as its base URL.
        token: signs a token of a tenant with the scope events:publish.
        rules: what crosses.
        status: counters, shared with the other direction.
        aside: the file that records which cannot be read are appended to.
        owner_of: whose a connection is; called in a thread.
        seen: told each tenant that a record names.
        loses: asked of each message whether it is to be lost on purpose (trials).
        met: told of each record that entered: its connection and whose that is.
    """

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        http: httpx.AsyncClient,
        token: Callable[[str], str],
        rules: Rules,
        status: BridgeStatus,
        aside: Path,
        owner_of: Callable[[str], Owner] = lambda _: NOBODY,
        seen: Callable[[str], None] = lambda _: None,
        loses: Callable[[], bool] = lambda: False,
        met: Callable[[str, Owner], None] = lambda *_: None,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._http = http
        self._sign = token
        self._rules = rules
        self._owner_of = owner_of
        self._seen = seen
        self._loses = loses
        self._met = met
        self._status = status
        self._aside = aside
        self._rooms = Rooms(http, self._token)
        self._tokens: dict[str, tuple[float, str]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Nothing that happens to the queue or the service ends it."""
        backoff = Backoff()
        failures = 0
        messages: list[dict[str, Any]] = []
        waiting: list[SsePublication] = []
        while not stop.is_set():
            try:
                # What could not be published is tried again from here: the queue would hide it for a while.
                if not messages:
                    received = await asyncio.to_thread(self._receive)
                    if not received:
                        continue
                    # In hand only once all of it was read: what is in hand with nothing waiting is deleted.
                    waiting = await self._read(received)
                    messages = received
                while waiting:
                    group = [publication for publication in waiting if publication.tenant == waiting[0].tenant]
                    await self._publish(group)
                    waiting = [publication for publication in waiting if publication not in group]
                published, messages = messages, []
                await asyncio.to_thread(self._delete, published)
                failures, self._status.problem_to_sse = 0, ""
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it is: the records stay in the queue, and are tried again
                failures += 1
                self._status.problem_to_sse = f"{type(error).__name__}: {error}"[:300]
                await _sleep(backoff.delay_s(failures - 1), stop)

    def _receive(self) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=LONG_POLL_S
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        answer = self._sqs.delete_message_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
            ],
        )
        if answer.get("Failed"):
            raise RuntimeError(f"{len(answer['Failed'])} record(s) could not be deleted from the queue")

    async def _read(self, messages: Iterable[dict[str, Any]]) -> list[SsePublication]:
        """What the records say. Nothing is counted or put aside before all of them could be read: it is done again."""
        found: list[SsePublication] = []
        aside: list[tuple[str, str]] = []
        nobodys: list[tuple[str, int]] = []
        not_captured = 0
        for message in messages:
            try:
                record = parse_record(message["Body"])
                if record.connection_id and not record.is_answer and record.user is not None:
                    self._met(record.connection_id, Owner(record.user, record.tenant))
                told, unknown = await asyncio.to_thread(self._told, record)
            except MalformedRecordError as error:
                aside.append((message["Body"], error.reason))
                continue
            except (ValueError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
                # It would be the same the next time, and the records behind it would wait for ever.
                aside.append((message["Body"], f"the rules cannot be applied to it: {type(error).__name__}"))
                continue
            not_captured += record.dropped_before
            if unknown:
                nobodys.append((message["Body"], unknown))
            if record.truncated:
                aside.append((message["Body"], "the tee had to leave payloads out"))
            # Also of who sends nothing: a client that only listens here is owed what the new stack's users say.
            for tenant in dict.fromkeys(filter(None, (record.tenant, *(publication.tenant for publication in told)))):
                self._seen(tenant)
            found.extend(one for one in told if not self._loses())
        for body, reason in aside:
            self._status.malformed += 1
            await asyncio.to_thread(self._put_aside, body, reason)
        for body, count in nobodys:
            self._status.nobodys += count
            reason = f"nobody knows any more whose {count} of the connections were that it was posted to"
            await asyncio.to_thread(self._put_aside, body, reason)
        self._status.not_captured += not_captured
        return found

    def _told(self, record: TeeRecord) -> tuple[list[SsePublication], int]:
        """What is published of it, and of how many connections nobody knows whose they were."""
        unknown: set[str] = set()

        def owner_of(connection: str) -> Owner:
            owner = self._owner_of(connection)
            if owner.user is None:
                unknown.add(connection)
            return owner

        return publications(record, self._rules, owner_of), len(unknown)

    async def _publish(self, group: list[SsePublication]) -> None:
        """Publish messages of one tenant; those that will never be accepted are put aside."""
        allowed = [publication for publication in group if await self._is_shared(publication)]
        if not allowed:
            return
        tenant = allowed[0].tenant
        try:
            body = json.dumps({"events": [publication.body() for publication in allowed]}, allow_nan=False).encode()
        except ValueError as error:
            await self._one_by_one(allowed, f"it cannot be written as JSON: {error}")
            return
        answer = await self._http.post(
            "/api/events",
            content=body,
            headers={"Authorization": f"Bearer {self._token(tenant)}", "Content-Type": "application/json"},
        )
        if answer.status_code in NEVER_ACCEPTED or (
            # A name that our own tenant does not have: the legacy stack allows tenants that the service does not.
            answer.status_code in (401, 403) and tenant != self._rules.default_tenant
        ):
            await self._one_by_one(allowed, f"POST /api/events answered {answer.status_code}")
            return
        if answer.is_error:
            # Without the body: it may repeat what was sent.
            raise RuntimeError(f"POST /api/events answered {answer.status_code}")
        self._status.to_sse += len(allowed)

    async def _one_by_one(self, group: list[SsePublication], reason: str) -> None:
        """One that is refused for what it is must not keep the others waiting for ever."""
        if len(group) > 1:
            for publication in group:
                await self._publish([publication])
            return
        self._status.refused += 1
        await asyncio.to_thread(self._put_aside, json.dumps(group[0].body()), reason)

    async def _is_shared(self, publication: SsePublication) -> bool:
        if publication.room is None:
            return True
        try:
            sharing = await self._rooms.sharing(publication.tenant, publication.room)
        except httpx.HTTPStatusError:
            return True  # POST /api/events says why, and is judged by its own answer
        if sharing is not Sharing.PRIVATE:
            return True
        self._status.refused += 1
        await asyncio.to_thread(self._put_aside, json.dumps(publication.body()), "the conversation is private")
        return False

    def _token(self, tenant: str) -> str:
        made_at, token = self._tokens.get(tenant, (0.0, ""))
        if time.monotonic() - made_at > TOKEN_TTL_S / 2 or not token:
            made_at, token = time.monotonic(), self._sign(tenant)
            self._tokens[tenant] = (made_at, token)
        return token

    def _put_aside(self, body: str, reason: str) -> None:
        line = json.dumps({"at": time.time(), "reason": reason, "body": body}, ensure_ascii=False) + "\n"
        # People's messages: for their owner's eyes.
        descriptor = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
