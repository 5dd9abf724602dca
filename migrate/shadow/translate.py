"""From legacy frames to calls of the service, and from frames to rows of the comparison. Pure. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from migrate.compare.deliveries import DeliveryRow
from migrate.config.model import Feature
from migrate.config.templates import field_of, render, render_path
from migrate.tee.records import Post, TeeRecord

__all__ = ["Call", "Cause", "Translator", "frame_of", "is_for_others", "moment", "parsed", "without_nulls"]

# What the service's answers and its events call the thing that a request made.
IDS = ("messageId", "message_id", "run_id", "job_id", "id")


@dataclass(frozen=True)
class Cause:
    """The entering frame behind something: its request id, who sent it, and when it entered (epoch seconds)."""

    request_id: str
    user: str
    tenant: str
    at: float


@dataclass(frozen=True)
class Call:
    """One request to the service.

    Args:
        lane: calls of one lane go out one after the other, in order.
        room: an open conversation that must be there first, or "".
        scopes: of the token.
    """

    feature: str
    method: str
    path: str
    body: Mapping[str, Any]
    lane: tuple[str, str, str]
    room: str
    scopes: tuple[str, ...] = ()


class Translator:
    """The rules of one `migrate.toml`.

    Args:
        features: of the configuration.
        default_tenant: of connections that name none.
    """

    def __init__(self, features: tuple[Feature, ...], default_tenant: str) -> None:
        self._features = features
        self._default_tenant = default_tenant

    def tenant_of(self, record: TeeRecord) -> str:
        """The tenant of a record's user."""
        return record.tenant or self._default_tenant

    def entering(self, frame: object) -> Feature | None:
        """The feature that an entering frame belongs to."""
        for feature in self._features:
            if field_of(frame, feature.type_field) in feature.types:
                return feature
        return None

    def leaving(self, frame: object) -> Feature | None:
        """The feature that a leaving frame belongs to."""
        for feature in self._features:
            if field_of(frame, feature.frame_type_field) in feature.frames:
                return feature
        return None

    def call(self, feature: Feature, frame: object, record: TeeRecord) -> Call:
        """How the frame is replayed. Templates know the frame, `{$user}`, `{$tenant}`, `{$email}`, `{$requestId}`,
        `{$connectionId}`, `{$at}`, and `{$out.FIELD}`: what the legacy stack posted because of it.

        Raises: MissingFieldError: it lacks a field that the template needs.
        """
        if feature.replay is None:
            raise ValueError(feature.name)
        tenant, user = self.tenant_of(record), record.user or ""
        out = self._posted(feature, record)
        context = {
            "user": user,
            "tenant": tenant,
            "email": user,
            "requestId": record.request_id,
            "connectionId": record.connection_id,
            "at": record.at,
            "out": out,
        }
        replay = feature.replay
        # What the stack made of the frame knows more: a room that the frame left out, an id that was given to it.
        order = field_of(out, feature.order_by, field_of(frame, feature.order_by)) if feature.order_by else None
        return Call(
            feature.name,
            replay.method,
            render_path(replay.path, frame, context),
            without_nulls(render(dict(replay.body), frame, context)),
            (feature.name, tenant, str(order) if order is not None else ""),
            str(render(replay.room, frame, context) or "") if replay.room else "",
            tuple(replay.scopes),
        )

    def _posted(self, feature: Feature, record: TeeRecord) -> Mapping[str, Any]:
        """The first frame that this frame made the stack post: of the feature if there is one, else any (a receipt)."""
        frames = [frame for post in record.posts if isinstance(frame := frame_of(post), Mapping)]
        own = [frame for frame in frames if self.leaving(frame) == feature]
        return next(iter(own or frames), {})

    def rows(self, record: TeeRecord, cause: Cause | None) -> Iterator[tuple[str, Feature, Any, DeliveryRow]]:
        """What was posted, one row a connection; `recipient` is left for the caller, who knows whose connection it is.

        Yields: (connection id, feature, frame, row).
        """
        for index, post in enumerate(record.posts):
            frame = frame_of(post)
            feature = self.leaving(frame)
            if feature is None:
                continue
            counted: dict[str, int] = {}
            for outcome, ids in (("ok", post.ok), ("gone", post.gone), ("failed", post.failed)):
                for connection_id in ids:
                    # The same payload to the same connection again is another delivery.
                    nth = counted.get(connection_id, 0)
                    counted[connection_id] = nth + 1
                    yield (
                        connection_id,
                        feature,
                        frame,
                        DeliveryRow(
                            stack="legacy",
                            feature=feature.name,
                            tenant=self.tenant_of(record),
                            recipient="",
                            sender=_sender(feature, frame, cause),
                            stream=_stream(feature, frame),
                            message_id=_id(feature, frame),
                            cause=cause.request_id if cause is not None else None,
                            # The same for the same record, however often it is read.
                            seq=int(post.at * 1e6) + index + nth,
                            sent_at=moment(field_of(frame, feature.sent_at)) if feature.sent_at else None,
                            at=post.at,
                            outcome=outcome,  # type: ignore[arg-type]  # one of the three above
                            connection_id=connection_id,
                            payload=post.data,
                        ),
                    )

    def event_row(
        self, frame: object, text: str, recipient: str, tenant: str, seq: int, at: float, cause: Cause | None
    ) -> DeliveryRow | None:
        """A row of what a virtual subscriber got, or None when it belongs to no feature, or is the sender's own."""
        feature = self.leaving(frame)
        if feature is None:
            return None
        sender = _sender(feature, frame, cause)
        if is_for_others(feature, frame) and recipient in {sender, cause.user if cause is not None else sender}:
            return None
        return DeliveryRow(
            stack="sse",
            feature=feature.name,
            tenant=tenant,
            recipient=recipient,
            sender=sender,
            stream=_stream(feature, frame),
            message_id=_id(feature, frame),
            cause=cause.request_id if cause is not None else None,
            seq=seq,
            sent_at=moment(field_of(frame, feature.sent_at)) if feature.sent_at else None,
            at=at,
            payload=text,
        )

    def stream(self, frame: object) -> str:
        """Within what the frame's order counts whatever the pace: one sender's in one room; "" for no feature."""
        feature = self.leaving(frame)
        if feature is None:
            return ""
        names = (feature.sender, "userName", "senderEmail", "user_id")
        sender = next((value for name in names if name and isinstance(value := field_of(frame, name), str)), "")
        return f"{feature.name}\n{_stream(feature, frame)}\n{sender}"

    def names(self, frame: object) -> list[str]:
        """By what a frame or an answer can be known again: `field=value` of its ids."""
        if not isinstance(frame, Mapping):
            return []
        fields = dict.fromkeys([*IDS, *(feature.id for feature in self._features if feature.id)])
        found = ((name, field_of(frame, name)) for name in fields)
        return [f"{name}={value}" for name, value in found if isinstance(value, str) and value]


