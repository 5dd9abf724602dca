"""Reads off what a comparison of records counted: pairs, offences, noise, latency. until phase 3"""

# ruff: noqa: S608 - see migrate.compare.sql
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.compare.query_engine import Engine, with_names
from migrate.compare.recorded import BIN_S, FeatureFacts, Found, distribution
from migrate.compare.timeline import Timeline
from migrate.errors import UsageError

__all__ = ["Counts"]

LONGEST_S = 600.0


class Counts:
    """Reads the tables of the steps.

    Args:
        facts: of the features; what was counted is written into them.
        timeline: what is judged.
    """

    def __init__(self, engine: Engine, facts: Mapping[str, FeatureFacts], timeline: Timeline) -> None:
        self._engine, self._facts = engine, facts
        self._inside, self._bucket = timeline.inside, timeline.bucket
        self.flaws: list[str] = []

    def _rows(self, select: str) -> list[tuple[Any, ...]]:
        return with_names(self._engine.rows(select), 0, list(self._facts))

    def fill(self) -> int:
        """Count. Returns how many deliveries were outside the judged time."""
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
