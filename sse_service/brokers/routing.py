"""Which SQS queues are for whom, and what they are called. Pure.

A mailbox is a queue that several instances may poll: a user's, or a tenant's (for its streams of everything, and in
the mode `tenant` for all). An instance's own queue is named by a slot number, so that the queue of an instance that
is gone is taken over by the next one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from sse_service.brokers.notice import Notice
from sse_service.events import Event
from sse_service.ports import Batch

__all__ = ["Audience", "Mailbox", "audience_of", "fifo_ids", "instance_queue_name", "one_by_one", "plain", "queue_name"]

FIFO = ".fifo"
MAX_NAME = 80
"""Letters, digits, - and _; a FIFO queue's name ends with .fifo (SQS API reference, CreateQueue, QueueName)."""
MAX_ID = 128
"""MessageGroupId and MessageDeduplicationId (SQS API reference, SendMessage)."""

_UNFIT = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)


class Mailbox(NamedTuple):
    """user None: the tenant's."""

    tenant: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """Who must hear of a batch: users, those who take part in rooms, or everybody."""

    users: frozenset[str]
    rooms: frozenset[str]
    is_everybody: bool


def plain(part: str) -> str:
    """ASCII without `#`, which begins the names that are ours."""
    return quote(part, safe="@.:+-_")


def queue_name(pattern: str, prefix: str, mailbox: Mailbox) -> str:
    """{tenant} and {user} stand for themselves where a queue's name can hold them, else for a hash; a name that
    would be too long ends with the hash of the mailbox."""
    whole = _hash("\0".join(part for part in mailbox if part is not None))
    name = pattern.format(prefix=prefix, tenant=_fit(mailbox.tenant), user=_fit(mailbox.user or ""), hash=whole)
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - len(whole) - 1]}-{whole}"


def instance_queue_name(pattern: str, prefix: str, slot: int, *, is_fifo: bool) -> str:
    return pattern.format(prefix=prefix, slot=slot).removesuffix(FIFO) + (FIFO if is_fifo else "")


def _fit(part: str) -> str:
    return part if part and len(part) <= 32 and not _UNFIT.search(part) else _hash(part)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def audience_of(events: Iterable[Event]) -> Audience:
    """By the topics: what is not a user's or a room's may be followed by anybody."""
    users, rooms, is_everybody = set(), set(), False
    for event in events:
        kind, _, name = event.topic.partition(":")
        if kind == "user":
            users.add(name)
        elif kind == "room":
            rooms.add(name)
        else:
            is_everybody = True
    return Audience(frozenset(users), frozenset(rooms), is_everybody)


def one_by_one(notices: Sequence[Notice]) -> list[Notice]:
    """Each event as a notice of its own: in a FIFO queue it is one message of its topic's group."""
    single: list[Notice] = []
    for notice in notices:
        if notice.batch is None:
            single.append(notice)
        else:
            until = notice.batch.trusted_until
            single += [Notice.of(Batch(notice.tenant, (event,), "", until)) for event in notice.batch.events]
    return single


def fifo_ids(notice: Notice) -> tuple[str, str]:
    """MessageGroupId (the topic, within its tenant) and MessageDeduplicationId (the event's id)."""
    topic = notice.batch.events[-1].topic if notice.batch is not None else "*"
    group = f"{plain(notice.tenant)}/{plain(topic)}"
    return group if len(group) <= MAX_ID else _hash(group), str(notice.position)
