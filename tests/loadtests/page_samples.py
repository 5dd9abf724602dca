"""Runs and results as they are stored, small. until phase 3"""

from __future__ import annotations

from typing import Any

__all__ = ["full", "result", "run"]


def run(**figures: float) -> dict[str, Any]:
    return {
        "figures": figures,
        "latency": {"delivery": {"150": 3, "160": 1}},
        "timeline": {"delivered": {"0": 3, "2": 1}},
        "cpu_cores": {"sse-service": 0.1},
        "memory_mb": {"sse-service": 130.0},
    }


def result(p50: float, **more: Any) -> dict[str, Any]:
    return {
        "provenance": {
            "time": "2026-11-22T00:00:00Z", "revision": "abc", "python": "3.11", "system": "Linux", "cpu": "<cpu>",
            "cores": 2, "load_before": 0.1, "versions": {"locust": "2.47.0"},
        },
        "emulated": True,
        "target": {},
        "plan": {"scenario": "rooms", "users": 4},
        "rounds": {"ws": [run(p50=10.0, loss=0), run(p50=20.0, loss=0)], "sse": [run(p50=p50), run(p50=2 * p50)]},
        **more,
    }  # fmt: skip


def full() -> dict[str, Any]:
    """All three sides, three repetitions, figures and latencies as long as they get."""
    rounds = {}
    for number, side in enumerate(("ws", "sse", "dropin")):
        rounds[side] = [
            {
                "figures": {
                    "delivery p50 ms": 12_345.6 * (number + 1) * (one + 1),
                    "dynamodb TransactWriteItems per message": 1.25 + one,
                    "execute-api PostToConnection per message": 20.0 + one,
                    "loss": 0,
                },
                "latency": {
                    "delivery": {str(bucket): 3 + one for bucket in range(0, 260 - 20 * number, 10)},
                    "send": {"40": 2, "60": 3},
                },
                "timeline": {"delivered": {str(at): 12_000 + 1000 * one + at % 7 for at in range(61)}},
                "cpu_cores": {"sse-service": 0.123 * (one + 1), "local-aws": 1.01 + one},
                "memory_mb": {"sse-service": 130.0 + one, "local-aws": 250.0 + one},
            }
            for one in range(3)
        ]
    return result(1.0, rounds=rounds)
