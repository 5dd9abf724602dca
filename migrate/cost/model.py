"""Quantities times prices. Pure. until phase 3

An Application Load Balancer unit of capacity (LCU) covers 25 new and 3,000 open connections and 1 GB an hour,
whichever is used most (Elastic Load Balancing pricing page).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrate.errors import UsageError

__all__ = [
    "DYNAMODB", "HOURS", "LAMBDA", "LONGEST_DAYS", "MESSAGES", "Line", "Prices", "Usage", "after_lines",
    "before_lines", "difference_usd", "prices_from", "total",
]  # fmt: skip

LONGEST_DAYS = 455.0
"""CloudWatch keeps metrics for fifteen months (CloudWatch guide, "Metrics retention")."""
HOURS = 730.0
"""Of a month, as AWS reckons."""
LCU_OPEN = 3000.0
MESSAGES, LAMBDA, DYNAMODB = "WebSocket messages", "Lambda", "DynamoDB"
"""Parts of the old stack that metrics tell about."""


@dataclass(frozen=True)
class Prices:
    """A dated table of prices. values: name -> (USD, per how many, unit)."""

    date: str
    region: str
    source: str
    values: Mapping[str, tuple[float, float, str]]


@dataclass(frozen=True)
class Usage:
    """What was used in a month. measured: what metrics told; the rest is worked out.

    unmeasured: parts of the old stack without any datapoint, of which 0 says nothing.
    """

    messages: float = 0.0
    connections: float = 0.0
    invocations: float = 0.0
    gb_s: float = 0.0
    writes: float = 0.0
    reads: float = 0.0
    queue_messages: float = 0.0
    new_writes: float = 0.0
    new_reads: float = 0.0
    is_measured_new: bool = False
    unmeasured: tuple[str, ...] = ()

    def basis(self, part: str) -> str:
        """Of the lines of a part of the old stack."""
        return "not measured here" if part in self.unmeasured else "measured"


@dataclass(frozen=True)
class Line:
    """One position. basis: measured, not measured here, worked out or configured."""

    what: str
    quantity: float
    unit: str
    usd: float
    basis: str


def prices_from(text: str, source: str) -> Prices:
    """A table of prices.

    Raises: UsageError: it is none, or lacks a price.
    """
    try:
        value = json.loads(text)
        found = Prices(
            str(value["date"]),
            str(value["region"]),
            str(value["source"]),
            {
                str(name): (float(one["usd"]), float(one["per"]), str(one["unit"]))
                for name, one in value["prices"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{source} is no table of prices: {error!r}", "copy migrate/cost/prices.json and change it"
        ) from None
    for name, (usd, per, _) in found.values.items():
        if not (math.isfinite(usd) and usd >= 0 and math.isfinite(per) and per > 0):
            raise UsageError(f"{source}: the price {name} is {usd} USD per {per}", "correct it")
    missing = _NEEDED - set(found.values)
    if missing:
        raise UsageError(f"{source} has no price for {', '.join(sorted(missing))}", "add it")
    return found


_NEEDED = frozenset({
    "websocket_messages", "websocket_minutes", "lambda_requests", "lambda_gb_s", "dynamodb_writes", "dynamodb_reads",
    "sqs_requests", "fargate_vcpu_hours", "fargate_gb_hours", "alb_hours", "alb_lcu_hours",
})  # fmt: skip


def before_lines(usage: Usage, prices: Prices) -> list[Line]:
    """The old stack, a month."""
    return [
        _line("WebSocket messages", "websocket_messages", usage.messages, prices, usage.basis(MESSAGES)),
        _line(
            "WebSocket connection minutes", "websocket_minutes", usage.connections * HOURS * 60, prices, "worked out"
        ),
        _line("Lambda requests", "lambda_requests", usage.invocations, prices, usage.basis(LAMBDA)),
        _line("Lambda time", "lambda_gb_s", usage.gb_s, prices, usage.basis(LAMBDA)),
        _line("DynamoDB writes", "dynamodb_writes", usage.writes, prices, usage.basis(DYNAMODB)),
        _line("DynamoDB reads", "dynamodb_reads", usage.reads, prices, usage.basis(DYNAMODB)),
        # Sent, received, deleted.
        _line("SQS requests", "sqs_requests", usage.queue_messages * 3, prices, "worked out"),
    ]


def after_lines(usage: Usage, prices: Prices, *, tasks: int, vcpu: float, memory_gb: float) -> list[Line]:
    """The new one, a month. What its tables will use is measured where it runs, and else taken from the messages."""
    basis = "measured" if usage.is_measured_new else "worked out"
    lcu = max(1.0, usage.connections / LCU_OPEN)
    return [
        _line("Fargate vCPU", "fargate_vcpu_hours", tasks * vcpu * HOURS, prices, "configured"),
        _line("Fargate memory", "fargate_gb_hours", tasks * memory_gb * HOURS, prices, "configured"),
        _line("Load balancer", "alb_hours", HOURS, prices, "configured"),
        _line("Load balancer capacity", "alb_lcu_hours", lcu * HOURS, prices, "worked out"),
        _line("DynamoDB writes", "dynamodb_writes", usage.new_writes, prices, basis),
        _line("DynamoDB reads", "dynamodb_reads", usage.new_reads, prices, basis),
    ]


def total(lines: Sequence[Line]) -> float:
    """USD a month."""
    return sum(line.usd for line in lines)


def difference_usd(usage: Usage, before: Sequence[Line], after: Sequence[Line]) -> float | None:
    """USD that the new stack costs less a month (below 0: more), of the totals as they are shown; None: parts of the
    old one are not measured, so that there is none."""
    return None if usage.unmeasured else round(round(total(before), 2) - round(total(after), 2), 2)


def as_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {"what": one.what, "quantity": one.quantity, "unit": one.unit, "usd": round(one.usd, 4), "basis": one.basis}
        for one in lines
    ]


def _line(what: str, price: str, quantity: float, prices: Prices, basis: str) -> Line:
    usd, per, unit = prices.values[price]
    return Line(what, quantity, unit, quantity / per * usd, basis)
