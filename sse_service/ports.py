"""What the service needs from the outside, as protocols. Adapters are in adapters/; app.py chooses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from sse_service.events import Draft, Event, EventId

__all__ = [
    "Attachment",
    "Batch",
    "Broker",
    "BrokerListener",
    "Claim",
    "ClaimStore",
    "Clock",
    "Conversation",
    "ConversationStore",
    "Cursor",
    "EventLog",
    "ImmediateEventLog",
    "InboxStore",
    "IngestQueue",
    "Job",
    "JobStore",
    "Message",
    "MessageStore",
    "Page",
    "PresignedPost",
    "StoredObject",
    "Tail",
    "TakeEvents",
    "UploadStore",
]

Clock = Callable[[], float]
"""Seconds: UNIX time where a stored or signed time is meant, monotonic where a duration is."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a tenant's log as somebody has seen it.

    trusted_until: UNIX seconds; after it the log may have begun anew, so that it must be asked again.
    is_unused: nothing was ever appended in this epoch.
    """

    position: EventId
    trusted_until: float
    is_unused: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that were appended together: consecutive sequence numbers, at least one event."""

    tenant: str
    events: tuple[Event, ...]
    batch_id: str
    trusted_until: float

    @property
    def end(self) -> EventId:
        return self.events[-1].id

    @property
    def tail(self) -> Tail:
        return Tail(self.end, self.trusted_until)


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a log: events after the cursor, in order. `end`: the cursor for the next page.
    batch_ids: those of the batches the events came from, so that a writer recognises its own."""

    events: tuple[Event, ...]
    end: EventId
    more: bool
    trusted_until: float
    batch_ids: frozenset[str] = frozenset()


class EventLog(Protocol):
    """One dense sequence of events per tenant (docs/decisions/0003)."""

    async def start(self) -> None:
        """Connect and check. Raises StartupError."""

    async def close(self) -> None: ...

    async def tail(self, tenant: str) -> Tail:
        """Where the log ends now; makes the log of a tenant that has none. Raises UnavailableError."""

    async def append(self, tenant: str, tail: Tail, drafts: Sequence[Draft], batch_id: str) -> Batch:
        """Give `drafts` the numbers after `tail`, all of them or none, in one conditional write.

        Raises AppendConflictError (the number is taken; it may have been taken by this very batch, when an
        earlier attempt was carried out but not answered), UnavailableError (carried out or not: unknown).
        """

    async def read(self, tenant: str, after: EventId, *, max_bytes: int, aligned: bool = False) -> Page:
        """Events after a cursor; an empty page when there are none yet.

        aligned: the caller knows that a batch ends at `after`, which saves a look-up.
        Raises HistoryGoneError, UnavailableError.
        """


@runtime_checkable
class ImmediateEventLog(Protocol):
    """A log that appends without waiting (the memory log): no queue, no task, no conflict."""

    def append_now(self, tenant: str, drafts: Sequence[Draft]) -> Batch: ...


class BrokerListener(Protocol):
    """Whom a broker tells: the hub of this instance."""

    def accept(self, batch: Batch) -> None:
        """A batch was appended by somebody; in order or not, once or more often."""

    def look(self, tenant: str | None = None) -> None:
        """There may be more in the log of a tenant (None: of any tenant) than was told: look now."""

    async def written(self, tenant: str, position: EventId, user: str | None = None) -> bool:
        """Whether the streams here (of `user`) have been written everything up to `position`, waiting a little
        for those that are slow. Raises UnavailableError when the log cannot be read."""


class Broker(Protocol):
    """How an instance learns of events that another one appended (docs/decisions/0006).

    It may lose, repeat and reorder: the log is what counts, and a gap is read from there. When it may have
    missed something (its connection was gone, a queue was full) it says so: `BrokerListener.look`.
    """

    async def start(self, listener: BrokerListener) -> None:
        """Begin to listen. A broker that is away now is tried again later."""

    def notify(self, batch: Batch) -> None:
        """Tell the other instances; never waits, never raises."""

    def follow(self, tenant: str, user: str | None) -> None:
        """A stream opened here; user None: one of everything in the tenant. Never waits, never raises."""

    def unfollow(self, tenant: str, user: str | None) -> None:
        """It ended: as many times as `follow`."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Attachment:
    """An uploaded file that a message refers to; owner: the user who uploaded it."""

    upload_id: str
    owner: str
    content_type: str
    size: int
    name: str


TakeEvents = Callable[[str, str], Awaitable[bool]]
"""Publish the events of a message (body, its id); False: they had been. Raises RequestError: 4xx, the message is wrong;
5xx, it may be right later."""


class IngestQueue(Protocol):
    """Where back ends leave events to be published."""

    async def start(self, take: TakeEvents) -> None: ...

    async def close(self) -> None:
        """Take nothing more, finish what is in hand."""


@dataclass(frozen=True, slots=True)
class Message:
    """A chat message. timestamp_us: UNIX microseconds, unique in its conversation. sender: user id; what another
    system has written knows the name only."""

    conversation_id: str
    message_id: str
    user_name: str
    text: str
    timestamp_us: int
    sender: str = ""
    attachment: Attachment | None = None

    @property
    def author(self) -> str:
        return self.sender or self.user_name