def is_for_others(feature: Feature, frame: object) -> bool:
    """Whether the sender's own copy of a frame is left out."""
    return field_of(frame, feature.frame_type_field) in feature.others_only


def frame_of(post: Post) -> Any:
    """The payload as JSON, or None when it is none."""
    return None if post.base64 else parsed(post.data)


def parsed(text: str) -> Any:
    """A frame's text as JSON, or None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # 100,000 brackets in a user's frame must not stop everybody's
        return None


def moment(value: object) -> float | None:
    """Epoch seconds of a number (seconds, or milliseconds where it can be nothing else) or an ISO 8601 text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value / 1000 if value > 1e11 else float(value)
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return None


def _sender(feature: Feature, frame: object, cause: Cause | None) -> str:
    named = field_of(frame, feature.sender) if feature.sender else None
    if isinstance(named, str):
        return named
    return cause.user if cause is not None else ""


def _stream(feature: Feature, frame: object) -> str:
    value = field_of(frame, feature.order_by) if feature.order_by else None
    return "" if value is None else str(value)


def _id(feature: Feature, frame: object) -> str | None:
    value = field_of(frame, feature.id) if feature.id else None
    return None if value is None else str(value)


def without_nulls(value: Any) -> Any:
    """Without the fields that are null, also inside lists."""
    if isinstance(value, Mapping):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    return value
