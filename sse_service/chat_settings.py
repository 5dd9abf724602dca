"""Settings of chat, the responder, its work, and uploads; part of Settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sse_service.events import TOPIC_KINDS
from sse_service.variables import variable as _env

__all__ = ["ChatSettings"]

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9][A-Za-z0-9.+-]*", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,31}", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


@dataclass(frozen=True)
class ChatSettings:
    """Sizes in bytes, times in seconds. docs/guides/chat-api.md says what they do."""

    notify: str = _env(
        "SSE_NOTIFY", "full", "what the event of a message carries: full (the message) or id (its id and address)"
    )
    support_participants: tuple[str, ...] = _env(
        "SSE_SUPPORT_PARTICIPANTS", (), "users who take part in every support conversation, separated by commas"
    )
    responder: str = _env(
        "SSE_RESPONDER",
        "",
        "module:function that answers chats, agent runs and library jobs; empty: a deterministic one",
    )
    max_answers: int = _env("SSE_MAX_ANSWERS", 200, "answers of the responder at once on this process", low=1)
    max_answers_per_user: int = _env("SSE_MAX_ANSWERS_PER_USER", 8, "and of one user", low=1)
    max_jobs: int = _env("SSE_MAX_JOBS", 50, "agent runs and library jobs at once on this process", low=1)
    max_jobs_per_user: int = _env("SSE_MAX_JOBS_PER_USER", 8, "and of one user", low=1)
    max_job_s: float = _env(
        "SSE_MAX_JOB_S", 900.0, "the longest a job, or an answer told as events, may take", low=1, high=86400
    )
    uploads_bucket: str = _env("SSE_UPLOADS_BUCKET", "", "S3 bucket for files in messages; empty: no uploads")
    uploads_prefix: str = _env("SSE_UPLOADS_PREFIX", "uploads/", "first part of their keys")
    uploads_types: tuple[str, ...] = _env(
        "SSE_UPLOADS_TYPES",
        ("image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"),
        "media types that may be uploaded, separated by commas",
    )
    uploads_max_bytes: int = _env("SSE_UPLOADS_MAX_BYTES", 10 << 20, "largest file", low=1, high=5 << 30)
    uploads_expires_s: int = _env(
        "SSE_UPLOADS_EXPIRES_S", 300, "how long a permission to upload or download lasts", low=10, high=3600
    )

    more_topic_kinds: tuple[str, ...] = _env(
        "SSE_TOPIC_KINDS",
        (),
        "kinds of topics of the application's own, beside user, room and tenant, separated by commas; read with the "
        "scope streams:tenant",
    )

    @property
    def topic_kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*TOPIC_KINDS, *self.more_topic_kinds)))

    def chat_problems(self) -> Iterator[str]:
        for kind in self.more_topic_kinds:
            if not _KIND.fullmatch(kind):
                yield f"SSE_TOPIC_KINDS={','.join(self.more_topic_kinds)!r}: {kind!r} is not 1 to 32 of a-z 0-9 _ . -"
        if self.notify not in ("full", "id"):
            yield f"SSE_NOTIFY={self.notify!r}: must be one of full, id"
        if self.responder and not _SPEC.fullmatch(self.responder):
            yield f"SSE_RESPONDER={self.responder!r}: must be module:function"
        if self.uploads_bucket and not _BUCKET.fullmatch(self.uploads_bucket):
            yield f"SSE_UPLOADS_BUCKET={self.uploads_bucket!r}: is no name of a bucket (3 to 63 of a-z 0-9 . -)"
        for one in self.uploads_types:
            if not _TYPE.fullmatch(one):
                yield f"SSE_UPLOADS_TYPES={','.join(self.uploads_types)!r}: {one!r} is no media type such as image/png"
        for user in self.support_participants:
            if len(user) > 200:
                yield f"SSE_SUPPORT_PARTICIPANTS: {user[:20]!r}... is longer than 200 characters"
