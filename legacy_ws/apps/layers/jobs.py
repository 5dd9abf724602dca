"""What travels between the functions: jobs to processing, answers to the connections. until phase 3

Pure. Both travel as JSON, through Lambda's own queue and through SQS; both may arrive twice. A frame is posted to the
stage that its job came through, so the address of `@connections` travels along: only its form is believed (HTTPS, a
host, a stage), and LEGACY_WS_MANAGEMENT_URL, where set, takes its place. Whoever may write into the queue can have
frames posted, so only processing has that permission.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from legacy_ws.errors import MalformedEventError
from legacy_ws.frames import encode
from legacy_ws.responder import FEATURES, Feature

__all__ = ["Answer", "Audience", "Job", "answer_body", "parse_answer", "parse_job"]

Audience = Literal["user", "tenant"]

_MANAGEMENT_URL = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?/[A-Za-z0-9_$-]{1,128}")
# SQS takes no other characters (API reference, `SendMessage`: "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD |
# #x10000 to #x10FFFF"); JSON has escaped the control characters already.
_NOT_FOR_SQS = {"\ufffe": "\\ufffe", "\uffff": "\\uffff"}


@dataclass(frozen=True)
class Job:
    """Work for the responder.

    Args:
        feature: what it is.
        id: of the message, the run or the job; chosen by the client or made for it.
        input: the client's own fields.
        user_id, tenant_id: who asked, as the authorizer has it.
        connection_id: the connection that asked.
        management_url: `@connections` of the stage it came through.
        request_id: of the frame that asked: a client's own repeat is another request and is answered again, Lambda's
            and SQS's repeats of one request are not.
    """

    feature: Feature
    id: str
    input: Mapping[str, object]
    user_id: str
    tenant_id: str
    connection_id: str
    management_url: str
    request_id: str

    def encode(self) -> bytes:
        """As Lambda gets it."""
        return encode(asdict(self))

    @property
    def request(self) -> dict[str, Any]:
        """As the responder gets it."""
        return {
            "feature": self.feature,
            "id": self.id,
            "user_id": self.user_id,
            "tenant_id": self.tenant_id,
            "input": dict(self.input),
        }

    @property
    def audience(self) -> Audience:
        """Who gets the answer: a library's news are for everybody of the tenant."""
        return "tenant" if self.feature == "library_processing" else "user"

    @property
    def group(self) -> str:
        """Message group of its answer: whatever answers this id keeps its order."""
        return _digest(self.tenant_id, self.user_id, self.feature, self.id)

    def deduplication(self, part: str) -> str:
        """Deduplication id of one part of its answer.

        Hashed with user and tenant: ids are chosen by clients, and one must not be able to swallow another's answer.
        """
        return f"{_digest(self.group, self.request_id)}-{part}"


@dataclass(frozen=True)
class Answer:
    """A frame on its way to the connections of a user or a tenant."""

    audience: Audience
    user_id: str
    tenant_id: str
    connection_id: str
    management_url: str
    frame: Mapping[str, object]


def parse_job(raw: object) -> Job:
    """A job as Lambda passes it. Raises: MalformedEventError."""
    if not isinstance(raw, Mapping):
        raise MalformedEventError("job")
    feature = next((one for one in FEATURES if one == raw.get("feature")), None)
    given = raw.get("input")
    if feature is None:
        raise MalformedEventError("feature")
    if not isinstance(given, Mapping):
        raise MalformedEventError("input")
    return Job(
        feature=feature,
        id=_text(raw, "id"),
        input=given,
        user_id=_text(raw, "user_id"),
        tenant_id=_text(raw, "tenant_id"),
        connection_id=_text(raw, "connection_id"),
        management_url=_url(raw),
        request_id=_text(raw, "request_id"),
    )


def answer_body(job: Job, frame: Mapping[str, object]) -> str:
    """One frame of a job's answer as a message of the queue."""
    answer = Answer(job.audience, job.user_id, job.tenant_id, job.connection_id, job.management_url, frame)
    text = encode(asdict(answer)).decode()
    for character, escaped in _NOT_FOR_SQS.items():
        text = text.replace(character, escaped)
    return text


def parse_answer(body: str) -> Answer:
    """A message of the queue. Raises: MalformedEventError."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedEventError("body") from None
    if not isinstance(raw, dict):
        raise MalformedEventError("body")
    frame, audience = raw.get("frame"), raw.get("audience")
    if not isinstance(frame, dict):
        raise MalformedEventError("frame")
    if audience != "user" and audience != "tenant":
        raise MalformedEventError("audience")
    return Answer(
        audience="user" if audience == "user" else "tenant",
        user_id=_text(raw, "user_id"),
        tenant_id=_text(raw, "tenant_id"),
        connection_id=_text(raw, "connection_id"),
        management_url=_url(raw),
        frame=frame,
    )


def _text(raw: Mapping[str, object], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedEventError(name)
    return value


def _url(raw: Mapping[str, object]) -> str:
    url = _text(raw, "management_url")
    if not _MANAGEMENT_URL.fullmatch(url):
        raise MalformedEventError("management_url")
    return url


def _digest(*parts: str) -> str:
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must differ.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
