"""The simulated people, who are quiet while somebody measures. until phase 3

Whoever wants them quiet holds STATE_DIR/people.hold with a shared flock(2) and waits until up.json says `"people":
"held"`. The kernel lets go of the lock when its holder ends, however it ends: nothing has to be put back after a
kill -9 (flock(2): "released either by an explicit LOCK_UN operation ... or when all such file descriptors have been
closed").
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import Awaitable, Callable
from pathlib import Path

__all__ = ["CHATTING", "HELD", "NOBODY", "chat_unless_held", "is_held"]

CHATTING, HELD, NOBODY = "chatting", "held", "nobody"
"""What up.json says of them; NOBODY with `--no-traffic`."""

HOLD_CHECK_S = 0.2


def is_held(file: Path) -> bool:
    """Whether somebody holds it now. Those who hold it are never refused for being looked at: they wait a moment."""
    with contextlib.suppress(OSError), file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def chat_unless_held(
    chat: Callable[[asyncio.Event], Awaitable[None]],
    file: Path,
    stop: asyncio.Event,
    changed: Callable[[str], None],
) -> None:
    """Until `stop` is set. While the file is held nobody of them is connected anywhere.

    Args:
        chat: lets them chat until the event it is given is set.
        changed: told CHATTING or HELD, the latter once all of them have gone.
    """
    while not stop.is_set():
        if is_held(file):
            changed(HELD)
            while not stop.is_set() and is_held(file):
                await _wait(stop)
            continue
        changed(CHATTING)
        enough = asyncio.Event()
        chatting = asyncio.ensure_future(chat(enough))
        try:
            while not (stop.is_set() or chatting.done() or is_held(file)):
                await _wait(stop)
            enough.set()
            await chatting
        finally:
            chatting.cancel()


async def _wait(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), HOLD_CHECK_S)
