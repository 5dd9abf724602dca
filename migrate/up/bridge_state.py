"""The bridge of `migrate up`: whether it runs, since when, and what has crossed it. until phase 3"""

from __future__ import annotations

import json
from typing import Any

from migrate.up.state import StateDir

__all__ = ["bridge_view"]


def bridge_view(state: StateDir) -> dict[str, Any]:
    """The bridge's counters, and whether it is held down.

    The counters are those of the process named: one that has just been started has none yet, whatever the one before
    it left in the file. Of a bridge that is down they are the last one's. `since` is when it was held, or when it
    began: epoch seconds, None when nobody knows.
    """
    try:
        counters = json.loads(state.bridge_status.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        counters = {}
    up = state.read_up() or {}
    pid = up.get("pids", {}).get("bridge")
    if pid is not None and counters.get("pid") != pid:
        counters = {}
    live = pid is not None and counters.get("live")
    try:
        known, since = "held", state.bridge_held.stat().st_mtime
    except FileNotFoundError:
        known, since = "running" if live else "starting", counters.get("started_at")
    return {**counters, "state": known, "pid": pid, "since": since}
