"""Who has been posted the event that is being posted: a file, so that a bridge that was killed does not post it to the
same clients again. until phase 3

A line is written when a post has been answered, so what a kill can repeat is what was under way in that moment. The
file needs no fsync: it has to outlive this process, not the machine.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

__all__ = ["PostedFile"]


class PostedFile:
    """The file of one tenant's direction to the old stack.

    Args:
        path: made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known, is_whole = self._read()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if not is_whole:
            # The line that a kill cut off must not swallow the next one.
            os.write(self._descriptor, b"\n")

    def done(self, event_id: str) -> frozenset[str]:
        """Connections that have been posted this event (all of its frames), or have gone."""
        return frozenset(self._known.get(event_id, ()))

    def add(self, event_id: str, connection_id: str) -> None:
        """Remember one; from any thread."""
        line = json.dumps([event_id, connection_id]) + "\n"
        with self._lock:
            self._known.setdefault(event_id, set()).add(connection_id)
            os.write(self._descriptor, line.encode("ascii"))

    def clear(self) -> None:
        """The cursor is behind all of it."""
        with self._lock:
            if self._known:
                self._known.clear()
                os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> tuple[dict[str, set[str]], bool]:
        """What the file says, and whether its last line has its end."""
        known: dict[str, set[str]] = {}
        try:
            text = self._path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return known, True
        for line in text.splitlines():
            try:
                event_id, connection_id = json.loads(line)
            except (ValueError, TypeError, RecursionError):
                continue  # the last line of a process that was killed
            known.setdefault(str(event_id), set()).add(str(connection_id))
        return known, not text or text.endswith("\n")
