"""What crosses the bridge, and as what: the rules of `migrate.toml` ([[features.deliver]], [[features.collect]]). Pure.
until phase 3
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from migrate.config.model import Collect, Deliver, Feature
from migrate.config.templates import MissingFieldError, field_of, render
from migrate.tee.records import TeeRecord

__all__ = ["NOBODY", "ORIGIN", "Crossing", "Owner", "Rules", "SsePublication", "crossing", "publications"]

ORIGIN = "legacy"


@dataclass(frozen=True)
class Owner:
    """Whose a connection is."""

    user: str | None
    tenant: str | None


NOBODY = Owner(None, None)


@dataclass(frozen=True)
class Rules:
    """What the features of a stack say about crossing.

    Args:
        features: of `migrate.toml`.
        default_tenant: of users whose connections name none.
    """

    features: Sequence[Feature]
    default_tenant: str

    def leaving(self) -> Iterator[tuple[Feature, Deliver]]:
        return ((feature, rule) for feature in self.features for rule in feature.deliver)

    def returning(self) -> Iterator[Collect]:
        return (rule for feature in self.features for rule in feature.collect)

    @property
    def asks_for_owners(self) -> bool:
        return any("{$recipient}" in repr(rule) for _, rule in self.leaving())


@dataclass(frozen=True)
class SsePublication:
    """One event for `POST /api/events`."""

    tenant: str
    topic: str
    type: str
    key: str
    data: Mapping[str, object] = field(hash=False)
    ttl_s: float = 0.0

    @property
    def room(self) -> str | None:
        """The conversation it belongs to, or None when it goes to a user or a tenant."""
        kind, _, name = self.topic.partition(":")
        return name if kind == "room" else None

    def body(self) -> dict[str, object]:
        """The element of the request's `events` list."""
        body: dict[str, object] = {
            "topic": self.topic,
            "type": self.type,
            "data": dict(self.data),
            "key": self.key,
            "origin": ORIGIN,
        }
        if self.room is not None:
            body["ensureConversation"] = {"conversationId": self.room, "open": True}
        if self.ttl_s:
            body["ttlSeconds"] = self.ttl_s
        return body


@dataclass(frozen=True)
class Crossing:
    """A frame for WebSocket clients.

    Attributes:
        frame: its fields.
        to: `all`, `user:ID` or `tenant:ID`.
        room: the conversation whose openness decides whether it crosses; None: it crosses.
    """

    frame: Mapping[str, object] = field(hash=False)
    to: str
    room: str | None


def publications(
    record: TeeRecord, rules: Rules, owner_of: Callable[[str], Owner] = lambda _: NOBODY
) -> list[SsePublication]:
    """What the SSE service must be told of one invocation of a legacy Lambda, in the order it happened.

    What several rules or posts say of one topic and key is one publication, that of the earliest rule: a message that
    was posted to many connections, again after throttling, or that its sender's receipt tells of as well. A frame that
    reached nobody counts: it was sent, and the new stack's users are owed it.

    Args:
        owner_of: whose a connection is; asked only where a rule names the recipient.
    """
    found: dict[tuple[str, str, str], tuple[int, float, int, SsePublication]] = {}
    entered = _object(record.body or "")
    for number, (feature, rule) in enumerate(rules.leaving()):
        for at, frame, connections in _frames(record, feature, rule, entered):
            for owner in _owners(rule, connections, owner_of):
                tenant = record.tenant or owner.tenant or _tenant_of(connections, owner_of, rules)
                context = {
                    "user": record.user,
                    "tenant": tenant,
                    "recipient": owner.user,
                    "in": entered,
                    "at": _iso(record.at),
                }
                publication = _publication(rule, frame, context, tenant)
                if publication is None:
                    continue
                place = (publication.tenant, publication.topic, publication.key)
                known = found.get(place)
                if known is None or number < known[0]:
                    found[place] = (number, at, len(found), publication)
    return [entry[3] for entry in sorted(found.values(), key=lambda entry: entry[1:3])]


def crossing(envelope: Mapping[str, Any], rules: Rules, tenant: str) -> list[Crossing]:
    """The frames of one event of the SSE service; none when it does not cross.

    Args:
        envelope: an event of `GET /api/streams`: {"id", "topic", "type", "origin", "key", "time", "data"}.
        tenant: whose event.
    """
    if envelope.get("origin") == ORIGIN:
        return []
    topic = str(envelope.get("topic", ""))
    data = envelope.get("data")
    if not isinstance(data, Mapping):
        return []
    kind, _, name = topic.partition(":")
    context = {"topic": topic, "name": name, "tenant": tenant, "origin": envelope.get("origin"), "event": data}
    found = []
    for rule in rules.returning():
        if envelope.get("type") != rule.event or not fnmatchcase(topic, rule.topic):
            continue
        try:
            frame = render(rule.frame, data, context) if rule.frame else data
            to = render(rule.to, data, context)
        except MissingFieldError:
            continue
        room = None if rule.private or kind != "room" else name
        found.append(Crossing(frame, str(to), room))
    return found


def _frames(
    record: TeeRecord, feature: Feature, rule: Deliver, entered: Mapping[str, Any]
) -> Iterator[tuple[float, Mapping[str, Any], tuple[str, ...]]]:
    """What of a record a rule is about: time, frame, connections it was posted to."""
    if rule.on == "enters":
        if not record.failed and field_of(entered, feature.type_field) == rule.frame:
            yield record.at, entered, ()
        return
    for post in record.posts:
        if post.base64:
            continue
        frame = _object(post.data)
        if field_of(frame, feature.frame_type_field) == rule.frame:
            yield post.at, frame, (*post.ok, *post.failed, *post.gone)


def _owners(rule: Deliver, connections: tuple[str, ...], owner_of: Callable[[str], Owner]) -> Iterable[Owner]:
    if "{$recipient}" not in repr(rule):
        return (NOBODY,)
    return dict.fromkeys(owner for one in connections if (owner := owner_of(one)).user is not None)


def _tenant_of(connections: tuple[str, ...], owner_of: Callable[[str], Owner], rules: Rules) -> str:
    """The tenant of those it was posted to, for records that name none (functions behind no route)."""
    if connections and rules.asks_for_owners:
        return next((tenant for one in connections if (tenant := owner_of(one).tenant)), rules.default_tenant)
    return rules.default_tenant


def _publication(
    rule: Deliver, frame: Mapping[str, Any], context: Mapping[str, Any], tenant: str
) -> SsePublication | None:
    try:
        topic, key = render(rule.topic, frame, context), render(rule.key, frame, context)
        data = render(rule.data, frame, context) if rule.data else frame
    except MissingFieldError:
        return None
    # A field of another kind is another frame that happens to have this type's name.
    if any(not isinstance(value, str | int | float) or value == "" for value in _named(rule, frame, context)):
        return None
    return SsePublication(tenant, str(topic), rule.event, str(key), data, rule.ttl_s)


def _named(rule: Deliver, frame: Mapping[str, Any], context: Mapping[str, Any]) -> Iterator[Any]:
    """The values that name topic and key."""
    for template in (rule.topic, rule.key):
        for part in template.split("{")[1:]:
            yield render("{" + part.partition("}")[0] + "}", frame, context)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # 100,000 brackets in a user's frame are no error of ours
        return {}
    return value if isinstance(value, dict) else {}
