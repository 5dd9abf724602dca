"""What the sections of the dashboard hold, as its server says it: a migration on a bad day, and the parts of it.
until phase 3 (MG18)
"""

from __future__ import annotations

import time
from typing import Any


def mismatch(number: int, **changes: Any) -> dict[str, Any]:
    """A difference: every second one is missing on SSE, the others have another text there."""
    legacy = {
        "type": "message",
        "messageId": f"L{number}",
        "roomId": "main",
        "message": f"おはよう {number}",
        "tags": ["a", {"x": 1}],
    }
    sse = {
        **legacy,
        "messageId": f"S{number}",
        "message": f"おはよう {number} !",
        "tags": ["a", {"x": 2}],
        "more": True,
    }
    is_missing = number % 2 == 0
    return {
        "id": f"m{number}",
        "at": time.time() - 60 + number / 100,
        "feature": "chat" if number % 3 else "presence",
        "kind": "missing" if is_missing else "changed",
        "stack": "sse",
        "blame": "sse",
        "recipient": f"user{number % 40}",
        "message": f"L{number}",
        "detail": "",
        "legacy": legacy,
        "sse": None if is_missing else sse,
        "fields": {} if is_missing else {"message": [legacy["message"], sse["message"]], "tags.1.x": [1, 2]},
        **changes,
    }


def entry(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"j{number}",
        "at": time.time() - 3600 + number,
        "actor": "kim@ops-1",
        "action": "cutover",
        "arguments": {"feature": "chat", "percent": number % 100},
        "outcome": "done",
        "digest": f"{number:064x}",
        **changes,
    }


def compared(feature: str, verdict: str = "pass", **counts: Any) -> dict[str, Any]:
    expected = counts.pop("expected", 48_210)
    return {
        "feature": feature,
        "expected": expected,
        "matched": expected - counts.get("missing", 0) - counts.get("changed", 0),
        "missing": 0, "extra": 0, "duplicate": 0, "changed": 0, "reordered": 0, "missing_legacy": 0,
        "verdict": verdict,
        "reasons": [],
        "notes": [],
        "window": [time.time() - 3600, time.time() - 20],
        "loss_upper": 0.00006,
        **counts,
    }  # fmt: skip


def item(number: int, status: str, title: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"item{number}",
        "title": title,
        "status": status,
        "evidence": "",
        "taken_at": time.time() - 600,
        "stale": False,
        "next_command": "",
        **changes,
    }


def deliveries(seconds: int = 120) -> dict[str, Any]:
    """What a quiet hour looks like; SSE has a gap, and loses a few at the end."""
    now = int(time.time())
    wave = [52 + (second * 7 % 13) - (second % 11) for second in range(seconds)]
    series = [
        {
            "t": now - seconds + 1 + second,
            "legacy": value,
            "sse": None if 50 < second < 58 else value - (9 if second > 100 else 0),
        }
        for second, value in enumerate(wave)
    ]
    return {"at": now, "series": series, "legacy_per_s": wave[-1], "sse_per_s": wave[-1] - 9}


