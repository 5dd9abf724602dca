"""What flags and people add to a draft. until phase 3 (MG1)"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Callable, Sequence
from typing import Any

from migrate.config import model
from migrate.errors import UsageError
from migrate.init.draft import Draft, Question, place_of

__all__ = ["accept", "answer", "open_questions", "set_values"]


def set_values(draft: Draft, given: Sequence[str]) -> None:
    """Put `place=value` pairs into the draft; lists may be comma separated.

    Raises: UsageError: naming the pair.
    """
    for pair in given:
        place, separator, text = pair.partition("=")
        if not separator or not place.strip():
            raise UsageError(f"--set {pair!r} is no PLACE=VALUE", "for example --set tables.0.user=userId")
        place = place.strip()
        draft.set(place, _value(place, text.strip()))
        draft.questions = [one for one in draft.questions if one.place != place]
        if "." in place:
            draft.note(place_of(place.rpartition(".")[0]), f"{place.rpartition('.')[2]}: given with --set.")


def answer(draft: Draft, ask: Callable[[Question], str]) -> None:
    """Ask a person every open question."""
    for question in draft.questions:
        given = ask(question).strip()
        _put(draft, question, given or question.guess, "answered" if given != question.guess else "guess accepted")
    draft.questions = [one for one in draft.questions if one.needed and not draft.get(one.place)]


def accept(draft: Draft) -> None:
    """Take every guess as it is."""
    for question in draft.questions:
        _put(draft, question, question.guess, f"a guess ({question.why})" if question.why else "")


def open_questions(draft: Draft) -> list[Question]:
    """Those without which no file can be written."""
    return [one for one in draft.questions if one.needed and not draft.get(one.place)]


def _put(draft: Draft, question: Question, text: str, how: str) -> None:
    if not text:
        return
    draft.set(question.place, _value(question.place, text))
    parent, _, key = question.place.rpartition(".")
    if how:
        draft.note(place_of(parent), f"{key}: {how}.")


def _value(place: str, text: str) -> Any:
    kind = _kind(place)
    if kind is str:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if typing.get_origin(kind) is tuple:
            return [one.strip() for one in text.split(",") if one.strip()]
        return text


def _kind(place: str) -> Any:
    """The type of a key, or None when there is none of that name: the parser says so then."""
    kind: Any = model.Settings
    for name in place.split("."):
        if name.isdecimal():
            kind = typing.get_args(kind)[0] if typing.get_args(kind) else None
        else:
            hints = typing.get_type_hints(kind) if isinstance(kind, type) else {}
            kind = hints.get(name, hints.get(f"{name}_"))
        if kind is None:
            return None
    return kind
