"""The comparison in SQL that DuckDB and Athena share. until phase 3

Each step makes one table from the ones before:

    deliveries  the records, as they are                                    (loaded by the engine)
    spans       times that were not recorded                                (loaded by the engine)
    sends       request id (hashed) and what became of the replay
    grouped     one row an identity: how many times on which stack, and when
    many        the identities that are anywhere more than once: their rows, copies to several connections as one
    repeated    of those, one row a (message, recipient)
    pairs       one row a (message, recipient): what arrived on which stack
    odd         those that are not simply on both stacks
    repaired    of those: a message that arrived on both stacks with different content
    found       what is wrong with the rest, and whose fault it is
    late        deliveries that were overtaken on one stack and not on the other

Identity is a hash of 64 bits within (feature, tenant, recipient); of 10 million identities two are the same with a
probability of 3 in a million, and then count as a repeated message. Numbers are used for flags because a sum over
them means the same everywhere.
"""

# ruff: noqa: S608 - the texts in it are names of ours, numbers, and literals quoted by dialect.literal
from __future__ import annotations

from collections.abc import Sequence

from migrate.compare.dialect import Dialect, literal
from migrate.compare.rules import Rules

__all__ = ["SLACK_S", "VIEWS", "Steps", "keyed", "steps"]

# Nearly all of it is `grouped` once more: as a table it would take as much again.
VIEWS = ("pairs",)

# A message this close to a time without recording is not judged, seconds.
SLACK_S = 2.0
# Messages of different senders closer than this are concurrent: no stack promises their order, seconds.
CONCURRENT_S = 1.0

Steps = list[tuple[str, str]]


def _cases(rules: Sequence[Rules], expression: dict[str, str]) -> str:
    whens = " ".join(f"when {literal(one.feature)} then {expression[one.feature]}" for one in rules)
    return f"case feature {whens} end"


def keyed(dialect: Dialect, rules: Sequence[Rules], where: str, of: str = "") -> str:
    """Deliveries with their identities.

    k: this message at this recipient (content: all equal ones). c: content. mk: this message at everybody. og: the
    stream in which order counts. sh: that of one sender. rh: recipient. ch: the entering frame. fid: the feature's
    place among the rules.

    Args:
        of: a condition over `grouped` that chooses the k that are wanted; only these rows are worked out, and of other
            recipients' not even the content, which costs the most.
    """
    body = _cases(rules, {one.feature: dialect.body(one) for one in rules})
    ids = {one.feature: f"coalesce(message_id, {dialect.text(one.id)})" if one.by_id else "null" for one in rules}
    places = _cases(rules, {one.feature: str(place) for place, one in enumerate(rules)})
    h = dialect.hash
    only = f"where k in (select k from grouped where {of})" if of else ""
    near = f" and {h('recipient')} in (select rh from grouped where {of})" if of else ""
    return f"""
select k, stack, feature, tenant, recipient, sender, stream, message_id, cause, seq, sent_at, "at", outcome,
  connection_id, payload, fid,
  {h("recipient")} as rh, {h("feature", "tenant", "recipient", "stream")} as og,
  {h("feature", "tenant", "recipient", "stream", "sender")} as sh,
  {h("coalesce(cause, '')")} as ch, case when cause is null then 0 else 1 end as caused,
  {h("coalesce(connection_id, '')")} as conn, case when identity is null then 0 else 1 end as byid,
  {h("body")} as c,
  case when identity is null then {h("feature", "tenant", "sender", "body")}
    else {h("feature", "tenant", "identity")} end as mk,
  case when recipient = sender then 1 else 0 end as own
from (select *, case when identity is null then {h("feature", "tenant", "recipient", "stream", "body")}
    else {h("feature", "tenant", "recipient", "identity")} end as k
  from (select *, {body} as body, {_cases(rules, ids)} as identity, {places} as fid
    from deliveries where {where}{near}) as d) as d {only}"""


def steps(
    dialect: Dialect,
    rules: Sequence[Rules],
    where: str,
    *,
    start: float,
    stop: float,
    island_s: float,
    baseline: bool = True,
) -> Steps:
    """The tables to make, in order.

    Args:
        where: condition over deliveries: features, tenant, time with its margins.
        start, stop: messages of this time are judged, epoch seconds.
        island_s: equal frames further apart are counted apart, seconds.
        baseline: whether there are deliveries of a second legacy consumer.
    """
    columns = _columns(baseline=baseline, by_id=any(one.by_id for one in rules))
    more_than_one = "n_l > 1 or n_s > 1 or n_b > 1"
    return [
        ("sends", _sends(dialect)),
        ("grouped", _grouped(keyed(dialect, rules, where), columns)),
        ("many", _many(keyed(dialect, rules, where, more_than_one))),
        ("repeated", _repeated(island_s, columns)),
        ("pairs", _PAIRS),
        (
            "odd",
            "select *, case when s = 0 then 'sse' when l_ok = 0 then 'legacy' else '' end as lacking "
            "from pairs where l_ok = 0 or s = 0 or dup <> ''",
        ),
        ("repaired", _repaired("s") + (" union all " + _repaired("b") if baseline else "")),
        ("found", _found(start, stop)),
        ("late", _late(start, stop)),
    ]


