"""Reads what differs between the stacks, payload by payload: fields, noise, offences. until phase 3"""

# ruff: noqa: S608 - see migrate.compare.sql
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from migrate.compare.dialect import literal
from migrate.compare.offences import chosen, not_as_sent, offence, parsed
from migrate.compare.query_engine import Engine, with_names
from migrate.compare.recorded import FeatureFacts, Offence
from migrate.compare.rules import Rules, differing_fields
from migrate.compare.sql import keyed
from migrate.compare.timeline import Timeline

__all__ = ["Evidence"]

# So many differing pairs are looked at field by field; beyond it shares are carried over.
EXAMINED = 20_000


class Evidence:
    """Reads the payloads of what differs.

    Args:
        rules: of the features that are compared.
        where: the condition that selects the records.
        timeline: what is judged.
        facts: of the features; fields and noise are written into them.
    """

    def __init__(
        self,
        engine: Engine,
        rules: Sequence[Rules],
        where: str,
        timeline: Timeline,
        facts: Mapping[str, FeatureFacts],
    ) -> None:
        self._engine, self._where, self._timeline = engine, where, timeline
        self._rules_list = rules
        self._rules = {one.feature: one for one in rules}
        self._facts = facts

    def _rows(self, column: int, select: str) -> list[tuple[Any, ...]]:
        return with_names(self._engine.rows(select), column, list(self._facts))

    def fill(self, limit: int) -> tuple[list[Offence], int]:
        """Read. Returns the offences to show and how many there are in all."""
        inside = self._timeline.inside
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
            offences.append(offence(kind, stack, blame, feature, t, detail, rows.get((k, "legacy", l_at)),
                                     rows.get((k, "sse", s_at))))  # fmt: skip
        for k, feature, t, l_at, s_at, kind, stack, blame, seconds in late:
            detail = f"overtaken by what came {seconds:.3f} s earlier" if seconds else ""
            offences.append(offence(kind, stack, blame, feature, t, detail, rows.get((k, "legacy", l_at)),
                                     rows.get((k, "sse", s_at))))  # fmt: skip
        total = sum(
            one.count for facts in self._facts.values() for one in facts.found
            if one.blame in ("sse", "legacy", "capture") and one.kind != "ghost"
        ) + sum(sum(facts.changed.values()) + facts.late.get("sse", 0) + facts.late.get("legacy", 0)
                for facts in self._facts.values())  # fmt: skip
        return chosen(offences, limit), total

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
                place = self._timeline.bucket_of(t)
                by = quiet.setdefault(feature, {})
                by[place] = by.get(place, 0) + 1
            elif len(offences) < limit:
                detail = ", ".join(name for name in fields if name not in facts.noise_fields)
                offences.append(offence("changed", "sse", "sse", feature, t, detail, left, right, fields))
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
        return [replace(one, blame=not_as_sent(one, parsed(sent.get(one.cause, "null")))) for one in offences]

    def _fields(
        self, feature: str, left: Mapping[str, Any] | None, right: Mapping[str, Any] | None
    ) -> dict[str, tuple[Any, Any]]:
        if left is None or right is None:
            return {}
        return differing_fields(self._rules[feature], parsed(left["payload"]), parsed(right["payload"]))
