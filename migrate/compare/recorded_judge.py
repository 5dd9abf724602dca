"""From what a comparison of records counted to its verdicts, with reasons and notes. Pure. until phase 3 (MG7)

What may be blamed, and what each blame means: migrate.compare.recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrate.compare.recorded import Bar, FeatureFacts, FeatureReport, Offence, RecordedReport, RunFacts
from migrate.compare.stats import binomial_lower, binomial_upper
from migrate.compare.verdict import Verdict

__all__ = ["judge_feature", "judge_run"]

UNJUDGED = ("capture", "incomplete", "gap", "paused", "skipped", "noise", "replay")
_UNJUDGED_WORDS = {
    "capture": "the capture lost a part of them",
    "incomplete": "the capture was incomplete then",
    "gap": "a recorded stream was not there then",
    "paused": "the shadow was paused then",
    "skipped": "the frame was not replayed on purpose",
    "noise": "the second legacy consumer differs as well (noise)",
    "replay": "they were replayed in another order, since their records came late",
}


def judge_feature(
    facts: FeatureFacts,
    run: RunFacts,
    *,
    min_samples: int,
    max_loss: float,
    complete_capture: bool,
    confidence: float = 0.95,
    bucket_s: float = 1.0,
) -> FeatureReport:
    """The verdict on one feature.

    What was seen to be wrong with SSE fails, however incomplete the capture. What was not needs enough of it.
    """
    both = sum(facts.both.values())
    changed = sum(facts.changed.values())
    lost = facts.count("missing", "sse", "sse")
    counts = {
        "expected": both + lost,
        "matched": both - changed,
        "changed": changed,
        "missing_sse": lost,
        "missing_legacy": facts.count("missing", "legacy", "legacy"),
        "extra_sse": facts.count("extra", "sse", "sse"),
        "extra_legacy": facts.count("extra", "legacy"),
        "duplicate_sse": facts.count("duplicate", "sse", "sse"),
        "duplicate_legacy": facts.count("duplicate", "legacy"),
        "reordered_sse": facts.late.get("sse", 0),
        "reordered_legacy": facts.late.get("legacy", 0),
        "ghosts": facts.count("ghost", "legacy") + facts.count("ghost", "sse"),
        "messages": facts.messages,
    }
    unjudged: dict[str, int] = {}
    for one in facts.found:
        if one.blame in UNJUDGED and one.kind != "ghost":
            unjudged[one.blame] = unjudged.get(one.blame, 0) + one.count
    quiet = facts.changed_noise + facts.late.get("noise", 0)
    if quiet:
        unjudged["noise"] = unjudged.get("noise", 0) + quiet
    if replayed := facts.late.get("replay", 0):
        unjudged["replay"] = replayed
    # What two legacy consumers lose between them is no loss of SSE's.
    allowed = max_loss + (facts.noise[1] / facts.noise[0] if facts.noise[0] else 0.0)
    loss = _loss(lost, counts["expected"], confidence)
    failures = _failures(counts, facts, loss, allowed, confidence)
    doubts = _doubts(counts, run, unjudged, loss, allowed, min_samples, confidence, complete_capture=complete_capture)
    if failures:
        verdict, reasons = Verdict.FAIL, failures + doubts
    elif doubts:
        verdict, reasons = Verdict.INCONCLUSIVE, doubts
    else:
        verdict = Verdict.PASS
        reasons = [
            f"{counts['matched']:,} of {counts['expected']:,} deliveries matched; "
            f"a loss rate above {loss[2]:.3%} is ruled out with {confidence:.0%} confidence"
        ]
    message_upper = binomial_upper(facts.messages_lost, facts.messages, confidence)
    return FeatureReport(
        name=facts.name,
        verdict=verdict,
        reasons=tuple(reasons),
        notes=tuple(_notes(counts, facts, unjudged)),
        counts=counts,
        unjudged=unjudged,
        loss=loss,
        message_loss=(facts.messages_lost, facts.messages, message_upper),
        fields=facts.fields,
        noise_fields=facts.noise_fields,
        latency=facts.latency,
        timeline=tuple(_timeline(facts, run, bucket_s)),
        rows=facts.rows,
    )


def _loss(lost: int, expected: int, confidence: float) -> tuple[float, float, float]:
    """Rate, lower and upper bound."""
    if not expected:
        return 0.0, 0.0, 1.0
    return lost / expected, binomial_lower(lost, expected, confidence), binomial_upper(lost, expected, confidence)


def _failures(
    counts: Mapping[str, int],
    facts: FeatureFacts,
    loss: tuple[float, float, float],
    allowed: float,
    confidence: float,
) -> list[str]:
    failures = []
    if counts["missing_sse"] and loss[1] > allowed:
        failures.append(
            f"SSE lost {counts['missing_sse']:,} of {counts['expected']:,} deliveries ({loss[0]:.3%}; at least "
            f"{loss[1]:.3%} with {confidence:.0%} confidence, {allowed:.3%} are allowed)"
        )
    if counts["extra_sse"]:
        failures.append(f"SSE delivered {counts['extra_sse']:,} that legacy knows nothing of")
    if counts["duplicate_sse"]:
        failures.append(f"SSE delivered {counts['duplicate_sse']:,} more than once")
    if counts["changed"]:
        names = ", ".join(sorted(set(facts.fields) - set(facts.noise_fields))[:5])
        failures.append(f"{counts['changed']:,} deliveries differ in content" + (f": {names}" if names else ""))
    if counts["reordered_sse"]:
        failures.append(f"SSE delivered {counts['reordered_sse']:,} out of order")
    return failures


def _doubts(
    counts: Mapping[str, int],
    run: RunFacts,
    unjudged: Mapping[str, int],
    loss: tuple[float, float, float],
    allowed: float,
    min_samples: int,
    confidence: float,
    *,
    complete_capture: bool,
) -> list[str]:
    doubts = []
    if counts["expected"] < min_samples:
        doubts.append(f"only {counts['expected']:,} deliveries judged, {min_samples:,} are needed")
    elif loss[1] <= allowed < loss[2]:
        doubts.append(
            f"up to {loss[2]:.3%} of deliveries may be lost ({confidence:.0%} confidence), {allowed:.3%} are "
            "allowed: more samples are needed"
        )
    if complete_capture:
        doubts += run.flaws
        if run.lost:
            share = run.lost / max(1, run.captured + run.lost)
            doubts.append(f"the capture is incomplete: the tee lost {run.lost:,} events ({share:.2%})")
        for why in ("capture", "incomplete"):
            if number := unjudged.get(why):
                doubts.append(f"{number:,} deliveries could not be judged: {_UNJUDGED_WORDS[why]}")
    return doubts


def _notes(counts: Mapping[str, int], facts: FeatureFacts, unjudged: Mapping[str, int]) -> list[str]:
    notes = []
    if counts["missing_legacy"]:
        notes.append(f"legacy lost {counts['missing_legacy']:,} deliveries that SSE made")
    if counts["ghosts"]:
        notes.append(f"legacy posted {counts['ghosts']:,} times to connections that were gone (ghosts)")
    if counts["duplicate_legacy"]:
        notes.append(f"legacy delivered {counts['duplicate_legacy']:,} more than once")
    if counts["reordered_legacy"]:
        notes.append(f"legacy delivered {counts['reordered_legacy']:,} out of order, SSE in order")
    if facts.noise[0]:
        notes.append(
            f"noise: two legacy consumers differ in {facts.noise[1]:,} of {facts.noise[0]:,} deliveries; "
            "this much is subtracted"
        )
    for name, number in sorted(facts.noise_fields.items()):
        notes.append(f"noise: field {name} differs between the two legacy consumers ({number:,} times)")
    for why, number in sorted(unjudged.items()):
        notes.append(f"{number:,} deliveries not judged: {_UNJUDGED_WORDS[why]}")
    return notes


def _timeline(facts: FeatureFacts, run: RunFacts, bucket_s: float) -> list[Bar]:
    by: dict[tuple[int, str], int] = {}
    for one in facts.found:
        if one.kind == "missing":
            which = one.blame if one.blame in ("sse", "legacy") else "unjudged"
            by[one.bucket, which] = by.get((one.bucket, which), 0) + one.count
    return [
        Bar(
            run.window[0] + bucket * bucket_s,
            facts.both.get(bucket, 0) + by.get((bucket, "sse"), 0),
            by.get((bucket, "sse"), 0),
            by.get((bucket, "legacy"), 0),
            by.get((bucket, "unjudged"), 0),
        )
        for bucket in range(run.buckets)
    ]


def judge_run(
    run: RunFacts,
    features: Sequence[FeatureReport],
    offences: Sequence[Offence],
    offences_total: int,
    *,
    tenant: str | None,
    confidence: float,
    max_loss: float,
    min_samples: int,
    made_at: float,
) -> RecordedReport:
    """The verdict on all: the worst of the features'."""
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    verdict = max((one.verdict for one in features), key=order.index, default=Verdict.INCONCLUSIVE)
    reasons: list[str] = []
    for one in sorted(features, key=lambda feature: -order.index(feature.verdict)):
        for reason in one.reasons:
            text = reason if reason in run.flaws or len(features) == 1 else f"{one.name}: {reason}"
            if text not in reasons:
                reasons.append(text)
    hints = []
    if any(one.unjudged.get("capture") or run.lost for one in features):
        hints.append("`migrate shadow status` shows what the capture lost and why")
    if any(one.counts["expected"] == 0 for one in features):
        hints.append("is the shadow running and is there traffic? `migrate shadow status`")
    notes = list(run.notes)
    notes += [note if len(features) == 1 else f"{one.name}: {note}" for one in features for note in one.notes]
    return RecordedReport(
        run=run,
        verdict=verdict,
        reasons=tuple(reasons or ["nothing was compared"]),
        hints=tuple(hints),
        notes=tuple(notes),
        features=tuple(features),
        offences=tuple(offences),
        offences_total=offences_total,
        tenant=tenant,
        confidence=confidence,
        max_loss=max_loss,
        min_samples=min_samples,
        made_at=made_at,
    )
