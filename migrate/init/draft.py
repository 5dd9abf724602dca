"""A draft of the settings: what was found, where each guess comes from, what is open. Pure. until phase 3 (MG1)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.config.model import Settings
from migrate.config.parse import settings_from
from migrate.config.write import to_toml
from migrate.errors import UsageError

__all__ = ["Draft", "Limit", "Question", "place_of"]


@dataclass(frozen=True)
class Question:
    """What only a person knows for sure.

    Args:
        place: in the file, as `--set` takes it: `tables.0.user`.
        text: the question.
        guess: what is written unless somebody says otherwise; empty for none.
        why: where the guess comes from.
        needed: the file cannot be written without an answer.
    """

    place: str
    text: str
    guess: str = ""
    why: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Limit:
    """Something that the toolkit does not move, and what to do about it."""

    what: str
    do: str


@dataclass
class Draft:
    """Attributes:
    values: of the file, nested, without the schema.
    notes: comments by place of the writer (`tables[0]`).
    """

    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, place: str, text: str) -> None:
        self.notes.setdefault(place, []).append(text)

    def ask(self, place: str, text: str, guess: str = "", why: str = "", *, needed: bool = False) -> None:
        self.questions.append(Question(place, text, guess, why, needed))

    def get(self, place: str) -> Any:
        """The value at a place, or None."""
        value: Any = self.values
        for name in place.split("."):
            if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            elif isinstance(value, Mapping) and name in value:
                value = value[name]
            else:
                return None
        return value

    def set(self, place: str, value: Any) -> None:
        """Put a value at a place; the next number of a list makes a new entry.

        Raises: UsageError: there is no such place.
        """
        *way, last = place.split(".")
        holder: Any = self.values
        for number, name in enumerate(way):
            following = [*way, last][number + 1]
            if isinstance(holder, list):
                holder = _entry(holder, name, place)
            else:
                holder = holder.setdefault(name, [] if following.isdecimal() else {})
        if isinstance(holder, list):
            if not last.isdecimal() or int(last) > len(holder):
                raise UsageError(f"--set {place}: {last} is no place in that list", f"it has {len(holder)} entries")
            holder[int(last) : int(last) + 1] = [value]
        elif isinstance(holder, dict):
            holder[last] = value
        else:
            raise UsageError(
                f"--set {place}: there is no such key", "the guide has a list of them: docs/guides/init.md"
            )

    def settings(self) -> Settings:
        """Raises: UsageError: naming the key."""
        api = self.values.get("api", {})
        # The stage may have been chosen after the addresses were found.
        for key in ("ws_url", "management_url"):
            if key in api:
                api[key] = str(api[key]).replace("{stage}", str(api.get("stage", "")))
        return settings_from({"schema": 1, **self.values}, "what was found")

    def text(self, settings: Settings, when: str) -> str:
        """The file."""
        heading = [
            f"Written by `migrate init` from {self.origin}, {when}.",
            "Guesses say where they come from. `migrate check-config` holds this file against the live stack.",
        ]
        if self.problems:
            heading += ["", "What could not be read:", *(f"- {one}" for one in self.problems)]
        if self.limits:
            heading += ["", "What the toolkit does not move by itself:"]
            heading += [f"- {one.what}. To do: {one.do}." for one in self.limits]
        notes = {place: "\n".join(lines) for place, lines in self.notes.items()}
        return to_toml(settings, heading="\n".join(heading) + "\n", notes=notes)


def _entry(holder: list[Any], name: str, place: str) -> Any:
    if not name.isdecimal() or int(name) > len(holder):
        raise UsageError(f"--set {place}: {name} is no place in that list", f"it has {len(holder)} entries")
    if int(name) == len(holder):
        holder.append({})
    return holder[int(name)]


def place_of(place: str) -> str:
    """`tables.0.user` as the writer names places: `tables[0]`."""
    named = ""
    for name in place.split("."):
        named += f"[{name}]" if name.isdecimal() else f".{name}" if named else name
    return named