def _sends(dialect: Dialect) -> str:
    return f"""
select {dialect.hash("request_id")} as ch, max(case replayed when 'ok' then 1 else 0 end) as ok,
  max(case replayed when 'failed' then 1 else 0 end) as failed, max(reason) as reason, min(replayed_at) as r_at,
  min(replayed_at - "at") as behind
from send_rows group by 1"""


def _flag(condition: str) -> str:
    return f"max(case when {condition} then 1 else 0 end)"


def _on(stack: str, value: str) -> str:
    return f"min(case when stack = '{stack}' then {value} end)"


def _columns(*, baseline: bool, by_id: bool) -> str:
    """What is known of a message at a recipient from its rows; what cannot be there is not looked for."""
    none = "cast(null as double)"
    c = {"l_c": "legacy", "s_c": "sse", "b_c": "baseline"}
    contents = ", ".join(
        f"{_on(stack, 'c') if by_id else 'cast(null as bigint)'} as {name}" for name, stack in c.items()
    )
    return f"""min(fid) as fid, min(rh) as rh, min(mk) as mk, min(byid) as byid, min(own) as own, min(og) as og,
  min(sh) as sh, {_on("legacy", '"at"')} as l_at, {_on("sse", '"at"')} as s_at,
  {_on("baseline", '"at"') if baseline else none} as b_at,
  {_on("legacy", "sent_at")} as l_sent, {_on("sse", "sent_at")} as s_sent, {contents}"""


_CAUSE = "coalesce(min(case when stack = 'legacy' and caused = 1 then ch end), min(case when caused = 1 then ch end))"


def _grouped(rows: str, columns: str) -> str:
    return f"""
select k, {columns}, {_CAUSE} as ch,
  sum(case when stack = 'legacy' then 1 else 0 end) as n_l, sum(case when stack = 'sse' then 1 else 0 end) as n_s,
  sum(case when stack = 'baseline' then 1 else 0 end) as n_b,
  {_flag("stack = 'legacy' and outcome = 'ok'")} as l_ok, {_flag("stack = 'legacy' and outcome = 'gone'")} as l_gone
from ({rows}) as r group by k"""


def _many(rows: str) -> str:
    # What one frame brought to several connections of a user, or took several attempts, is one delivery; an attempt
    # that failed is none, however often. it: when it would have been there, had the replay not been behind.
    return f"""
select k, stack, ch, copy, min(it) as it, min(caused) as caused, min(fid) as fid, min(rh) as rh, min(mk) as mk,
  min(byid) as byid, min(own) as own, min(og) as og, min(sh) as sh, min("at") as "at", min(sent_at) as sent_at,
  min(c) as c, {_flag("outcome = 'ok'")} as ok, {_flag("outcome = 'gone'")} as gone
from (select *, case when outcome = 'ok' then
    row_number() over (partition by k, stack, ch, conn, outcome order by "at", seq) else 1 end as copy
  from (select r.*, "at" - case when stack = 'sse' then coalesce(sd.behind, 0) else 0 end as it
    from ({rows}) as r left join sends as sd on sd.ch = r.ch) as r) as c
group by k, stack, ch, copy"""


def _repeated(island_s: float, columns: str) -> str:
    names = "k, occ, fid, rh, mk, byid, own, og, sh, l_at, s_at, b_at, l_sent, s_sent, l_c, s_c, b_c, ch"
    return f"""
with broken as (
  select *, case when byid = 0 and it - lag(it) over (partition by k order by it) > {island_s} then 1 else 0 end
    as new_island from many),
islands as (
  select *, sum(new_island) over (partition by k order by it rows between unbounded preceding and current row)
    as island from broken),
numbered as (
  select *, row_number() over (partition by k, island, stack order by "at", copy) as nth,
    sum(case when stack = 'legacy' then 1 else 0 end) over (partition by k, island) as i_l,
    sum(case when stack = 'sse' then 1 else 0 end) over (partition by k, island) as i_s,
    sum(case when stack = 'legacy' and (byid = 1 or caused = 1) and copy > 1 then 1 else 0 end)
      over (partition by k, island) as l_again
  from islands),
paired as (
  select k, island * 1000000 + nth as occ, max(i_l) as i_l, max(i_s) as i_s, max(l_again) as l_again, {columns},
    {_CAUSE} as ch, nth, {_flag("stack = 'legacy'")} as l, {_flag("stack = 'sse'")} as s,
    {_flag("stack = 'baseline'")} as b, {_flag("stack = 'legacy' and ok = 1")} as l_ok,
    {_flag("stack = 'legacy' and gone = 1")} as l_gone
  from numbered group by k, island, nth)
select {names}, coalesce(l_at, b_at, s_at) as t, l, s, b, l_ok, l_gone,
  case when l = 0 and s = 1 and (i_l > 0 or (byid = 1 and nth > 1)) then 's'
    when l = 1 and s = 0 and ((byid = 1 and nth > 1) or nth > i_l - l_again) then 'l'
    when l = 0 and s = 0 and (i_l > 0 or i_s > 0) then 'b' else '' end as dup
from paired"""


