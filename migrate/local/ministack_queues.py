"""ListDeadLetterSourceQueues, which MiniStack does not have. until phase 3

Source: Amazon SQS API reference, "ListDeadLetterSourceQueues" (the JSON protocol's member is `queueUrls`).
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["expected", "register"]

ACTION = "ListDeadLetterSourceQueues"


def expected(sqs: object) -> str | None:
    """What of MiniStack is not as in the pinned version, or None."""
    return next(
        (f"sqs.{name}" for name in ("_HANDLERS", "_queues", "_externalize_url") if not hasattr(sqs, name)), None
    )


def register(sqs: Any) -> None:
    """Add the action unless this MiniStack has it."""

    def sources(data: dict[str, Any], _: str) -> dict[str, Any]:
        name = str(data.get("QueueUrl", "")).rsplit("/", 1)[-1]
        found = []
        for url, queue in sqs._queues.items():
            policy = json.loads(queue["attributes"].get("RedrivePolicy") or "{}")
            if str(policy.get("deadLetterTargetArn", "")).rsplit(":", 1)[-1] == name:
                found.append(sqs._externalize_url(url))
        return {"queueUrls": found}

    sqs._HANDLERS.setdefault(ACTION, sources)
