"""The application's own logic as a plug-in: what answers a chat message, an agent run, a library job.

SSE_RESPONDER="module:function" names it: `function(request) -> Iterable[dict]`, a generator or an async generator.
request = {"feature": "chat" | "agent_run" | "library_processing", "id": of the message, run or job, "user_id",
"tenant_id", "input": {the client's own fields}}. It yields {"text": str} for chat; for the others {"progress": 0-100,
"step" or "document": str} and at the end {"result": object}. An exception ends the work as failed; its text is for the
log only.

A plain generator runs in a thread of its own from its first line to its last, so that it may block; it is stopped
between two items. An async one runs on the event loop, and must not.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sse_service.errors import SettingsError, SseServiceError

__all__ = [
    "BadOutputError",
    "Feature",
    "Output",
    "Respond",
    "check_output",
    "default_responder",
    "load",
    "run",
]

logger = logging.getLogger("sse_service.responder")

Feature = Literal["chat", "agent_run", "library_processing"]
Respond = Callable[[dict[str, Any]], Any]

STEPS = (("plan", 25), ("search", 50), ("write", 75), ("check", 100))


class BadOutputError(SseServiceError):
    """A responder yielded something that is none of its outputs. For the log: no client sees the text."""


@dataclass(frozen=True, slots=True)
class Output:
    """One checked item. text: of an answer. progress, step: of other work. result: its end."""

    text: str = ""
    progress: int | None = None
    step: str = ""
    result: object = None
    is_result: bool = False


def default_responder(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The deterministic one for local runs; the stack that is left ships the same."""
    fields: Mapping[str, Any] = request["input"]
    feature = request["feature"]
    if feature == "chat":
        words = f"You said: {fields['message']}".split(" ")
        for number, word in enumerate(words, start=1):
            text = word if number == len(words) else f"{word} "
            if text:
                yield {"text": text}
    elif feature == "agent_run":
        for step, progress in STEPS:
            yield {"progress": progress, "step": step}
        length = len(json.dumps(fields["input"], sort_keys=True))
        yield {"result": {"summary": f"{fields['agent_id']}: {length} characters of input"}}
    else:
        documents = fields["documents"]
        for number, document in enumerate(documents, start=1):
            yield {"progress": 100 * number // len(documents), "document": document}
        yield {"result": {"processed": len(documents)}}


def load(spec: str) -> Respond:
    """The function behind "module:function"; "" is the default one. Raises SettingsError."""
    if not spec:
        return default_responder
    module_name, colon, name = spec.partition(":")

    def wrong(problem: str) -> SettingsError:
        return SettingsError([f"SSE_RESPONDER={spec!r}: {problem}"])

    if not colon or not module_name or not name:
        raise wrong("must be module:function")
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        # A console script does not look where it is started; the application's module often is there.
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise wrong(f"cannot be imported: {error}") from None
    except Exception as error:
        # Whatever a module does when it is imported, the operator gets a sentence.
        raise wrong(f"fails when it is imported: {type(error).__name__}: {error}") from None
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise wrong(f"{module_name} has no {name}")
    if not callable(found):
        raise wrong("is not a function")
    if inspect.iscoroutinefunction(found):
        raise wrong("is a coroutine; make it an async generator (`yield` instead of `return`)")
    try:
        inspect.signature(found).bind({})
    except TypeError:
        raise wrong("must take one argument, the request") from None
    except ValueError:
        logger.debug("the responder has no signature to look at")
    respond: Respond = found
    return respond


def check_output(feature: Feature, item: object) -> Output:
    """One item as what it means. Raises BadOutputError."""
    if not isinstance(item, Mapping):
        raise BadOutputError(f"the responder yielded {type(item).__name__}, not a dict")
    if feature == "chat":
        text = item.get("text")
        if not isinstance(text, str):
            raise BadOutputError('the responder must yield {"text": str} for chat')
        return Output(text=text)
    if "result" in item:
        return Output(result=item["result"], is_result=True)
    progress = item.get("progress")
    step = item.get("document" if feature == "library_processing" else "step", "")
    if isinstance(progress, bool) or not isinstance(progress, (int, float)) or not isinstance(step, str):
        raise BadOutputError('the responder must yield {"progress": int, "step" or "document": str} or {"result": ...}')
    if not 0 <= progress <= 100:
        raise BadOutputError(f"progress {progress} is not between 0 and 100")
    return Output(progress=int(progress), step=step)


async def run(respond: Respond, request: dict[str, Any]) -> AsyncGenerator[object, None]:
    """What `respond` yields. Closing this closes its generator, promptly where it lets itself be closed."""
    if inspect.isasyncgenfunction(respond):
        source: Any = respond(request)
    else:
        source = _InThread(respond, request)
    async with contextlib.aclosing(source):
        async for item in source:
            yield item


class _InThread:
    """Runs a blocking generator in a daemon thread, one item ahead of its consumer at most.

    A thread of its own: one that never comes back costs itself, not a place in a shared pool, and does not keep the
    process from ending.
    """

    def __init__(self, respond: Respond, request: dict[str, Any]) -> None:
        self._respond = respond
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._wanted = threading.Semaphore(1)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._nested: Any = None

    def __aiter__(self) -> _InThread:
        return self

    async def __anext__(self) -> object:
        if self._thread is None:
            context = copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._work,), name="responder", daemon=True)
            self._thread.start()
        if self._nested is not None:
            return await anext(self._nested)
        kind, value = await self._items.get()
        if kind == "item":
            self._wanted.release()
            return value
        if kind == "error":
            raise value
        if kind == "async":
            # A plain function that made an async iterator: its items come from the loop.
            self._nested = aiter(value)
            return await anext(self._nested)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Does not wait for the thread: it stops before its next item."""
        self._stopped.set()
        self._wanted.release()
        close = getattr(self._nested, "aclose", None)
        if close is not None:
            await close()

    def _tell(self, kind: str, value: Any = None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._items.put_nowait, (kind, value))

    def _work(self) -> None:
        try:
            made = self._respond(self._request)
            if hasattr(made, "__aiter__"):
                self._tell("async", made)
                return
            self._pull(made)
        except StopIteration as error:  # would end the consumer's loop as if all were well
            self._tell("error", BadOutputError(f"the responder raised {error!r}"))
        except BaseException as error:
            self._tell("error", error if isinstance(error, Exception) else BadOutputError(f"it raised {error!r}"))
        else:
            self._tell("end")

    def _pull(self, made: Iterable[object]) -> None:
        items = iter(made)
        try:
            while True:
                self._wanted.acquire()
                if self._stopped.is_set():
                    return
                try:
                    item = next(items)
                except StopIteration:
                    return
                self._tell("item", item)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                try:
                    close()
                except Exception:
                    # Closing is its last word; the work has ended already.
                    logger.exception("the responder failed while it was closed")
