"""The table of what an operator may do, and how a request becomes the words of a command. Pure. until phase 3

The page is told it (`told`), so that it asks for the same arguments, with the same limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sse_service.flags import is_feature

__all__ = ["ACTIONS", "Action", "Argument", "WrongActionError", "planned", "told"]

# Control characters, and halves of surrogate pairs, which no command line can hold.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Of numbers: more than anybody means, and less than what no float can hold.
_MOST_PER_S = 1e6
_LONGEST = 256


class WrongActionError(Exception):
    """There is no such action, or an argument is not what it must be; the text says which, for the caller."""


@dataclass(frozen=True)
class Argument:
    """An argument of an action.

    Attributes:
        words: of the command, for a value that fits. Raises: WrongActionError.
        limits: the same for a form: {kind: number, least, most}, {kind: text, longest} or {kind: flag}; empty: nobody
            types it.
    """

    words: Callable[[Any], list[str]]
    limits: Mapping[str, Any] = field(default_factory=dict)


def _feature(value: Any) -> list[str]:
    if not isinstance(value, str) or not is_feature(value) or value == "status":
        raise WrongActionError("feature must be the name of a feature")
    return [value]


def _number(name: str, least: float, most: float) -> Argument:
    def words(value: Any) -> list[str]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise WrongActionError(f"{name} must be a number from {least:g} to {most:,.0f}")
        return [f"--{name.replace('_', '-')}={float(value)!r}"]

    return Argument(words, {"kind": "number", "least": least, "most": most})


def _text(name: str) -> Argument:
    def words(value: Any) -> list[str]:
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST or _UNFIT.search(value):
            raise WrongActionError(f"{name} must be a text of 1 to {_LONGEST} characters on one line")
        # One word: a value that begins with a hyphen is no option.
        return [f"--{name}={value}"]

    return Argument(words, {"kind": "text", "longest": _LONGEST})


def _paused(value: Any) -> list[str]:
    if not isinstance(value, bool):
        raise WrongActionError("paused must be true or false")
    return ["--pause" if value else "--resume"]


@dataclass(frozen=True)
class Action:
    """An action and its two commands.

    Attributes:
        does, shows: words of the command that does it, and of the one that only shows.
        needs, takes: arguments that must, and that may, be given, by name.
        asks: those that a person is asked for, in this order; the page knows the others by where its button stands.
        any_of: whether one of those that may be given must be.
        positional: whose words stand behind the options.
        has_json: whether the command that does it knows --json.
        shown: the arguments that the showing command takes.
        urgent: a way back, or out.
    """

    does: tuple[str, ...]
    shows: tuple[str, ...]
    needs: Mapping[str, Argument] = field(default_factory=dict)
    takes: Mapping[str, Argument] = field(default_factory=dict)
    asks: tuple[str, ...] = ()
    any_of: bool = False
    has_json: bool = True
    shown: tuple[str, ...] = ()
    urgent: bool = False

    @property
    def known(self) -> dict[str, Argument]:
        return {**self.needs, **self.takes}

    def as_json(self) -> dict[str, Any]:
        """What a page has to know to ask for it."""
        asks = [{"name": name, "required": name in self.needs, **self.known[name].limits} for name in self.asks]
        return {"takes": list(self.known), "asks": asks}


_POSITIONAL = ("feature",)
_FEATURE = {"feature": Argument(_feature)}
_TENANT, _TABLE = {"tenant": _text("tenant")}, {"table": _text("table")}
_SWEEP = ("cleanup", "connections", "status")

ACTIONS: dict[str, Action] = {
    "cutover": Action(
        ("cutover", "--execute"), ("cutover",), {**_FEATURE, "percent": _number("percent", 0, 100)}, _TENANT,
        asks=("percent", "tenant"), shown=("feature", "percent", "tenant"),
    ),
    # It has no dry run, and what is shown instead must neither take long (counting users, hooks) nor fail.
    "rollback": Action(("rollback",), ("cutover", "status"), _FEATURE, _TENANT, urgent=True),
    "drain-start": Action(("drain", "start", "--execute"), ("drain", "start")),
    "drain-resume": Action(("drain", "start", "--execute"), ("drain", "start")),
    "drain-pause": Action(("drain", "stop"), ("drain", "status"), has_json=False, urgent=True),
    "drain-undo": Action(("drain", "undo", "--execute"), ("drain", "undo")),
    "sweep-throttle": Action(
        _SWEEP, _SWEEP,
        takes={
            "delete_per_s": _number("delete_per_s", 0.01, _MOST_PER_S),
            "paused": Argument(_paused, {"kind": "flag"}),
            **_TABLE,
        },
        asks=("delete_per_s", "paused"), any_of=True, shown=("table",),
    ),
    "sweep-stop": Action((*_SWEEP, "--stop"), _SWEEP, takes=_TABLE, shown=("table",), urgent=True),
    "shadow-pause": Action(("shadow", "pause"), ("shadow", "status"), has_json=False),
    "shadow-resume": Action(("shadow", "resume"), ("shadow", "status"), has_json=False),
    "shadow-kill": Action(("shadow", "stop", "--now"), ("shadow", "status"), urgent=True),
}  # fmt: skip
"""What there is."""


def told() -> dict[str, Any]:
    """What there is, as the page is told: name -> {takes, asks: [{name, required, and its limits}]}."""
    return {name: action.as_json() for name, action in ACTIONS.items()}


def planned(name: Any, arguments: Any, *, execute: bool) -> list[str]:
    """The words of the command, without those that every command gets.

    Raises: WrongActionError.
    """
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise WrongActionError(f"there is no such action; there are {', '.join(ACTIONS)}")
    if not isinstance(arguments, Mapping):
        raise WrongActionError("arguments must be an object")
    known = action.known
    # What is not asked for may be left empty.
    given = {key: value for key, value in arguments.items() if value is not None and value != ""}
    if unknown := sorted(set(given) - set(known)):
        raise WrongActionError(f"{name} takes no {unknown[0]}; it takes {', '.join(known) or 'nothing'}")
    if missing := [key for key in action.needs if key not in given]:
        raise WrongActionError(f"{name} needs {missing[0]}")
    if execute and action.any_of and not set(given) - set(_TABLE):
        raise WrongActionError(f"{name} needs {' or '.join(key for key in action.takes if key not in _TABLE)}")
    words = {key: known[key].words(value) for key, value in given.items()}
    if not execute:
        words = {key: value for key, value in words.items() if key in action.shown}
    options = [word for key, value in words.items() if key not in _POSITIONAL for word in value]
    behind = [word for key in _POSITIONAL for word in words.get(key, ())]
    json_ = ["--json"] if action.has_json or not execute else []
    return [*(action.does if execute else action.shows), *options, *json_, *(["--", *behind] if behind else [])]
