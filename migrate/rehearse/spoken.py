"""How people talk in a team's own application, as its `migrate.toml` says. until phase 3

A frame that enters is `features.say` with a text that no other has; the same over REST is what `features.replay` makes
of it. Who hears is known by that text, wherever it stands in a frame or an event of the feature.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from migrate.config.model import Feature, Settings
from migrate.config.templates import MissingFieldError, field_of, render, render_path
from migrate.errors import UsageError
from migrate.rehearse.applications import Utterance
from migrate.shadow.translate import without_nulls

__all__ = ["Spoken"]

_MARK = re.compile(r"w2s-([a-z0-9]+)-(\d+)-said")


class Spoken:
    """Args:
    settings: of what is rehearsed: each feature has replay, say, frames, deliver and collect.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.features = tuple(one.name for one in settings.features)
        self._kinds = {kind: one for one in settings.features for kind in _kinds(one)}

    def check(self) -> None:
        """Raises: UsageError: a template needs what a frame of `say` has not, or the text is not in it."""
        for number, feature in enumerate(self._settings.features):
            try:
                what = self.utter("ann", number, ("ann", "ben"))
            except MissingFieldError as error:
                raise UsageError(
                    f"feature {feature.name}: replay or say needs {error}, which is not there",
                    "write {field?} for what may be missing, {$out.field|$requestId} for what the old stack makes",
                ) from None
            [mark] = what.texts
            for part in (what.frame, what.body):
                if mark not in json.dumps(part):
                    raise UsageError(f"feature {feature.name}: what is said is not in {json.dumps(part)[:80]}",
                                     "put {$text} into say, and its field into replay.body")  # fmt: skip
            kind = str(field_of(what.frame, feature.type_field))
            if kind not in feature.types:
                raise UsageError(
                    f"feature {feature.name}: say has the type {kind!r}, its types are {', '.join(feature.types)}",
                    f"give say the field {feature.type_field}",
                )

    def rooms(self) -> set[str]:
        """Conversations that are open to everybody, and have to be there."""
        found = set()
        for number, feature in enumerate(self._settings.features):
            if feature.replay is not None and feature.replay.room:
                frame = self.utter("ann", number, ("ann", "ben")).frame
                found.add(str(render(feature.replay.room, frame, self._context("ann", number)) or ""))
        return found - {""}

    def user(self, name: str) -> str:
        return str(render(self._settings.rehearse.user, {}, {"name": name}))

    def utter(self, speaker: str, number: int, people: Sequence[str]) -> Utterance:
        feature = self._settings.features[number % len(self.features)]
        if feature.replay is None:
            raise ValueError(feature.name)
        others = [one for one in people if one != speaker]
        other = others[number % len(others)]
        mark = f"w2s-{speaker}-{number}-said"
        context = {
            "text": f"{mark} — こんにちは",
            "number": number,
            "user": self.user(speaker),
            "other": self.user(other),
        }
        frame = render(dict(feature.say), {}, context)
        over_rest = {**self._context(speaker, number), "at": time.time()}
        heard_by = {
            "all": frozenset(people), "others": frozenset(others), "other": frozenset({other}),
            "speaker": frozenset({speaker}),
        }[feature.heard_by]  # fmt: skip
        return Utterance(
            frame,
            render_path(feature.replay.path, frame, over_rest),
            without_nulls(render(dict(feature.replay.body), frame, over_rest)),
            {mark: heard_by},
            feature.replay.scopes,
            feature.replay.method,
        )

    def kind(self, frame: Mapping[str, Any]) -> str:
        """The type of a frame that came."""
        for feature in self._settings.features:
            found = field_of(frame, feature.frame_type_field)
            if isinstance(found, str) and found in feature.frames:
                return found
        return ""

    def says_go(self, frame: Mapping[str, Any]) -> bool:
        """Whether it is the drain's frame."""
        constant = {key: one for key, one in self._settings.drain.frame.items() if "{" not in json.dumps(one)}
        return bool(constant) and all(frame.get(key) == one for key, one in constant.items())

    def hear(self, listener: str, kind: str, data: Mapping[str, Any]) -> str | None:
        feature = self._kinds.get(kind)
        found = _MARK.search(json.dumps(data)) if feature is not None else None
        if feature is None or found is None:
            return None
        # The service shows a message on its sender's own streams as well; the old stack may not.
        if feature.heard_by in {"others", "other"} and found.group(1) == listener:
            return None
        return found.group()

    def _context(self, speaker: str, number: int) -> dict[str, Any]:
        user = self.user(speaker)
        return {
            "user": user, "tenant": self._settings.sse.default_tenant, "email": user,
            "requestId": f"rehearsal-{speaker}-{number}", "connectionId": "", "at": 0.0, "out": {},
        }  # fmt: skip


def _kinds(feature: Feature) -> set[str]:
    """Types under which its messages come, as frames or as events."""
    return {*feature.frames, *(one.event for one in feature.deliver), *(one.event for one in feature.collect)}
