"""Outputs of a responder for as long as there is time. until phase 3

A responder may hang in the middle of anything, and Lambda ends a function at its time limit without a word to anybody:
so it runs in a thread of its own, and whoever waits for it stops waiting in time.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterable, Callable, Iterator
from typing import Any

from legacy_ws.responder import Responder

__all__ = ["OutOfTimeError", "RaisedError", "outputs"]

# What may wait between the responder and the queue: a responder that is faster than the queue is held back.
_WAITING = 64
_LOOK_S = 0.2


class OutOfTimeError(Exception):
    """The responder did not end in time."""


class RaisedError(Exception):
    """The responder raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class _End:
    """The responder has ended, by `error` if there is one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def outputs(responder: Responder, request: dict[str, Any], left_s: Callable[[], float]) -> Iterator[object]:
    """What the responder yields, unchecked.

    Args:
        left_s: seconds that are left to wait in.
    Raises: OutOfTimeError: the responder goes on, unheard, until it yields again. RaisedError: it raised something.
    """
    pipe: queue.Queue[object] = queue.Queue(_WAITING)
    unheard = threading.Event()
    worker = threading.Thread(target=_work, args=(responder, request, pipe, unheard), name="responder", daemon=True)
    worker.start()
    try:
        while True:
            left = left_s()
            try:
                output = pipe.get(timeout=left) if left > 0 else pipe.get_nowait()
            except queue.Empty:
                raise OutOfTimeError from None
            if isinstance(output, _End):
                if output.error is not None:
                    raise RaisedError(output.error)
                return
            if left <= 0:
                raise OutOfTimeError
            yield output
    finally:
        unheard.set()


def _work(responder: Responder, request: dict[str, Any], pipe: queue.Queue[object], unheard: threading.Event) -> None:
    try:
        made = responder(request)
        if isinstance(made, AsyncIterable):
            asyncio.run(_work_async(made, pipe, unheard))
        else:
            for output in made:
                if not _put(pipe, output, unheard):
                    return
    except BaseException as error:
        _put(pipe, _End(error), unheard)
    else:
        _put(pipe, _End(), unheard)


async def _work_async(made: AsyncIterable[dict[str, Any]], pipe: queue.Queue[object], unheard: threading.Event) -> None:
    async for output in made:
        # Blocks this thread's own event loop, on which nothing else runs.
        if not _put(pipe, output, unheard):
            return


def _put(pipe: queue.Queue[object], output: object, unheard: threading.Event) -> bool:
    while not unheard.is_set():
        try:
            pipe.put(output, timeout=_LOOK_S)
        except queue.Full:
            continue
        return True
    return False
