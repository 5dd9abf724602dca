"""The responder: the application's own logic as a plug-in, and what it may yield. until phase 3

A responder is `function(request) -> Iterable[dict]`, a generator or an async generator, named by LEGACY_WS_RESPONDER
as `module:function`:

    request  {"feature": "chat" | "agent_run" | "library_processing", "id": str, "user_id": str, "tenant_id": str,
             "input": {...}}
             input of chat: chat_id, message; of agent_run: agent_id, input; of library_processing: library_id,
             documents
    yields   chat: {"text": str}, as often as it likes
             the others: {"progress": 0-100, "step"?: str} (library_processing: "document"?: str), and at the end
             {"result": anything that has a JSON form}

An exception ends the answer with status "failed"; its text goes to the log only.

`answer` is the default: no I/O, no clock, the same output for the same request, so that two stacks that run it can be
compared.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from legacy_ws.errors import ConfigurationError, ResponderError

__all__ = [
    "FEATURES",
    "Feature",
    "Output",
    "Progress",
    "Responder",
    "Result",
    "Text",
    "answer",
    "checked",
    "label_name",
    "load",
]

Feature = Literal["chat", "agent_run", "library_processing"]
FEATURES: tuple[Feature, ...] = ("chat", "agent_run", "library_processing")

Responder = Callable[[dict[str, Any]], Iterable[dict[str, Any]] | AsyncIterable[dict[str, Any]]]

_SETTING = "LEGACY_WS_RESPONDER"
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_MAX_LABEL_BYTES = 1024
# What an agent does, and how far it is then.
_STEPS = (("plan", 25), ("search", 50), ("write", 75), ("check", 100))


@dataclass(frozen=True)
class Text:
    """A piece of a chat answer."""

    text: str


@dataclass(frozen=True)
class Progress:
    """How far an agent run or a library job is; `label` is the step, or the document."""

    progress: int
    label: str | None = None


@dataclass(frozen=True)
class Result:
    """What an agent run or a library job came to: JSON values only."""

    result: object


Output = Text | Progress | Result


def load(name: str | None) -> Responder:
    """The responder called `module:function`; None: the deterministic one.

    Raises: ConfigurationError: no such form, module or function.
    """
    if name is None:
        return answer
    if not _NAME.fullmatch(name):
        raise ConfigurationError(_SETTING, "must be module:function")
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        # Whatever a module does when it is imported; the log has it as the cause.
        kind = type(error).__name__
        raise ConfigurationError(_SETTING, f"names a module that cannot be imported ({kind})") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ConfigurationError(_SETTING, "names no function of its module")
    if inspect.iscoroutinefunction(found):
        raise ConfigurationError(_SETTING, "names a coroutine; make it an async generator")
    responder: Responder = found
    return responder


def checked(feature: Feature, output: object) -> Output:
    """One thing that a responder yielded. Raises: ResponderError: the contract does not know it."""
    if not isinstance(output, Mapping):
        raise ResponderError(f"{type(output).__name__} instead of a dict")
    if feature == "chat":
        return Text(_text(output.get("text"), "text"))
    if "result" in output:
        return Result(_json(output["result"]))
    progress = output.get("progress")
    if not isinstance(progress, int | float) or isinstance(progress, bool) or not 0 <= progress <= 100:
        raise ResponderError("no progress from 0 to 100")
    name = label_name(feature)
    label = output.get(name)
    if label is None:
        return Progress(int(progress))
    label = _text(label, name)
    if len(label.encode()) > _MAX_LABEL_BYTES:
        raise ResponderError(f"a {name} of more than {_MAX_LABEL_BYTES} bytes")
    return Progress(int(progress), label or None)


def label_name(feature: Feature) -> str:
    """How a progress is labelled: by a step, or by a document."""
    return "document" if feature == "library_processing" else "step"


def answer(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The deterministic responder."""
    given = request["input"]
    match request["feature"]:
        case "chat":
            # Each word with the space that follows it: joined, they are the text again.
            words = f"You said: {given['message']}".split(" ")
            for word in (*(f"{word} " for word in words[:-1]), words[-1]):
                if word:
                    yield {"text": word}
        case "agent_run":
            for step, progress in _STEPS:
                yield {"progress": progress, "step": step}
            size = len(json.dumps(given["input"], sort_keys=True))
            yield {"result": {"summary": f"{given['agent_id']}: {size} characters of input"}}
        case "library_processing":
            documents = given["documents"]
            for number, document in enumerate(documents, 1):
                yield {"progress": 100 * number // len(documents), "document": document}
            yield {"result": {"processed": len(documents)}}


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ResponderError(f"no {name}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ResponderError(f"a {name} that is not valid Unicode text") from None
    return value


def _json(value: object) -> object:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise ResponderError("a result that has no JSON form") from None
    plain: object = json.loads(text)
    return plain
