"""From what was seen to a plan. Pure. until phase 3"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrate.config.model import Settings
from migrate.control.flags import behind
from migrate.resources.model import Kept, Plan, Seen, Step

__all__ = ["make_plan"]

SWEEP = "run `migrate cleanup connections --execute` first"


def make_plan(
    settings: Settings, seen: Seen, *, region: str, config: str, rows: Mapping[str, int], moved: Mapping[str, float],
    now: float,
) -> Plan:  # fmt: skip
    """A plan.

    Args:
        config: digest of the configuration.
        rows: connections that are left, by table.
        moved: percentage of each feature's users that are on the new stack.
    """
    steps: list[Step] = []
    kept: list[Kept] = []
    steps += _logs(settings, seen)
    steps += (Step("alarm", name, facts) for name, facts in sorted(seen.alarms.items()))
    steps += (Step("api-mapping", f"{one['DomainName']}/{one.get('ApiMappingKey', '')}", one) for one in seen.mappings)
    # Who is asked for nothing new any more may still work off what waits: sources go behind the API.
    if seen.api is not None:
        blocked = tuple(_api_users(settings, seen, moved))
        before = tuple(step.id for step in steps if step.kind == "api-mapping")
        hint = "wait, or drain it: migrate drain start" if blocked else ""
        steps.append(Step("api", settings.api.id, seen.api, before, blocked, hint))
    api = tuple(step.id for step in steps if step.kind == "api")
    steps += (Step("event-source", one["UUID"], one, api) for one in seen.sources)
    steps += _functions(seen, api, kept)
    steps += _queues(seen, kept)
    steps += _tables(seen, rows, kept, tuple(step.id for step in steps if step.kind == "function"))
    return Plan(settings.project.name, settings.api.id, region, seen.account, config, now, tuple(steps), tuple(kept))


def _logs(settings: Settings, seen: Seen) -> Iterator[Step]:
    days = settings.cleanup.log_retention_days
    for name, facts in sorted(seen.logs.items()):
        if facts["retentionInDays"] is None:
            yield Step("log-group", name, {**facts, "days": days})


def _api_users(settings: Settings, seen: Seen, moved: Mapping[str, float]) -> Iterator[str]:
    hours = settings.cleanup.quiet_hours
    if seen.traffic.get("ConnectCount") or seen.traffic.get("MessageCount"):
        yield (
            f"{seen.traffic.get('ConnectCount', 0):.0f} connections and {seen.traffic.get('MessageCount', 0):.0f} "
            f"messages within {hours:g} hours"
        )
    for name, percent in behind(moved, (one.name for one in settings.features)).items():
        yield f"feature {name} has moved for {percent:g} % of its users"


def _functions(seen: Seen, api: tuple[str, ...], kept: list[Kept]) -> Iterator[Step]:
    roles = []
    for name, facts in sorted(seen.functions.items()):
        sources = tuple(f"event-source:{one['UUID']}" for one in seen.sources if one["FunctionName"] == name)
        users = list(seen.users.get(f"function:{name}", ()))
        hint = "take that away first, or leave the function out of [[functions]]" if users else ""
        if facts["tee"]:
            users.append("the tee is on it")
            hint = "take it off: migrate shadow stop --all-readers"
        yield Step("function", name, facts, (*api, *sources), tuple(users), hint)
        roles.append(str(facts["Role"]).rsplit("/", 1)[-1])
    for name in sorted(set(roles) & set(seen.roles)):
        users = seen.users.get(f"role:{name}", [])
        if users:
            kept.append(Kept("role", name, "; ".join(users)))
            continue
        after = tuple(f"function:{one}" for one, facts in seen.functions.items() if _has(facts, name))
        yield Step("role", name, seen.roles[name], after)


def _queues(seen: Seen, kept: list[Kept]) -> Iterator[Step]:
    # Those of dead letters last, behind the queues that have them.
    for name, facts in sorted(seen.queues.items(), key=lambda one: ("dead_letters_of" in one[1], one[0])):
        users = seen.users.get(f"queue:{name}", [])
        if users:
            kept.append(Kept("queue", name, "; ".join(users)))
            continue
        after = tuple(
            f"event-source:{one['UUID']}"
            for one in seen.sources
            if str(one["EventSourceArn"]).rsplit(":", 1)[-1] == name
        )
        if "dead_letters_of" in facts:
            after = (f"queue:{facts['dead_letters_of']}",)
        yield Step("queue", name, facts, after)


def _tables(seen: Seen, rows: Mapping[str, int], kept: list[Kept], after: Sequence[str]) -> Iterator[Step]:
    for name, facts in sorted(seen.tables.items()):
        if facts["role"] != "connections":
            kept.append(Kept("table", name, f"it holds {facts['role']}, not connections: your users' data is yours"))
            continue
        users = list(seen.users.get(f"table:{name}", ()))
        hint = "take that away first" if users else ""
        if rows.get(name):
            users.append(f"{rows[name]} connections are in it")
            hint = SWEEP
        yield Step("table", name, facts, tuple(after), tuple(users), hint)


def _has(facts: Mapping[str, Any], role: str) -> bool:
    return str(facts["Role"]).rsplit("/", 1)[-1] == role
