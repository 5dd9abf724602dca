"""The state folder of the local AWS: one user at a time, the same ports again. until phase 3

Clients keep addresses (a test's configuration, a browser tab), and MiniStack keys queues by theirs, so ports that
were free choices once are taken again as long as they are free.
"""

from __future__ import annotations

import fcntl
import json
import os
from io import TextIOWrapper
from pathlib import Path

from migrate.local.errors import PortInUseError
from migrate.local.ministack import free_port

__all__ = ["exclusive", "remember_ports", "remembered_port"]

_PORTS = "ports.json"


def exclusive(state_dir: Path) -> TextIOWrapper | None:
    """The folder's lock, held until the file is closed (the kernel lets go of it when we die); None: taken."""
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    file = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def remembered_port(state_dir: Path, name: str, taken: set[int]) -> int:
    """The port that `name` had last if it is free, or any free one that is not in `taken`."""
    try:
        last = json.loads((state_dir / _PORTS).read_text()).get(name)
    except (OSError, ValueError, AttributeError):
        last = None
    if isinstance(last, int) and last not in taken:
        try:
            return free_port(last, "")
        except (PortInUseError, OverflowError):
            pass
    while (port := free_port(0, "")) in taken:
        continue
    return port


def remember_ports(state_dir: Path, ports: dict[str, int]) -> None:
    """Keep the ports for the next start."""
    (state_dir / _PORTS).write_text(json.dumps(ports))
