"""Runs a comparison of records on an engine, from what is there to the verdict. until phase 3

The engine makes tables and answers queries (migrate.compare.query_engine); the SQL is the same on every one.
"""

# ruff: noqa: S608 - see migrate.compare.sql
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from migrate.compare.counting import Counts
from migrate.compare.dialect import literal
from migrate.compare.evidence import Evidence
from migrate.compare.query_engine import Engine
from migrate.compare.recorded import FeatureFacts, Offence, RecordedReport, RunFacts
from migrate.compare.recorded_judge import judge_feature, judge_run
from migrate.compare.rules import Rules, expired_in_words
from migrate.compare.sql import VIEWS, steps
from migrate.compare.timeline import BUCKETS, Timeline
from migrate.errors import UsageError

__all__ = ["OnStep", "Options", "compare_records"]

CLOCK_EARLY_S, CLOCK_LATE_S = 5.0, 300.0

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to compare, and what passes.

    Args:
        since, until: deliveries of this time, epoch seconds; None: all.
        settle_s: what was sent so shortly before the end may still be on its way, and is not judged.
        limit: how many offences the report shows with both payloads, the most of each kind alike.
    """

    tenant: str | None = None
    since: float | None = None
    until: float | None = None
    settle_s: float = 10.0
    min_samples: int = 1000
    max_loss: float = 0.0005
    complete_capture: bool = True
    confidence: float = 0.95
    limit: int = 20


def compare_records(
    engine: Engine,
    rules: Sequence[Rules],
    options: Options,
    run: RunFacts,
    *,
    started: float | None,
    made_at: float,
    progress: Sequence[tuple[float, float]] = (),
    on_step: OnStep = lambda _: None,
) -> RecordedReport:
    """Compare what is loaded in an engine.

    Args:
        rules: of the features to compare.
        run: what is known of the recording; its window is filled in here.
        started: when the recording began, epoch seconds, where it is known.
        progress: how far the records were worked on, and when; see `Count.through`.

    Raises: UsageError: a record that says what cannot be, or clocks that are apart.
    """
    on_step("reading the records")
    span = _extent(engine, rules, options)
    notes = [*run.notes, *expired_in_words(rules), *span.notes]
    start = max(value for value in (options.since, started, span.first) if value is not None)
    handled = _handled(progress, span.last, options.settle_s)
    stop = min(value for value in (options.until, span.last - options.settle_s, handled) if value is not None)
    timeline = Timeline(start, stop)
    run = replace(run, window=(start, stop), buckets=BUCKETS, notes=tuple(notes))
    facts = {
        one.feature: FeatureFacts(one.feature, one.by_id, rows=dict(span.rows.get(one.feature, {}))) for one in rules
    }
    offences: list[Offence] = []
    total = 0
    if stop > start and span.rows:
        island_s = max(3 * options.settle_s, 30.0)
        for name, select in steps(
            engine.dialect, rules, span.where, start=start, stop=stop, island_s=island_s, baseline=span.baseline
        ):  # fmt: skip
            on_step(f"comparing ({name})")
            (engine.view if name in VIEWS else engine.table)(name, select)
        on_step("counting")
        counted = Counts(engine, facts, timeline)
        run = replace(run, edge=counted.fill(), flaws=(*run.flaws, *counted.flaws))
        on_step("reading what differs")
        offences, total = Evidence(engine, rules, span.where, timeline, facts).fill(options.limit)
    reports = [
        judge_feature(
            one,
            run,
            min_samples=options.min_samples,
            max_loss=options.max_loss,
            complete_capture=options.complete_capture,
            confidence=options.confidence,
            bucket_s=timeline.width,
        )
        for one in facts.values()
    ]
    return judge_run(
        run,
        reports,
        offences,
        total,
        tenant=options.tenant,
        confidence=options.confidence,
        max_loss=options.max_loss,
        min_samples=options.min_samples,
        made_at=made_at,
    )


def _handled(progress: Sequence[tuple[float, float]], last: float, settle_s: float) -> float | None:
    """Until when everything was replayed, a settle time before the end: a worker that is behind has lost nothing."""
    if not progress:
        return None
    end = max(last, *(at for at, _ in progress))
    return max((through for at, through in progress if at <= end - settle_s), default=0.0)


@dataclass(frozen=True, slots=True)
class _Extent:
    """What is there: the condition that selects it, first and last time, rows by feature and stack."""

    where: str
    first: float
    last: float
    rows: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> bool:
        return any(row.get("baseline") for row in self.rows.values())


def _extent(engine: Engine, rules: Sequence[Rules], options: Options) -> _Extent:
    names = ", ".join(literal(one.feature) for one in rules)
    conditions = [f"feature in ({names})"]
    if options.tenant is not None:
        conditions.append(f"tenant = {literal(options.tenant)}")
    # What belongs to a message at the edge may be outside.
    margin = max(60.0, 3 * options.settle_s)
    if options.since is not None:
        conditions.append(f'"at" >= {options.since - margin}')
    if options.until is not None:
        conditions.append(f'"at" <= {options.until + margin}')
    where = " and ".join(conditions)
    early, late = f'"at" - sent_at < -{CLOCK_EARLY_S}', f'"at" - sent_at > {CLOCK_LATE_S}'
    found = engine.rows(f"""
select stack, feature, count(*), min("at"), max("at"),
  sum(case when recipient is null or "at" is null or payload is null or stream is null or tenant is null
    or sender is null or outcome is null or stack not in ('legacy', 'sse', 'baseline') then 1 else 0 end),
  sum(case when {early} or {late} then 1 else 0 end), avg(case when {early} or {late} then "at" - sent_at end)
from deliveries where {where} or stack is null group by stack, feature""")
    rows: dict[str, dict[str, int]] = {}
    for stack, feature, count, _, _, bad, apart, offset in found:
        if bad or stack is None or feature is None:
            raise UsageError(
                f"{bad or count} delivery records lack a field or name an unknown stack",
                "they were written by something else, or are damaged; record the run again",
            )
        if apart * 2 > count:
            raise UsageError(
                f"the clocks of the {stack} stack are apart: its deliveries are recorded {abs(offset):,.0f} s "
                f"{'after' if offset > 0 else 'before'} the time that they carry ({feature})",
                "synchronise the clocks (NTP) of servers and recorder, and record again; if sent_at of the feature "
                "is not the time of sending, take it out of migrate.toml",
            )
        rows.setdefault(feature, {})[stack] = count
    last = max((row[4] for row in found), default=0.0)
    first = min((row[3] for row in found), default=0.0)
    notes = []
    if not found:
        others = [str(name) for (name,) in engine.rows("select feature from deliveries group by feature limit 5")]
        if others:
            notes.append(f"the records hold nothing of this feature, tenant and time, but of {', '.join(others)}")
    return _Extent(where, first, last, rows, tuple(notes))
