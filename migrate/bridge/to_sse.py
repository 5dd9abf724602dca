"""Legacy -> SSE: reads the tee's queue and publishes on the SSE service. until phase 3

A record is deleted from the queue only after the service has stored what it holds; the service drops repeats by key. So
a message is published once, however often this process, the service or the queue is restarted. Records that cannot be
read, and messages that the service refuses for what they are, are kept aside in a file, never dropped in silence.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx

from migrate.bridge.core import BridgeRule, SsePublication, publications
from migrate.bridge.status import BridgeStatus
from migrate.clients import Backoff
from migrate.tee.records import MalformedRecordError, parse_record
from migrate.tokens import mint

__all__ = ["LegacyToSse"]

# Far below the 20 s that SQS allows, so that a bridge told to stop can wait for its last poll: what an abandoned poll
# still receives stays hidden from the next bridge for the visibility timeout. One poller of 2 s costs about half a
# dollar a month (1.3 million requests at $0.40 a million).
LONG_POLL_S = 2
BATCH = 10
# Answers that say that the event itself is at fault; sent again it would be refused again.
NEVER_ACCEPTED = frozenset({400, 413, 422})
TOKEN_TTL_S = 600


class LegacyToSse:
    """One direction of the bridge.

    Args:
        sqs: a boto3 SQS client; its calls run in a thread.
        queue_url: the tee's queue.
        http: a client with the SSE service as its base URL.
        secret: signs the tokens it publishes with.
        rule, default_tenant: see `core.publications`.
        status: counters, shared with the other direction.
        aside: the file that records which cannot be read are appended to.
    """

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        http: httpx.AsyncClient,
        secret: str,
        rule: BridgeRule,
        default_tenant: str,
        status: BridgeStatus,
        aside: Path,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._http = http
        self._secret = secret
        self._rule = rule
        self._default_tenant = default_tenant
        self._status = status
        self._aside = aside
        self._tokens: dict[str, tuple[float, str]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Nothing that happens to the queue or the service ends it."""
        backoff = Backoff()
        failures = 0
        batch: list[dict[str, Any]] = []
        while not stop.is_set():
            try:
                # A batch that could not be published is tried again from here: the queue would hide it for a while.
                batch = batch or await asyncio.to_thread(self._receive)
                if not batch:
                    continue
                await self._publish_all(batch)
                published, batch = batch, []
                await asyncio.to_thread(self._delete, published)
                failures, self._status.problem = 0, ""
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it is: the records stay in the queue, and are tried again
                failures += 1
                self._status.problem = f"WebSocket to SSE: {type(error).__name__}: {error}"[:300]
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

    async def _publish_all(self, messages: Iterable[dict[str, Any]]) -> None:
        found: list[SsePublication] = []
        for message in messages:
            try:
                record = parse_record(message["Body"])
            except MalformedRecordError as error:
                self._status.malformed += 1
                await asyncio.to_thread(self._put_aside, message["Body"], error.reason)
                continue
            self._status.not_captured += record.dropped_before
            found.extend(publications(record, self._rule, self._default_tenant))
        for tenant, group in groupby(found, key=lambda publication: publication.tenant):
            await self._publish(tenant, list(group))

    async def _publish(self, tenant: str, group: list[SsePublication]) -> None:
        answer = await self._http.post(
            "/api/events",
            json={"events": [publication.body() for publication in group]},
            headers={"Authorization": f"Bearer {self._token(tenant)}"},
        )
        if answer.status_code in NEVER_ACCEPTED:
            # One that is refused for what it is must not keep the others waiting for ever.
            if len(group) > 1:
                for publication in group:
                    await self._publish(tenant, [publication])
                return
            self._status.refused += 1
            body = json.dumps(group[0].body(), ensure_ascii=False)
            await asyncio.to_thread(self._put_aside, body, f"POST /api/events answered {answer.status_code}")
            return
        if answer.is_error:
            # Without the body: it may repeat what was sent.
            raise RuntimeError(f"POST /api/events answered {answer.status_code}")
        self._status.to_sse += len(group)

    def _token(self, tenant: str) -> str:
        made_at, token = self._tokens.get(tenant, (0.0, ""))
        if time.monotonic() - made_at > TOKEN_TTL_S / 2 or not token:
            made_at, token = (
                time.monotonic(),
                mint("bridge", tenant, self._secret, ("events:publish",), TOKEN_TTL_S),
            )
            self._tokens[tenant] = (made_at, token)
        return token

    def _put_aside(self, body: str, reason: str) -> None:
        with self._aside.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.time(), "reason": reason, "body": body}, ensure_ascii=False) + "\n")


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
