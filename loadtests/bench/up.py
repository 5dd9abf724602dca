"""`migrate up`: seconds until ready, and the memory of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from loadtests.bench.report import Table, save, spread

__all__ = ["run"]

ROUNDS = 3
# Sample traffic runs for so long before memory is read, seconds.
SETTLE_S = 10.0


def run() -> None:
    """Start and stop both stacks a few times, each time from nothing."""
    ready, memory = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            _migrate("up", "--detach", "--json", "--state-dir", folder)
            ready.append(time.perf_counter() - began)
            try:
                time.sleep(SETTLE_S)
                status: dict[str, Any] = json.loads(_migrate("status", "--json", "--state-dir", folder))
                memory.append(status["memory_mb"])
            finally:
                _migrate("down", "--state-dir", folder)
    table = Table("migrate up, with sample traffic", "what", "value")
    table.add("seconds until ready", spread(ready))
    for name in memory[0]:
        table.add(f"memory MB, {name}", spread([round_.get(name, 0.0) for round_ in memory]))
    table.show()
    print(f"  kept in {save('up', {'ready_s': ready, 'memory_mb': memory})}")


def _migrate(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "migrate", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
