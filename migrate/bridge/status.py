"""Counters of the bridge, in a file that `migrate status` reads. until phase 3"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["BridgeStatus"]


@dataclass
class BridgeStatus:
    """What has crossed since the bridge was started.

    Attributes:
        to_sse: messages published on the SSE service.
        to_legacy: messages posted to WebSocket clients.
        undelivered: posts that failed for another reason than a gone connection.
        malformed: records of the tee that could not be read and were put aside.
        refused: messages that the SSE service refused for what they are and that were put aside.
        not_captured: records the tee says it could not send.
        nobodys: connections that a frame was posted to, and of which nobody knows any more whose they were; their
            records were put aside.
        skipped: records that a reader of the tee refused for too long, by reader; they were put aside.
        resets: how often the event log no longer held what came after the cursor: messages sent in between did
            not reach WebSocket clients.
        pid: whose counters these are.
        live: whether both directions are at work.
        problem_to_sse, problem_to_legacy: what is wrong now with a direction, in words; empty when nothing is.
        cursors: tenant -> id of the last event that was posted.
    """

    to_sse: int = 0
    to_legacy: int = 0
    undelivered: int = 0
    malformed: int = 0
    refused: int = 0
    not_captured: int = 0
    nobodys: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    resets: int = 0
    pid: int = field(default_factory=os.getpid)
    live: bool = False
    problem_to_sse: str = ""
    problem_to_legacy: str = ""
    started_at: float = field(default_factory=time.time)
    written_at: float = 0.0
    cursors: dict[str, str] = field(default_factory=dict)

    def skip(self, reader: str, count: int) -> None:
        self.skipped[reader] = self.skipped.get(reader, 0) + count

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        self.written_at = time.time()
        temporary = path.with_suffix(".json.new")
        temporary.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
