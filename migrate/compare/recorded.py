"""What a comparison of records counted, and the report that is made of it. Pure. until phase 3 (MG7)

Who is to blame for a delivery that is not on both stacks:

    sse        the SSE stack lost it, doubled it, made it up, or refused the replay: this is what fails
    legacy     the legacy stack lost it (410, failed post, never posted): said, and no reason to stay there
    capture    what recorded it lost it: not judged, and no pass while the capture has to be complete
    incomplete, gap, paused, skipped   a time or a frame that was not recorded, or not replayed: not judged
    noise      the second legacy consumer differs in the same way: not judged
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.compare.stats import order_statistics
from migrate.compare.verdict import Verdict

__all__ = [
    "BIN_S",
    "Bar",
    "Distribution",
    "FeatureFacts",
    "FeatureReport",
    "Found",
    "Offence",
    "Quantile",
    "RecordedReport",
    "RunFacts",
    "distribution",
]

# Latency is counted in bins of this width, seconds: what is said of it is exact to this.
BIN_S = 0.0001


@dataclass(frozen=True, slots=True)
class Found:
    """How often something of a kind was found.

    Args:
        kind: missing, extra, duplicate, ghost.
        stack: where it shows.
        blame: see above.
        bucket: of the timeline.
        count: deliveries.
    """

    kind: str
    stack: str
    blame: str
    bucket: int
    count: int


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile and its 95 % confidence interval by order statistics, seconds; low or high is None when there are too
    few values.
    """

    share: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """Seconds, counted in bins.

    Args:
        bins: lower edge in units of BIN_S, ascending -> count.
    """

    samples: int
    quantiles: tuple[Quantile, ...]
    mean: float | None
    bins: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Offence:
    """One delivery that is not the same on both stacks, with what both have."""

    kind: str
    stack: str
    blame: str
    feature: str
    tenant: str
    recipient: str
    sender: str
    stream: str
    message_id: str | None
    cause: str | None
    at: float
    detail: str
    legacy: str | None
    sse: str | None
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same offence when it is seen again."""
        return (self.kind, self.stack, self.feature, self.tenant, self.recipient, self.stream, self.at, self.legacy)


@dataclass(slots=True)
class FeatureFacts:
    """What was counted of one feature within the judged time.

    Args:
        rows: recorded deliveries by stack, of the whole recording.
        both: deliveries on both stacks, bucket -> count.
        changed: of these with different content, bucket -> count; noise already taken out.
        changed_noise: taken out.
        fields: differing field -> how many of the examined pairs; noise_fields: those of them that are noise.
        late: deliveries that were overtaken, by blame.
        messages, messages_lost: judged, and of those the ones that SSE lost at a recipient.
        noise: deliveries that both legacy consumers were compared by, and those that differed.
    """

    name: str
    by_id: bool
    rows: dict[str, int] = field(default_factory=dict)
    both: dict[int, int] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    changed_noise: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    noise_fields: dict[str, int] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    late: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    messages_lost: int = 0
    noise: tuple[int, int] = (0, 0)
    latency: dict[str, Distribution] = field(default_factory=dict)

    def count(self, kind: str, stack: str, *blames: str) -> int:
        return sum(
            one.count
            for one in self.found
            if one.kind == kind and one.stack == stack and (not blames or one.blame in blames)
        )


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of the recording as a whole.

    Args:
        flaws: what makes it incomplete, in words.
        notes: what is worth saying besides.
        captured, lost: events of the tee.
        window: the judged time; edge: deliveries outside it (still in flight), not judged.
        buckets: of the timeline.
    """

    run_id: str
    window: tuple[float, float]
    buckets: int
    edge: int
    captured: int
    lost: int
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of the timeline: deliveries judged, and lost by each stack."""

    start: float
    expected: int
    lost_sse: int
    lost_legacy: int
    unjudged: int


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """The verdict on one feature."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    unjudged: Mapping[str, int]
    loss: tuple[float, float, float]
    message_loss: tuple[int, int, float]
    fields: Mapping[str, int]
    noise_fields: Mapping[str, int]
    latency: Mapping[str, Distribution]
    timeline: tuple[Bar, ...]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RecordedReport:
    """The whole comparison."""

    run: RunFacts
    verdict: Verdict
    reasons: tuple[str, ...]
    hints: tuple[str, ...]
    notes: tuple[str, ...]
    features: tuple[FeatureReport, ...]
    offences: tuple[Offence, ...]
    offences_total: int
    tenant: str | None
    confidence: float
    max_loss: float
    min_samples: int
    made_at: float


def distribution(bins: Mapping[int, int]) -> Distribution:
    """Quantiles of binned values: each the middle of its bin."""
    ordered = sorted(bins.items())
    total = sum(count for _, count in ordered)
    if not total:
        return Distribution(0, (), None, ())

    def at_rank(rank: int) -> float:
        seen = 0
        for edge, count in ordered:
            seen += count
            if seen >= rank:
                return (edge + 0.5) * BIN_S
        return (ordered[-1][0] + 0.5) * BIN_S

    quantiles = []
    for share in (0.5, 0.9, 0.99):
        rank, low, high = order_statistics(total, share)
        quantiles.append(
            Quantile(
                share,
                at_rank(rank),
                None if low is None else at_rank(low),
                None if high is None else at_rank(high),
            )
        )
    mean = sum((edge + 0.5) * BIN_S * count for edge, count in ordered) / total
    return Distribution(total, tuple(quantiles), mean, tuple(ordered))
