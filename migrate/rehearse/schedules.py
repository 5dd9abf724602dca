"""Invokes what only a schedule invokes, while a rehearsal is on. until phase 3

The event is that of an EventBridge rule's schedule (Amazon EventBridge user guide, "Creating an Amazon EventBridge rule
that runs on a schedule"). A rehearsal has no time to wait for rates and hours.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.rehearse.sources import EVERY_S

__all__ = ["Schedules", "scheduled_event"]


def scheduled_event(function: str, account: str, region: str, now: datetime) -> dict[str, Any]:
    """What the function is given."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": account,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{account}:rule/{function}"],
        "detail": {},
    }


class Schedules:
    """Args:
    lambda_: a boto3 client; its calls run in a thread.
    functions: which ones.

    Attributes:
        said: what became of it, a line for each function that was invoked.
    """

    def __init__(self, lambda_: Any, functions: Collection[str], *, account: str, region: str) -> None:
        self._lambda, self._functions = lambda_, functions
        self._account, self._region = account, region
        self._counts: dict[str, tuple[int, int, str]] = {}

    @property
    def said(self) -> list[str]:
        lines = []
        for name, (times, failed, error) in self._counts.items():
            last = f", {failed} failed: {error}" if failed else ""
            often = "once" if times == 1 else f"{times} times"
            lines.append(f"{name}: invoked {often} in the place of its schedule{last}")
        return lines

    async def run(self, every_s: float = EVERY_S) -> None:
        """Until cancelled, or until all of the functions are gone."""
        left = list(self._functions)
        while left:
            left = [name for name in left if await asyncio.to_thread(self._invoke, name)]
            await asyncio.sleep(every_s)

    def _invoke(self, name: str) -> bool:
        """Whether it is still there."""
        event = scheduled_event(name, self._account, self._region, datetime.now(UTC))
        error = ""
        try:
            answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event).encode())
            if answer.get("FunctionError"):
                error = answer["Payload"].read(300).decode("utf-8", "replace")
        except ClientError as refused:
            if refused.response["Error"]["Code"] == "ResourceNotFoundException":
                return False
            error = str(refused.response["Error"]["Code"])
        except BotoCoreError as refused:
            error = type(refused).__name__
        times, failed, last = self._counts.get(name, (0, 0, ""))
        self._counts[name] = (times + 1, failed + bool(error), error or last)
        return True
