"""Asks API Gateway about connections. until phase 3 (MG11)

Only 410 GoneException says that a connection is gone; 403, 429, 5xx and a network that fails say nothing (API Gateway
Management API reference, GetConnection; REQUIREMENTS.md, fault 6). 410 is also the answer while `$connect` has not
returned (Knowledge Center, "410-gone-api-gateway"): whoever deletes asks about rows that were read long enough ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["Answer", "Gateway", "Verdict"]

_THROTTLED = {"LimitExceededException", "TooManyRequestsException", "ThrottlingException", "Throttling"}


class Verdict(StrEnum):
    """What the gateway says about a connection."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        verdict: see Verdict.
        reason: the code of what kept it from being known, else empty.
        latency_s: of the slowest question.
        throttled: whether the gateway wants fewer questions.
        info: what GetConnection said of a living one.
    """

    verdict: Verdict
    reason: str = ""
    latency_s: float = 0.0
    throttled: bool = False
    info: dict[str, Any] | None = None


class Gateway:
    """The gateways that a table's connections may be at: every stage, and every API that shares the table.

    Args:
        clients: boto3 clients of `apigatewaymanagementapi`; a connection is gone when it is gone at all of them.
        clock: seconds.
    """

    def __init__(self, clients: Sequence[Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._clients = tuple(clients)
        self._clock = clock

    def ask(self, connection_id: str) -> Answer:
        """About one connection."""
        unknown: Answer | None = None
        slowest = 0.0
        for client in self._clients:
            answer = self._ask(client, connection_id)
            slowest = max(slowest, answer.latency_s)
            if answer.verdict is Verdict.ALIVE:
                return answer
            if answer.verdict is Verdict.UNKNOWN:
                unknown = answer
        return unknown or Answer(Verdict.GONE, latency_s=slowest)

    def _ask(self, client: Any, connection_id: str) -> Answer:
        began = self._clock()
        try:
            info = client.get_connection(ConnectionId=connection_id)
        except ClientError as error:
            latency = self._clock() - began
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 410 and code in {"GoneException", "410", ""}:
                return Answer(Verdict.GONE, latency_s=latency)
            # Trouble of the gateway wants fewer questions, too, and another one later.
            throttled = status == 429 or code in _THROTTLED or (status or 0) >= 500
            return Answer(Verdict.UNKNOWN, code or f"HTTP {status}", latency, throttled)
        except BotoCoreError as error:
            return Answer(Verdict.UNKNOWN, type(error).__name__, self._clock() - began, True)
        return Answer(Verdict.ALIVE, latency_s=self._clock() - began, info=info)
