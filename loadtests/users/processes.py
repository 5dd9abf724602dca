"""What the processes of a run have told, as one; and whether they share a clock."""

from __future__ import annotations

import functools
import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from loadtests.users.counters import Counters

__all__ = ["machine", "merged"]


def merged(states: Collection[Mapping[str, Any]]) -> dict[str, Any]:
    """users, processes, cores (used while messages were sent; `busiest`: by one process), counts, latency, timeline."""
    whole = Counters()
    for state in states:
        whole.add(state["counters"])
    cores = [state["cpu_s"] / state["wall_s"] for state in states if state["wall_s"]]
    return {
        "users": sum(state["ready"] for state in states),
        "processes": len(states),
        "cores": sum(cores),
        "busiest": max(cores, default=0.0),
        **whole.to_json(),
    }


@functools.cache
def machine() -> str:
    """The same for all that share a monotonic clock: a kernel since its start (proc(5), random/boot_id)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()