_PAIRS = """
select * from repeated
union all
select k, 0 as occ, fid, rh, mk, byid, own, og, sh, l_at, s_at, b_at, l_sent, s_sent, l_c, s_c, b_c, ch,
  coalesce(l_at, b_at, s_at) as t, n_l as l, n_s as s, n_b as b, l_ok, l_gone, '' as dup
from grouped where n_l <= 1 and n_s <= 1 and n_b <= 1"""


def _repaired(side: str) -> str:
    """Messages known by content alone that are on legacy and, with another content, on the other side: the same place
    between what both delivered of one sender in one stream.
    """
    other_is = f"{side} = 1 and l = 0" if side == "s" else "b = 1 and l = 0 and s = 0"
    lost = "l_ok = 1 and s = 0" if side == "s" else "l_ok = 1 and b = 0"
    return f"""
select '{side}' as side, l.k, l.occ, o.k as other_k, o.occ as other_occ from (
  select * from (
    select k, occ, sh, which, anchor, "at", marker,
      row_number() over (partition by sh, which, anchor, marker order by "at") as nth
    from (
      select k, occ, sh, which, "at", marker,
        sum(marker) over (partition by sh, which order by "at" rows between unbounded preceding and current row)
          as anchor
      from (
        select k, occ, sh, 'l' as which, l_at as "at", 0 as marker from odd where {lost} and dup = '' and byid = 0
          and sh in (select sh from odd where {other_is} and dup = '' and byid = 0)
        union all
        select k, occ, sh, 'l' as which, l_at as "at", 1 as marker from pairs where l_ok = 1 and {side} = 1
          and sh in (select sh from odd where {other_is} and dup = '' and byid = 0)) as e) as a) as n
  where marker = 0) as l
join (
  select * from (
    select k, occ, sh, which, anchor, "at", marker,
      row_number() over (partition by sh, which, anchor, marker order by "at") as nth
    from (
      select k, occ, sh, which, "at", marker,
        sum(marker) over (partition by sh, which order by "at" rows between unbounded preceding and current row)
          as anchor
      from (
        select k, occ, sh, 'o' as which, {side}_at as "at", 0 as marker from odd
          where {other_is} and dup = '' and byid = 0
        union all
        select k, occ, sh, 'o' as which, {side}_at as "at", 1 as marker from pairs where l_ok = 1 and {side} = 1
          and sh in (select sh from odd where {other_is} and dup = '' and byid = 0)) as e) as a) as n
  where marker = 0) as o
on l.sh = o.sh and l.anchor = o.anchor and l.nth = o.nth"""


