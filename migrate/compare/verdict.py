"""From counts to a verdict with its reasons. Pure; whoever counted. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from migrate.compare.model import Path, Stack
from migrate.compare.stats import binomial_lower, binomial_upper
from migrate.errors import ExitCode

__all__ = ["Counts", "Direction", "StackCounts", "Thresholds", "Verdict", "judge"]


class Verdict(StrEnum):
    """pass: both delivered the same. fail: they did not. inconclusive: the evidence does not say."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> ExitCode:
        return {
            Verdict.PASS: ExitCode.OK,
            Verdict.FAIL: ExitCode.FAILED,
            Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
        }[self]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a pass needs.

    Args:
        min_samples: messages judged on both stacks; below it nothing passes.
        max_loss_rate: the rate of lost messages that is still acceptable, per stack. 0: a single lost one
            fails. Above 0 a pass needs the upper confidence bound below it, a fail the lower one above it.
        confidence: of those one-sided bounds.
        order_slack_s: see migrate.compare.order.
    """

    min_samples: int = 50
    max_loss_rate: float = 0.0
    confidence: float = 0.95
    order_slack_s: float = 1.0


@dataclass(slots=True)
class StackCounts:
    """Counts of one stack. Deliveries are (message, recipient) pairs; a message is lost when any recipient
    misses it.
    """

    expected: int = 0
    delivered: int = 0
    missing: int = 0
    unjudged: int = 0
    extra: int = 0
    duplicate: int = 0
    reordered: int = 0
    messages: int = 0
    messages_lost: int = 0


@dataclass(slots=True)
class Direction:
    """Deliveries of the recorder's own messages sent one way, on one stack."""

    expected: int = 0
    delivered: int = 0
    missing: int = 0


@dataclass(slots=True)
class Counts:
    """All counts of a comparison.

    Args:
        alone: pairs that this stack delivered and the other one did not.
    """

    messages: int = 0
    pairs: int = 0
    matched: int = 0
    changed: int = 0
    refused: int = 0
    alone: dict[Stack, int] = field(default_factory=lambda: dict.fromkeys(Stack, 0))
    stacks: dict[Stack, StackCounts] = field(default_factory=lambda: {stack: StackCounts() for stack in Stack})
    directions: dict[tuple[Path, Stack], Direction] = field(default_factory=dict)


def judge(
    counts: Counts,
    thresholds: Thresholds,
    *,
    incomplete: Sequence[str] = (),
    refusals: Mapping[str, int] | None = None,
) -> tuple[Verdict, list[str], list[str]]:
    """The verdict, its reasons, and hints, in words.

    What was seen to be wrong fails, however few samples there are and however incomplete the capture is. Only
    what was not seen to be wrong needs enough evidence to pass.

    Args:
        incomplete: what is missing in the capture itself, in words.
        refusals: what the server said -> number of messages it refused so.
    """
    failures, hints = _failures(counts, thresholds, refusals or {})
    if failures:
        return Verdict.FAIL, failures + list(incomplete), hints
    doubts = list(incomplete) + _doubts(counts, thresholds)
    if doubts:
        return Verdict.INCONCLUSIVE, doubts, hints
    return Verdict.PASS, [_all_well(counts, thresholds)], hints


def _failures(counts: Counts, thresholds: Thresholds, refusals: Mapping[str, int]) -> tuple[list[str], list[str]]:
    reasons: list[str] = []
    hints: list[str] = []
    silent = [pair for pair, d in counts.directions.items() if d.expected and not d.delivered]
    for path, stack in silent:
        reach = "clients" if stack is Stack.WEBSOCKET else "streams"
        reasons.append(f"nothing sent over {path.label} reached {stack.label} {reach}")
        if path.stack is not stack:
            hints.append("is the bridge running? `migrate bridge status`")
    for stack, c in counts.stacks.items():
        where = f"on {stack.label}"
        if c.missing and _loss_fails(c, thresholds):
            lost = f"{c.messages_lost} of {_plural(c.messages, 'message')}"
            reasons.append(f"{c.missing} of {c.expected} deliveries are missing {where} ({lost})")
        if c.extra:
            reasons.append(f"{_deliveries(c.extra)} too many {where}")
        if c.duplicate:
            reasons.append(f"{_deliveries(c.duplicate)} arrived more than once {where}")
        if c.reordered:
            reasons.append(f"{_deliveries(c.reordered)} out of order {where}")
    if counts.changed:
        reasons.append(f"{_deliveries(counts.changed)} with different content on the two stacks")
    for said, number in refusals.items():
        reasons.append(f"{_plural(number, 'message was', 'messages were')} not accepted: {said}")
    return reasons, list(dict.fromkeys(hints))


def _loss_fails(c: StackCounts, thresholds: Thresholds) -> bool:
    if thresholds.max_loss_rate <= 0:
        return c.missing > 0
    return binomial_lower(c.messages_lost, c.messages, thresholds.confidence) > thresholds.max_loss_rate


def _doubts(counts: Counts, thresholds: Thresholds) -> list[str]:
    doubts: list[str] = []
    if counts.messages < thresholds.min_samples:
        judged = _plural(counts.messages, "message")
        doubts.append(f"only {judged} judged, {thresholds.min_samples} are needed (--min-samples)")
    for stack, c in counts.stacks.items():
        if c.unjudged:
            doubts.append(f"{_deliveries(c.unjudged)} on {stack.label} could not be judged: nobody was listening then")
        if thresholds.max_loss_rate > 0 and c.messages:
            upper = binomial_upper(c.messages_lost, c.messages, thresholds.confidence)
            if upper > thresholds.max_loss_rate:
                doubts.append(
                    f"up to {upper:.3%} of messages may be lost on {stack.label} ({thresholds.confidence:.0%} sure), "
                    f"{thresholds.max_loss_rate:.3%} are allowed: more samples are needed"
                )
    return doubts


def _all_well(counts: Counts, thresholds: Thresholds) -> str:
    upper = binomial_upper(0, counts.messages, thresholds.confidence)
    if any(c.messages_lost for c in counts.stacks.values()):
        return f"{counts.matched} of {counts.pairs} deliveries matched; the losses are within the allowed"
    return (
        f"all {counts.matched} deliveries of {_plural(counts.messages, 'message')} matched; a loss rate above "
        f"{upper:.2%} of messages is ruled out with {thresholds.confidence:.0%} confidence"
    )


def _plural(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _deliveries(number: int) -> str:
    return _plural(number, "delivery", "deliveries")
