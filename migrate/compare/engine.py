"""Runs a comparison of records on an engine and reads off what was counted. until phase 3

The engine makes tables and answers queries (migrate.compare.duck, migrate.compare.athena); the SQL is the same.
"""

# ruff: noqa: S608 - see migrate.compare.sql
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from migrate.compare.dialect import Dialect, literal
from migrate.compare.recorded import (
    BIN_S,
    FeatureFacts,
    Found,
    Offence,
    RecordedReport,
    RunFacts,
    distribution,
    judge_feature,
    judge_run,
)
from migrate.compare.rules import Rules, differing_fields, expired_in_words
from migrate.compare.sql import VIEWS, keyed, steps
from migrate.errors import UsageError

__all__ = ["Engine", "OnStep", "Options", "compare_records"]

BUCKETS = 60
# So many differing pairs are looked at field by field; beyond it shares are carried over.
EXAMINED = 20_000
LONGEST_S = 600.0
CLOCK_EARLY_S, CLOCK_LATE_S = 5.0, 300.0

OnStep = Callable[[str], None]


class Engine(Protocol):
    """What a comparison runs on."""

    dialect: Dialect

    def table(self, name: str, select: str) -> None:
        """Make (or replace) a table of a query."""

    def view(self, name: str, select: str) -> None:
        """Make (or replace) a view."""

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""


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
    width = max((stop - start) / BUCKETS, 1e-3)
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
        counted = _Counts(engine, facts, start, stop, width)
        run = replace(run, edge=counted.fill(), flaws=(*run.flaws, *counted.flaws))
        on_step("reading what differs")
        offences, total = _Evidence(engine, rules, span.where, start, stop, width, facts).fill(options.limit)
    reports = [
        judge_feature(
            one,
            run,
            min_samples=options.min_samples,
            max_loss=options.max_loss,
            complete_capture=options.complete_capture,
            confidence=options.confidence,
            bucket_s=width,
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


class _Counts:
    """Reads the tables of the steps into the features' facts."""

    def __init__(
        self, engine: Engine, facts: Mapping[str, FeatureFacts], start: float, stop: float, width: float
    ) -> None:
        self._engine, self._facts = engine, facts
        self._inside = f"t between {start} and {stop}"
        self._bucket = f"least(cast(floor((t - {start}) / {width}) as bigint), {BUCKETS - 1})"
        self.flaws: list[str] = []

    def _rows(self, select: str) -> list[tuple[Any, ...]]:
        return _with_names(self._engine.rows(select), 0, list(self._facts))

    def fill(self) -> int:
        """Returns how many deliveries were outside the judged time."""
        rows = self._rows
        inside, bucket = self._inside, self._bucket
        for feature, place, both, changed in rows(f"""
select fid, {bucket}, count(*), sum(case when l_c <> s_c then 1 else 0 end)
from pairs where l_ok = 1 and s = 1 and {inside} group by 1, 2"""):
            facts = self._facts[feature]
            facts.both[int(place)] = facts.both.get(int(place), 0) + int(both)
            if changed:
                facts.changed[int(place)] = int(changed)
        for feature, place, count in rows(f"""
select fid, {bucket}, count(*) from (select p.fid, p.t from repaired as r
  join pairs as p on p.k = r.k and p.occ = r.occ where r.side = 's') as x where {inside} group by 1, 2"""):
            facts = self._facts[feature]
            facts.both[int(place)] = facts.both.get(int(place), 0) + int(count)
            facts.changed[int(place)] = facts.changed.get(int(place), 0) + int(count)
        for feature, place, kind, stack, blame, count in rows(f"""
select fid, {bucket}, kind, stack, blame, count(*) from found group by 1, 2, 3, 4, 5"""):
            if stack == "baseline":
                continue
            self._facts[feature].found.append(Found(kind, stack, blame, int(place), int(count)))
        for feature, blame, count in rows("select fid, blame, count(*) from late group by 1, 2"):
            self._facts[feature].late[blame] = int(count)
        self._messages()
        self._noise()
        self._latency()
        [(edge,)] = self._engine.rows(f"select count(*) from pairs where not ({inside})")
        return int(edge)

    def _messages(self) -> None:
        for feature, count in self._rows(f"""
select fid, count(distinct mk) from pairs where l_ok = 1 and {self._inside} group by 1"""):
            self._facts[feature].messages = int(count)
        for feature, count in self._rows("""
select fid, count(distinct mk) from found where kind = 'missing' and blame = 'sse' group by 1"""):
            self._facts[feature].messages_lost = min(int(count), self._facts[feature].messages)

    def _noise(self) -> None:
        for feature, seen, differ in self._rows(f"""
select p.fid, count(*), sum(case when b = 0 and q.k is null then 1 else 0 end) from pairs as p
join (select rh, min(b_at) as since, max(b_at) as until from pairs where b = 1 group by rh) as c on c.rh = p.rh
left join repaired as q on q.k = p.k and q.occ = p.occ and q.side = 'b'
where l_ok = 1 and dup = '' and t between c.since and c.until and {self._inside} group by 1"""):
            self._facts[feature].noise = (int(seen), int(differ))

    def _latency(self) -> None:
        columns = {"legacy": "l_at - l_sent", "sse": "s_at - s_sent", "difference": "s_at - s_sent - (l_at - l_sent)"}
        for name, value in columns.items():
            bins: dict[str, dict[int, int]] = {}
            for feature, edge, count in self._rows(f"""
select fid, cast(floor(v / {BIN_S}) as bigint), count(*) from (
  select fid, {value} as v from pairs where l_ok = 1 and s = 1 and {self._inside}) as x
where v between -{LONGEST_S} and {LONGEST_S} group by 1, 2"""):
                bins.setdefault(feature, {})[int(edge)] = int(count)
            for feature, found in bins.items():
                self._facts[feature].latency[name] = distribution(found)
        [(both, early, late)] = self._engine.rows(f"""
select count(*), sum(case when s_at - l_at < -60 then 1 else 0 end), sum(case when s_at - l_at > 600 then 1 else 0 end)
from pairs where l_ok = 1 and s = 1 and {self._inside}""")
        if both and early * 2 > both:
            raise UsageError(
                "the clocks of the two recorders are apart: most deliveries of SSE are recorded more than a minute "
                "before legacy's",
                "synchronise the clocks (NTP) of the Lambdas and of the shadow worker, and record again",
            )
        if both and late * 2 > both:
            self.flaws.append(
                "most deliveries of SSE are recorded more than ten minutes after legacy's: either the clocks are "
                "apart or the shadow worker is that far behind"
            )


class _Evidence:
    """Reads the payloads of what differs: fields, noise, offences."""

    def __init__(
        self,
        engine: Engine,
        rules: Sequence[Rules],
        where: str,
        start: float,
        stop: float,
        width: float,
        facts: Mapping[str, FeatureFacts],
    ) -> None:
        self._engine, self._where, self._start, self._stop = engine, where, start, stop
        self._rules_list = rules
        self._rules = {one.feature: one for one in rules}
        self._width = width
        self._facts = facts

    def _rows(self, column: int, select: str) -> list[tuple[Any, ...]]:
        return _with_names(self._engine.rows(select), column, list(self._facts))

    def fill(self, limit: int) -> tuple[list[Offence], int]:
        """Returns the offences to show and how many there are in all."""
        inside = f"t between {self._start} and {self._stop}"
        changed = self._rows(
            2,
            f"""
select k, k as other_k, fid, t, 's', l_at, s_at from pairs where l_ok = 1 and s = 1 and l_c <> s_c and {inside}
union all select r.k, r.other_k, p.fid, p.t, 's', p.l_at, o.s_at from repaired as r
  join pairs as p on p.k = r.k and p.occ = r.occ join pairs as o on o.k = r.other_k and o.occ = r.other_occ
  where r.side = 's' and p.{inside} limit {EXAMINED}""",
        )
        noisy = self._rows(
            2,
            f"""
select k, k as other_k, fid, t, 'b', l_at, b_at from pairs where l_ok = 1 and b = 1 and l_c <> b_c and {inside}
union all select r.k, r.other_k, p.fid, p.t, 'b', p.l_at, o.b_at from repaired as r
  join pairs as p on p.k = r.k and p.occ = r.occ join pairs as o on o.k = r.other_k and o.occ = r.other_occ
  where r.side = 'b' and p.{inside} limit {EXAMINED}""",
        )
        wrong = self._rows(
            1,
            f"""
select k, fid, t, l_at, s_at, kind, stack, blame, detail from (
  select *, row_number() over (partition by kind, stack, blame order by t, k, occ) as nth from found
  where kind <> 'ghost' and stack <> 'baseline' and blame in ('sse', 'legacy', 'capture')) as f
where nth <= {limit} order by t""",
        )
        late = self._rows(
            1,
            f"""
select k, fid, t, t, s_at, 'reordered', blame, blame, seconds from late
where blame not in ('noise', 'replay') order by t, k
limit {limit}""",
        )
        keys = {row[0] for row in (*changed, *noisy, *wrong, *late)} | {row[1] for row in (*changed, *noisy)}
        rows = self._payloads(keys)
        offences = self._changed(changed, noisy, rows, limit)
        for k, feature, t, l_at, s_at, kind, stack, blame, detail in wrong:
            offences.append(_offence(kind, stack, blame, feature, t, detail, rows.get((k, "legacy", l_at)),
                                     rows.get((k, "sse", s_at))))  # fmt: skip
        for k, feature, t, l_at, s_at, kind, stack, blame, seconds in late:
            detail = f"overtaken by what came {seconds:.3f} s earlier" if seconds else ""
            offences.append(_offence(kind, stack, blame, feature, t, detail, rows.get((k, "legacy", l_at)),
                                     rows.get((k, "sse", s_at))))  # fmt: skip
        total = sum(
            one.count for facts in self._facts.values() for one in facts.found
            if one.blame in ("sse", "legacy", "capture") and one.kind != "ghost"
        ) + sum(sum(facts.changed.values()) + facts.late.get("sse", 0) + facts.late.get("legacy", 0)
                for facts in self._facts.values())  # fmt: skip
        return _chosen(offences, limit), total

    def _payloads(self, keys: Iterable[int]) -> dict[tuple[int, str, float], dict[str, Any]]:
        wanted = sorted(keys)
        if not wanted:
            return {}
        self._engine.table("wanted", f"select * from (values {', '.join(f'({key})' for key in wanted)}) as w (k)")
        names = ("feature", "tenant", "recipient", "sender", "stream", "message_id", "cause", "payload")
        columns = ("k", "stack", "at", *names)
        rows = keyed(self._engine.dialect, self._rules_list, self._where, "k in (select k from wanted)")
        found = self._engine.rows(f'select k, stack, "at", {", ".join(names)} from ({rows}) as r')
        return {(row[0], row[1], row[2]): dict(zip(columns, row, strict=True)) for row in found}

    def _changed(
        self,
        changed: Sequence[tuple[Any, ...]],
        noisy: Sequence[tuple[Any, ...]],
        rows: Mapping[tuple[int, str, float], dict[str, Any]],
        limit: int,
    ) -> list[Offence]:
        """Field by field; what both legacy consumers differ in as often is noise and taken out of the counts."""
        ways: dict[str, dict[str, int]] = {}
        for k, other, feature, _, _, l_at, b_at in noisy:
            left, right = rows.get((k, "legacy", l_at)), rows.get((other, "baseline", b_at))
            for name in self._fields(feature, left, right):
                counts = ways.setdefault(feature, {})
                counts[name] = counts.get(name, 0) + 1
        examined: list[tuple[str, float, dict[str, tuple[Any, Any]], dict[str, Any], dict[str, Any]]] = []
        for k, other, feature, t, _, l_at, s_at in changed:
            left, right = rows.get((k, "legacy", l_at)), rows.get((other, "sse", s_at))
            if left is None or right is None:
                continue
            fields = self._fields(feature, left, right)
            examined.append((feature, t, fields, left, right))
            for name in fields:
                facts = self._facts[feature]
                facts.fields[name] = facts.fields.get(name, 0) + 1
        seen: dict[str, int] = {}
        quiet: dict[str, dict[int, int]] = {}
        offences: list[Offence] = []
        for feature, facts in self._facts.items():
            both = max(1, sum(facts.both.values()))
            for name, count in ways.get(feature, {}).items():
                if count / max(1, facts.noise[0]) >= 0.5 * facts.fields.get(name, 0) / both:
                    facts.noise_fields[name] = count
        for feature, t, fields, left, right in examined:
            facts = self._facts[feature]
            seen[feature] = seen.get(feature, 0) + 1
            if set(fields) <= set(facts.noise_fields):
                place = min(int((t - self._start) / self._width), BUCKETS - 1)
                by = quiet.setdefault(feature, {})
                by[place] = by.get(place, 0) + 1
            elif len(offences) < limit:
                detail = ", ".join(name for name in fields if name not in facts.noise_fields)
                offences.append(_offence("changed", "sse", "sse", feature, t, detail, left, right, fields))
        offences = self._who_changed(offences)
        for feature, by in quiet.items():
            facts = self._facts[feature]
            # Where more differ than were looked at, the share is carried over.
            scale = sum(facts.changed.values()) / max(1, seen.get(feature, 0))
            for place, count in by.items():
                taken = min(facts.changed.get(place, 0), round(count * scale))
                facts.changed[place] = facts.changed.get(place, 0) - taken
                facts.changed_noise += taken
        return offences

    def _who_changed(self, offences: Sequence[Offence]) -> list[Offence]:
        """Blames the stack whose values are not the ones of the entering frame, where that has the field. Either way
        the stacks differ, which fails.
        """
        causes = sorted({one.cause for one in offences if one.cause})
        if not causes:
            return list(offences)
        listed = ", ".join(literal(cause) for cause in causes)
        sent = dict(self._engine.rows(f"select request_id, payload from send_rows where request_id in ({listed})"))
        return [replace(one, blame=_not_as_sent(one, _parsed(sent.get(one.cause, "null")))) for one in offences]

    def _fields(
        self, feature: str, left: Mapping[str, Any] | None, right: Mapping[str, Any] | None
    ) -> dict[str, tuple[Any, Any]]:
        if left is None or right is None:
            return {}
        return differing_fields(self._rules[feature], _parsed(left["payload"]), _parsed(right["payload"]))


def _with_names(rows: Sequence[tuple[Any, ...]], column: int, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows with the feature's name instead of its place among the rules."""
    return [(*row[:column], names[int(row[column])], *row[column + 1 :]) for row in rows]


def _not_as_sent(one: Offence, frame: Any) -> str:
    if not isinstance(frame, Mapping):
        return one.blame
    wrong = set()
    for path, values in one.fields.items():
        name = path.rpartition(".")[2]
        if name in frame and frame[name] in values:
            wrong |= {stack for stack, value in zip(("legacy", "sse"), values, strict=True) if value != frame[name]}
    return wrong.pop() if len(wrong) == 1 else one.blame


def _parsed(payload: str) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload


def _offence(
    kind: str,
    stack: str,
    blame: str,
    feature: str,
    at: float,
    detail: str,
    legacy: Mapping[str, Any] | None,
    sse: Mapping[str, Any] | None,
    fields: Mapping[str, tuple[Any, Any]] | None = None,
) -> Offence:
    row = legacy or sse or {}
    return Offence(
        kind=kind,
        stack=stack,
        blame=blame,
        feature=feature,
        tenant=row.get("tenant") or "",
        recipient=row.get("recipient") or "",
        sender=row.get("sender") or "",
        stream=row.get("stream") or "",
        message_id=row.get("message_id"),
        cause=row.get("cause"),
        at=at,
        detail=detail,
        legacy=legacy["payload"] if legacy else None,
        sse=sse["payload"] if sse else None,
        fields=fields or {},
    )


def _chosen(offences: Sequence[Offence], limit: int) -> list[Offence]:
    """The first of every kind in turn, those that SSE is to blame for first, up to the limit; in order of time."""
    groups: dict[tuple[str, str], list[Offence]] = {}
    for one in sorted(offences, key=lambda one: one.at):
        groups.setdefault((one.kind, one.blame), []).append(one)
    order = sorted(groups, key=lambda key: (key[1] != "sse", key))
    chosen: list[Offence] = []
    while len(chosen) < limit and any(groups.values()):
        for key in order:
            if groups[key] and len(chosen) < limit:
                chosen.append(groups[key].pop(0))
    return sorted(chosen, key=lambda one: (one.blame != "sse", one.at))