class MessageStore(Protocol):
    def may_open(self, tenant: str) -> bool:
        """Whether a private conversation of the tenant can be opened later: its messages would still be found."""

    async def put(self, tenant: str, message: Message, *, is_open: bool) -> Message:
        """Store at its timestamp or, where that is taken by another message, microseconds later.

        Putting the same message (same id, same proposed timestamp) again finds the same place and changes
        nothing. is_open: whether its conversation is. Raises UnavailableError.
        """

    async def page(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        limit: int,
        before_us: int | None,
        after_us: int | None,
    ) -> tuple[list[Message], bool]:
        """The latest `limit` messages between the two (exclusive), oldest first, and whether there are older
        ones in that range. Raises UnavailableError."""

    async def count(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        after_us: int | None,
        until_us: int | None,
        not_by: Collection[str],
        limit: int,
    ) -> int:
        """How many messages there are after `after_us`, up to and with `until_us`, whose author is none of `not_by`;
        no more than `limit` are counted. Raises UnavailableError."""

    def has_other_writers(self, tenant: str, *, is_open: bool) -> bool:
        """Whether somebody else writes such conversations without telling this service."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """participants: user ids. is_open: every user of the tenant may read, send and stream it. former: participants
    that were removed. removals: how many times somebody was."""

    conversation_id: str
    participants: frozenset[str]
    is_open: bool
    creator: str
    former: frozenset[str] = frozenset()
    removals: int = 0

    def admits(self, user: str) -> bool:
        return self.is_open or user in self.participants


@dataclass(frozen=True, slots=True)
class Departure:
    """A participant is taken out of a conversation. note: an id of its own, so that it is not taken for another one."""

    tenant: str
    conversation_id: str
    user: str
    note: str


class ConversationStore(Protocol):
    """Reads are consistent: what was written before a read began is seen by it."""

    async def get(self, tenant: str, conversation_id: str) -> Conversation | None: ...

    async def save(self, tenant: str, conversation: Conversation) -> Conversation:
        """Make the conversation or widen it (participants are added, `is_open` is only ever turned on).
        Repeating it changes nothing. Returns what is stored now."""

    async def remove(self, departure: Departure) -> Conversation | None:
        """Take a participant out and note that their streams must be told, both or neither.

        Repeating it changes and notes nothing. Returns what is stored now, None: there is none.
        """

    async def untold(self) -> list[Departure]:
        """Of all tenants: those whose streams may not have been told yet."""

    async def told(self, departure: Departure) -> None:
        """Their streams have been told; repeating it changes nothing."""

    async def of_user(self, tenant: str, user: str) -> frozenset[str]:
        """Ids of the conversations `user` takes part in, and of the tenant's open ones."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim.

    mine: nobody did this before, do it. taken_over: somebody began and did not finish in time; do it, knowing
    `facts` of the first attempt. busy: somebody is at it. done: it was done, with this `result`.
    """

    state: Literal["mine", "taken_over", "busy", "done"]
    facts: Mapping[str, str]
    result: Mapping[str, str]


class ClaimStore(Protocol):
    """Who does a thing that must be done once (idempotency records); all values are text."""

    async def claim(
        self, key: str, owner: str, facts: Mapping[str, str], *, now: float, lease_s: float, keep_s: float
    ) -> Claim:
        """Raises UnavailableError. `keep_s`: how long the record is kept at least."""

    async def renew(self, key: str, owner: str, lease_until: float) -> bool:
        """Keep a claim of one's own that takes longer. False: it is not one's own any more. Raises UnavailableError."""

    async def complete(self, key: str, result: Mapping[str, str]) -> None: ...

    async def release(self, key: str, owner: str) -> None:
        """Give up a claim, so that the next attempt need not wait for its lease to run out."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a user has read a conversation, in UNIX microseconds; previous_us: before the last step (0: nothing)."""

    up_to_us: int
    previous_us: int


class InboxStore(Protocol):
    """What was last said where, and who has read how far. Reads are consistent. All raise UnavailableError."""

    async def touch(self, tenant: str, conversation_id: str, at_us: int) -> None:
        """A message was sent then; only ever moves forward."""

    async def activity(self, tenant: str, conversation_ids: Collection[str]) -> Mapping[str, int]:
        """Time of the latest message of each, where one is known (UNIX microseconds)."""

    async def advance(self, tenant: str, user: str, conversation_id: str, up_to_us: int) -> Cursor:
        """Move the cursor forward, never back. Returns where it is now."""

    async def cursors(self, tenant: str, user: str, conversation_ids: Collection[str]) -> Mapping[str, Cursor]:
        """Of each conversation that the user has read something of."""


@dataclass(frozen=True, slots=True)
class Job:
    """An agent run or a library job. kind: "agent_run" | "library_processing". subject: id of the agent or library.
    result: JSON text, "" without one. index: of its latest notification. owner, lease_until: who works on it, and until
    when it may be believed to live (UNIX seconds)."""

    kind: str
    id: str
    user: str
    subject: str
    status: Literal["running", "completed", "failed"]
    progress: int
    step: str
    result: str
    index: int
    owner: str
    lease_until: float


class JobStore(Protocol):
    """Reads are consistent. All raise UnavailableError."""

    async def begin(self, tenant: str, job: Job, *, now: float, keep_s: float) -> Job:
        """Store it unless there is one of that kind and id. Returns what is stored now."""

    async def get(self, tenant: str, kind: str, job_id: str, *, now: float) -> Job | None: ...

    async def save(self, tenant: str, job: Job, *, owner: str) -> bool:
        """Change it, while `owner` has it and it runs. False: somebody else has it, or it has ended."""


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """Where and with which form fields a browser may upload one file."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredObject:
    content_type: str
    size: int


class UploadStore(Protocol):
    """Files that clients put and get by themselves. All raise UnavailableError."""

    async def start(self) -> None:
        """Connect. Raises StartupError."""

    async def close(self) -> None: ...

    async def presign_post(self, key: str, content_type: str, max_bytes: int, expires_s: int) -> PresignedPost:
        """Permission to put one object of that type and size under `key`."""

    async def head(self, key: str) -> StoredObject | None:
        """What is there."""

    async def presign_get(self, key: str, content_type: str, name: str, expires_s: int) -> str:
        """An address to get it from, as a download."""