def _found(start: float, stop: float) -> str:
    inside = f'o.t between s."start" - {SLACK_S} and s."end" + {SLACK_S} and (s.stack is null or s.stack = o.lacking)'
    return f"""
with left_over as (
  select o.* from odd as o
  left join repaired as r on r.k = o.k and r.occ = o.occ and r.side = 's'
  left join repaired as q on q.other_k = o.k and q.other_occ = o.occ
  where o.t between {start} and {stop} and r.k is null and q.k is null),
excused as (
  select k, occ, max(why) as why from (
    select o.k, o.occ, s.kind as why from left_over as o join spans as s on s.rh = o.rh and {inside}
    union all
    select o.k, o.occ, s.kind as why from left_over as o join spans as s on s.rh is null and {inside}) as e
  group by k, occ),
covered as (select rh, min(b_at) as since, max(b_at) as until from pairs where b = 1 group by rh),
on_legacy as (select mk from pairs where l = 1 and mk in (select mk from left_over where s = 1 and l = 0) group by mk),
members as (select og from pairs where l_ok = 1 and og in (select og from left_over where s = 1 and l = 0) group by og),
any_send as (select count(*) as n from sends),
judged as (
  select o.*, x.why, sd.ok as replayed, sd.failed as refused, sd.reason, a.n as n_sends,
    case when c.rh is not null and o.t between c.since and c.until then 1 else 0 end as watched,
    case when m.mk is not null and g.og is not null then 1 else 0 end as meant
  from left_over as o
  cross join any_send as a
  left join excused as x on x.k = o.k and x.occ = o.occ
  left join sends as sd on sd.ch = o.ch
  left join covered as c on c.rh = o.rh
  left join on_legacy as m on m.mk = o.mk
  left join members as g on g.og = o.og)
select k, occ, fid, mk, t, l_at, s_at,
  case when dup <> '' then 'duplicate' when s = 0 and l_ok = 0 and l = 1 then 'ghost'
    when s = 0 or l = 1 then 'missing' when why is not null or b = 1 or replayed = 1 or (meant = 1 and own = 0)
    then 'missing' else 'extra' end as kind,
  case when dup = 's' then 'sse' when dup = 'l' then 'legacy' when dup = 'b' then 'baseline'
    when s = 0 and l_ok = 1 then 'sse' when l = 0 and s = 0 then 'legacy'
    when why is not null or b = 1 or replayed = 1 or (meant = 1 and own = 0) or l = 1 then 'legacy'
    else 'sse' end as stack,
  case
    when dup = 's' then 'sse' when dup = 'l' then 'legacy' when dup = 'b' then 'noise'
    when l = 1 and l_ok = 0 then 'legacy'
    when l = 1 and why is not null then why
    when l = 1 and watched = 1 and b = 0 then 'noise'
    when l = 1 and n_sends > 0 and replayed is null then 'capture'
    when l = 1 and replayed = 0 and refused = 0 then 'skipped'
    when l = 1 then 'sse'
    when why is not null then why
    when b = 1 then 'capture'
    when replayed = 1 or (meant = 1 and own = 0) then 'legacy'
    else 'sse' end as blame,
  case when l = 1 and l_ok = 0 and l_gone = 1 then 'the connection was gone (410)'
    when l = 1 and l_ok = 0 then 'the post failed'
    when l = 1 and s = 0 and dup = '' and refused = 1 then 'the replay was refused: ' || coalesce(reason, '')
    when l = 1 and s = 0 and dup = '' and why is null and n_sends > 0 and replayed is null
      then 'the entering frame was not captured'
    when l = 0 and s = 1 and dup = '' and b = 1 then 'the second legacy consumer has it'
    when l = 0 and s = 1 and dup = '' and why is null and (replayed = 1 or (meant = 1 and own = 0))
      then 'legacy never posted it to this recipient'
    else '' end as detail
from judged"""


def _late(start: float, stop: float) -> str:
    """Walks each stream in legacy order: whoever has an earlier place on SSE than something before it was overtaken.

    Within one sender whatever the distance, between senders when more than a moment apart. Where legacy itself is out
    of the order of the messages' own times, it is legacy's fault; where the baseline has SSE's order, it is noise.
    What was replayed in that order, because its record came late, is no fault of SSE's.
    """
    # What was posted in the same tick has no order.
    before = "range between unbounded preceding and 1e-6 preceding"
    apart = f"range between unbounded preceding and {CONCURRENT_S}e0 preceding"
    by_sender = f"over (partition by sh order by l_at {before})"
    by_room = f"over (partition by og order by l_at {apart})"
    return f"""
select k, occ, fid, mk, l_at as t, s_at,
  case when b_at < newest_b then 'noise' when l_sent < newest_sent then 'legacy' when r_at < newest_r then 'replay'
    else 'sse' end as blame,
  newest_s - s_at as seconds
from (
  select k, occ, fid, mk, l_at, s_at, b_at, l_sent, r_at,
    case when s_at < max(s_at) {by_sender} then 1 else 0 end as sender_late,
    case when s_at < max(s_at) {by_room} then 1 else 0 end as room_late,
    greatest(coalesce(max(s_at) {by_sender}, 0), coalesce(max(s_at) {by_room}, 0)) as newest_s,
    greatest(coalesce(max(b_at) {by_sender}, 0), coalesce(max(b_at) {by_room}, 0)) as newest_b,
    greatest(coalesce(max(l_sent) {by_sender}, 0), coalesce(max(l_sent) {by_room}, 0)) as newest_sent,
    greatest(coalesce(max(r_at) {by_sender}, 0), coalesce(max(r_at) {by_room}, 0)) as newest_r
  from (select p.*, sd.r_at from pairs as p left join sends as sd on sd.ch = p.ch) as p
  where l_ok = 1 and s = 1 and og in (
    select og from (select og, s_at - lag(s_at) over (partition by og order by l_at) as step from pairs
      where l_ok = 1 and s = 1) as x where step < 0)) as w
where (sender_late = 1 or room_late = 1) and l_at between {start} and {stop}"""
