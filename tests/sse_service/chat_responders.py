"""Responders for the tests (SSE_RESPONDER names this module). What they do is steered by the message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

CLOSED = threading.Event()
"""Set when a generator was closed before its end."""
GO_ON = threading.Event()
CALLS: list[str] = []


def reset() -> None:
    CLOSED.clear()
    GO_ON.clear()
    CALLS.clear()


def steered(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    fields = request["input"]
    CALLS.append(request["id"])
    word = fields.get("message") or fields.get("input") or fields["documents"][0]
    is_chat = request["feature"] == "chat"
    try:
        if word == "fail first":
            raise RuntimeError("secret of the responder")
        yield {"text": "one "} if is_chat else {"progress": 10, "step": "one"}
        if word == "fail later":
            raise RuntimeError("secret of the responder")
        if word == "nonsense":
            yield {"words": "?"}
        if word == "stop iteration":
            raise StopIteration
        if word == "wait":
            while not GO_ON.wait(0.01):
                yield {"text": "."} if is_chat else {"progress": 20, "step": "wait"}
        if word == "block":
            GO_ON.wait(30)
        while word == "flood":
            yield {"text": "x" * 16_000}
        if word == "long":
            yield {"text": "日" * 10_000}
        yield {"text": "two"} if is_chat else {"result": {"done": word}}
    except GeneratorExit:
        CLOSED.set()
        raise


async def unhurried(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    CALLS.append(request["id"])
    try:
        yield {"text": "one "}
        while not GO_ON.is_set():
            await asyncio.sleep(0.01)
        yield {"text": "two"}
    except (GeneratorExit, asyncio.CancelledError):
        CLOSED.set()
        raise


def a_list(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"text": "all at once"}]


def makes_async(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    return unhurried(request)


async def coroutine(request: dict[str, Any]) -> list[dict[str, Any]]:
    return []


def no_argument() -> list[dict[str, Any]]:
    return []


NOT_A_FUNCTION = 5