def sample() -> dict[str, Any]:
    """A migration on a bad day: a feature on its way, another one that loses messages."""
    now = time.time()
    return {
        "connections": {
            "at": now,
            "rows": [
                {"stack": "legacy", "feature": "chat", "open": 3120},
                {"stack": "sse", "feature": "chat", "open": 960},
                {"stack": "virtual", "feature": "chat", "open": 240},
                {"stack": "legacy", "feature": "presence", "open": 1800},
            ],
        },
        "deliveries": deliveries(),
        "comparison": {
            "at": now,
            "features": [
                compared("chat"),
                compared(
                    "presence", "fail", expected=9_120, missing=12, changed=3, loss_upper=0.0021,
                    reasons=["12 of 9,120 deliveries are missing on SSE, gates.max_loss is 0.0005"],
                ),
            ],
        },
        "mismatches": [mismatch(number) for number in range(15)],
        "latency": {
            "at": now,
            "edges_ms": [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000],
            "legacy": [0, 3, 40, 210, 900, 1400, 600, 130, 40, 9, 2, 0, 0, 0],
            "sse": [12, 160, 900, 1300, 620, 210, 80, 30, 12, 3, 1, 0, 0, 0],
            "legacy_p": {"p50": 28.4, "p99": 312.0},
            "sse_p": {"p50": 7.2, "p99": 148.0},
        },
        "cutover": [
            {
                "feature": "chat", "percent": 25.0, "tenants": {"acme": 50.0, "globex": 0.0}, "epoch": 7,
                "state": "moving", "gate": {"open": True, "reasons": [], "gates": []}, "changed_at": now - 1500,
                "by": "kim@ops-1", "note": "second step", "running": "",
            },
            {
                "feature": "presence", "percent": 0.0, "tenants": {}, "epoch": 3, "state": "returned",
                "gate": {
                    "open": False, "gates": [{"name": "comparison", "state": "shut", "reason": "it failed"}],
                    "reasons": ["comparison: the last comparison failed: 12 of 9,120 deliveries are missing on SSE"],
                },
                "changed_at": now - 240, "by": "kim@ops-1", "note": "", "running": "",
            },
        ],
        "phases": [
            {
                "phase": 1, "title": "Phase 1: no new WebSocket code", "closed": {"by": "kim", "at": now - 9e5},
                "items": [item(1, "done", "WebSocket code identified"), item(2, "done", "CI refuses new uses")],
            },
            {
                "phase": 2, "title": "Phase 2: features move over", "closed": None,
                "items": [
                    item(3, "done", "Replaced by an SSE implementation", evidence="the service answers"),
                    item(4, "waived", "Load test on a copy of production", evidence="waived by lee: done in staging"),
                    item(
                        5, "failing", "Deliveries of both stacks compared", evidence="presence: 12 are missing on SSE",
                        next_command="migrate compare --config migrate.toml --live",
                    ),
                    item(
                        6, "open", "Every feature is at 100 %", stale=True,
                        next_command="migrate cutover chat --steps --execute --config migrate.toml",
                    ),
                ],
            },
            {"phase": 3, "title": "Phase 3: removal", "closed": None, "items": [item(7, "open", "The stack is gone")]},
        ],
        "jobs": [
            {
                "kind": "sweep", "id": "sweep-9f3a", "status": "running", "done": 7, "total": 16, "per_s": 118.0,
                "throttle_reason": "ask 118.0/s: throttled (LimitExceededException)", "owner": "lee@ops-2",
                "counts": {"rows": 48210, "alive": 3120, "gone": 45040, "unknown": 50},
            },
            {
                "kind": "drain", "id": "d-2", "status": "stopped", "done": 420, "total": None, "per_s": None,
                "throttle_reason": "at most 20/s are closed", "owner": "kim@ops-1", "counts": {"closed": 420},
            },
        ],
        "journal": [entry(number) for number in range(20)]
        + [
            entry(20, action="rollback", arguments={"feature": "presence", "note": "12 missing"}, at=now - 240),
            entry(21, action="sweep", arguments={"table": "connections"}, outcome="started", at=now - 90),
        ],
        "sources": [
            {"name": "service", "state": "ok", "why": "http://127.0.0.1:8080", "at": now},
            {"name": "verdicts", "state": "ok", "why": "2 of 2 features were compared", "at": now - 4},
            {
                "name": "cloudwatch", "state": "away", "why": "GetMetricStatistics failed with AccessDenied",
                "at": now - 65,
            },
            {"name": "shadow", "state": "absent", "why": "no shadow run is on: `migrate shadow start`", "at": now - 8},
        ],
    }  # fmt: skip


def nothing() -> dict[str, Any]:
    """Every section before anything was found, as the server says it."""
    return {
        "connections": {"at": None, "rows": []},
        "deliveries": {"at": None, "series": [], "legacy_per_s": None, "sse_per_s": None},
        "comparison": {"at": None, "features": []},
        "mismatches": [],
        "latency": {
            "at": None, "edges_ms": [1, 10, 100], "legacy": [], "sse": [],
            "legacy_p": {"p50": None, "p99": None}, "sse_p": {"p50": None, "p99": None},
        },
        "cutover": [],
        "phases": [],
        "jobs": [],
        "journal": [],
        "sources": [],
    }  # fmt: skip
