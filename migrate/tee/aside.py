"""Keeps what a reader of the tee did not get, beside its own: nothing is dropped in silence. until phase 3"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["aside_to"]


def aside_to(
    folder: Path, prefix: str, counted: Callable[[str, int], None] = lambda *_: None
) -> Callable[[str, Sequence[str], str], None]:
    """For a Distributor: appends to `PREFIX-refused-by-READER.jsonl`, one line `{"at", "reason", "body"}` a record.

    Args:
        counted: told the reader and how many.
    """

    def aside(reader: str, bodies: Sequence[str], reason: str) -> None:
        # People's messages: for their owner's eyes.
        path = folder / f"{prefix}-refused-by-{reader}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            for body in bodies:
                line = {"at": time.time(), "reason": reason, "body": body}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        counted(reader, len(bodies))

    return aside
