"""A synthetic shadow run with known faults. until phase 3"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from migrate.compare.deliveries import DeliveryRow, DeliveryWriter, SendRow, Span
from migrate.compare.duck import DuckEngine
from migrate.compare.engine import Options, compare_records
from migrate.compare.files import open_run, progress_of, read_lines, spans_of
from migrate.compare.recorded import RecordedReport, RunFacts
from migrate.compare.rules import rules_of
from migrate.config.model import Feature, Ignore, Normalise

START = 1_800_000_000.0
TODAY = date(2026, 11, 22)
SERVER_FIELDS = (
    Ignore(path="messageId", reason="each stack gives its own", expires="2027-03-01"),
    Ignore(path="timestamp", reason="each stack's clock", expires="2027-03-01"),
)
CHAT = Feature(name="chat", frames=("message",), order_by="roomId", sent_at="timestamp", ignore=SERVER_FIELDS)
CHAT_BY_ID = replace(CHAT, id="clientId")


@dataclass
class Truth:
    """Messages 0..n-1, one every 50 ms, each to everybody in its room, on every stack; faults are put on top.

    Rows are keyed by (stack, message, recipient).
    """

    messages: int = 40
    people: int = 4
    rooms: int = 2
    text: str = "hello {n}"
    baseline: bool = False
    by_id: bool = False
    sends: dict[int, SendRow] = field(default_factory=dict)
    rows: dict[tuple[str, int, str], list[DeliveryRow]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    counts: list[tuple[int, int, float]] = field(default_factory=list)
    progress: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        stacks = ("legacy", "sse", "baseline") if self.baseline else ("legacy", "sse")
        for n in range(self.messages):
            room, sender, at = f"room{n % self.rooms}", f"user{n % self.people}", self.time(n)
            frame = {"type": "message", "roomId": room, "message": self.text.format(n=n), "userName": sender}
            if self.by_id:
                frame["clientId"] = f"id{n}"
            self.sends[n] = SendRow("chat", "acme", sender, f"req{n}", at, json.dumps(frame), "ok", 200)
            for stack in stacks:
                delay = {"legacy": 0.03, "sse": 0.2, "baseline": 0.031}[stack]
                own = {"messageId": f"{stack[0]}{n}", "timestamp": at + (0.01 if stack != "sse" else 0.19)}
                for person in range(self.people):
                    row = DeliveryRow(
                        stack=stack, feature="chat", tenant="acme", recipient=f"user{person}", sender=sender,
                        stream=room, message_id=f"id{n}" if self.by_id else None,
                        cause=f"req{n}" if stack == "legacy" else None, seq=n, sent_at=own["timestamp"],
                        at=at + delay + person * 1e-4, connection_id=f"c{person}" if stack == "legacy" else None,
                        payload=json.dumps({**frame, **own}),
                    )  # fmt: skip
                    self.rows[stack, n, f"user{person}"] = [row]

    @staticmethod
    def time(n: float) -> float:
        return START + 1 + n * 0.05

    @property
    def end(self) -> float:
        return self.time(self.messages)

    def drop(self, stack: str, n: int, user: str) -> None:
        self.rows[stack, n, user] = []

    def double(self, stack: str, n: int, user: str) -> None:
        [row] = self.rows[stack, n, user]
        self.rows[stack, n, user] = [row, replace(row, at=row.at + 0.01)]

    def change(self, stack: str, n: int, user: str, **fields: Any) -> None:
        [row] = self.rows[stack, n, user]
        self.rows[stack, n, user] = [replace(row, payload=json.dumps({**json.loads(row.payload), **fields}))]

    def swap(self, stack: str, n: int, m: int, user: str) -> None:
        [a], [b] = self.rows[stack, n, user], self.rows[stack, m, user]
        self.rows[stack, n, user], self.rows[stack, m, user] = [replace(a, at=b.at)], [replace(b, at=a.at)]

    def fail_post(self, n: int, user: str, outcome: str = "gone") -> None:
        [row] = self.rows["legacy", n, user]
        self.rows["legacy", n, user] = [replace(row, outcome=outcome)]  # type: ignore[arg-type]

    def write(self, directory: Path, run_id: str = "run1") -> Path:
        """Write it; a quiet time before and after, so that nothing is at an edge."""
        with DeliveryWriter(directory, run_id, "w1", clock=lambda: START) as writer:
            for rows in self.rows.values():
                for row in rows:
                    writer.delivery(row)
            for send in self.sends.values():
                writer.send(send)
            for span in self.spans:
                writer.span(span)
            for captured, lost, at in self.counts:
                writer.count(captured, lost, at)
            for at, through in self.progress:
                writer.count(0, 0, at, through)
        return directory / run_id

    def compare(self, directory: Path, feature: Feature | None = None, **options: Any) -> RecordedReport:
        return compare_directory(
            self.write(directory),
            feature or (CHAT_BY_ID if self.by_id else CHAT),
            **{"min_samples": 10, "until": self.end + 1, "settle_s": 0.0, "max_loss": 0.01, **options},
        )


def compare_directory(directory: Path, *features: Feature, **options: Any) -> RecordedReport:
    files = open_run(directory)
    spans, captured, lost = spans_of(files)
    rules = [rules_of(feature, TODAY) for feature in features]
    run = RunFacts(files.run_id, (0, 0), 0, 0, captured, lost, tuple(files.flaws))
    with DuckEngine(threads=1) as engine:
        engine.load(files, spans)
        return compare_records(
            engine,
            rules,
            Options(**options),
            run,
            started=files.started,
            made_at=START,
            progress=progress_of(read_lines(files, "counts")),
        )


__all__ = ["CHAT", "CHAT_BY_ID", "SERVER_FIELDS", "START", "TODAY", "Normalise", "Truth", "compare_directory"]
