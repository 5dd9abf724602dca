"""Holds a `migrate.toml` against what is deployed. Pure. until phase 3 (MG1)"""

from __future__ import annotations

from dataclasses import dataclass

from migrate.config.model import EventSource, Function, Settings, Table
from migrate.init.facts import FunctionFact, StackFacts, TableFact
from migrate.init.shapes import attributes_of, shape_of
from migrate.init.sources import batch_size_of, called
from migrate.routes import OWN_ROUTES
from migrate.tables.rows import Rows

__all__ = ["Finding", "findings"]


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit.

    Args:
        key: its place in the file.
        found: what is there.
        do: what to do.
        wrong: whether commands would fail or do the wrong thing; else it is worth knowing.
    """

    key: str
    found: str
    do: str
    wrong: bool = True


def findings(settings: Settings, facts: StackFacts, extra: dict[str, TableFact | None]) -> list[Finding]:
    """What does not fit.

    Args:
        extra: the tables that the file names, as they are; None where there is none of that name.
    """
    return [
        *_api(settings, facts),
        *_tables(settings, facts, extra),
        *_functions(settings, facts),
        *_features(settings, facts),
    ]


def _api(settings: Settings, facts: StackFacts) -> list[Finding]:
    found = []
    api = settings.api
    if api.stage not in facts.stages:
        found.append(
            Finding("api.stage", f"the API has the stages {', '.join(facts.stages) or 'none'}", "name one of them")
        )
    if facts.route_selection and api.route_selection != facts.route_selection:
        found.append(
            Finding("api.route_selection", f"the API's is {facts.route_selection}", "write that into the file")
        )
    missing = [host for host in facts.hosts if host not in api.hosts]
    if missing:
        found.append(Finding("api.hosts", f"{', '.join(missing)} lead to it as well", "add them", wrong=False))
    others = [stage for stage in facts.stages if stage != api.stage]
    if others:
        found.append(
            Finding(
                "api.stage",
                f"the API has other stages: {', '.join(others)}",
                "if they share tables, their connections stand in them too; the sweep asks every stage",
                wrong=False,
            )
        )
    if not settings.sse.url:
        found.append(Finding("sse.url", "empty", "name the SSE service before shadow and cut-over", wrong=False))
    return found


def _tables(settings: Settings, facts: StackFacts, extra: dict[str, TableFact | None]) -> list[Finding]:
    found = []
    if not any(table.role == "connections" for table in settings.tables):
        found.append(Finding("tables", "no table has the role connections", "drain and clean-up need one"))
    for number, table in enumerate(settings.tables):
        place = f"tables.{number}"
        fact = extra.get(table.name)
        if fact is None:
            found.append(Finding(f"{place}.name", f"there is no table {table.name}", "name the deployed one"))
            continue
        found += _table(place, table, fact)
    named = {table.name for table in settings.tables}
    for fact in facts.tables:
        if fact.name not in named:
            found.append(Finding("tables", f"the functions use {fact.name} as well", "add it, if it is theirs", False))
    return found


def _table(place: str, table: Table, fact: TableFact) -> list[Finding]:
    found = []
    keys = [name for name, _ in fact.keys]
    known = {*keys, *attributes_of(fact.samples)}
    for name, values in (("ttl", {fact.ttl}), ("sort_key", set(keys[1:]) or {""})):
        value = getattr(table, name)
        if value != next(iter(values)) and not (name == "ttl" and value in known):
            found.append(Finding(f"{place}.{name}", f"the table's is {next(iter(values)) or 'none'}", "write that"))
    for name, attribute in (("user_index", table.user), ("tenant_index", table.tenant)):
        index = getattr(table, name)
        if index and index not in fact.indexes:
            has = ", ".join(fact.indexes) or "none"
            found.append(Finding(f"{place}.{name}", f"there is no index {index}; there are: {has}", "name one of them"))
        elif index and fact.indexes[index][0][0] != attribute:
            found.append(Finding(f"{place}.{name}", f"{index} is by {fact.indexes[index][0][0]}", "not by it"))
    if table.role == "connections":
        found += _connections(place, table, fact, keys)
    return found


def _connections(place: str, table: Table, fact: TableFact, keys: list[str]) -> list[Finding]:
    if not table.key and not table.map_attribute:
        return [Finding(f"{place}.key", "empty", "name the attribute with the connection's id")]
    if not fact.samples:
        said = "the table is empty: its shape cannot be checked"
        return [] if table.key in keys else [Finding(f"{place}.key", said, "check again when it has rows", wrong=False)]
    rows = Rows(table, keys)
    hit = [item for item in fact.samples if rows.entries(dict(item))]
    shape = shape_of(fact.samples, keys)
    if not hit:
        hint = f"ids look to be in {shape.map_attribute or shape.key}" if shape else "no item holds anything like an id"
        return [Finding(f"{place}.key", f"none of {len(fact.samples)} sampled items holds a connection so", hint)]
    found = []
    if shape and not table.map_attribute and not shape.map_attribute and shape.key == table.key:
        for name in ("id_prefix", "row_prefix"):
            if getattr(shape, name) and not getattr(table, name):
                found.append(Finding(f"{place}.{name}", f"rows have {getattr(shape, name)!r}", "write that"))
    return found


def _functions(settings: Settings, facts: StackFacts) -> list[Finding]:
    found = []
    live = {function.name: function for function in facts.functions}
    for number, function in enumerate(settings.functions):
        if function.name in live:
            found += _event_sources(f"functions.{number}.event_sources", function, live[function.name])
        else:
            found.append(
                Finding(
                    f"functions.{number}.name",
                    f"{function.name} is not there, or has nothing to do with the API",
                    "name the deployed one, or leave it out",
                    wrong=function.role != "other",
                )
            )
    named = {function.name for function in settings.functions}
    for route in facts.routes:
        for name, role in ((route.function, "route"), (route.authorizer, "authorizer")):
            if name and name != "AWS_IAM" and name not in named:
                found.append(Finding("functions", f"{name} ({role} of {route.key}) is missing", "add it"))
                named.add(name)
    return found


def _event_sources(place: str, function: Function, fact: FunctionFact) -> list[Finding]:
    found = []
    # Of two of one name, such as rules with one rate, the one that is on counts.
    ordered = sorted(fact.sources, key=lambda one: one.enabled)
    live = {(one.source.type, one.source.name): one for one in ordered}
    for number, source in enumerate(function.event_sources):
        there = live.pop((source.type, source.name), None)
        if there is not None and there.enabled:
            found += _mapping(f"{place}.{number}", source, there.source)
        # Only what was read can be missed: topics and others are not looked for.
        elif there is not None or (source.type in _SOUGHT and source.type not in fact.unread):
            said = "is switched off" if there is not None else f"does not invoke {function.name}"
            found.append(Finding(f"{place}.{number}", f"{called(source)} {said}", "correct it, or leave it out"))
    for one in live.values():
        if one.enabled:
            said = f"{called(one.source)} invokes {function.name} as well"
            found.append(Finding(place, said, "add it, for a rehearsal", wrong=False))
    return found


_SOUGHT = {"sqs", "dynamodb", "kinesis", "schedule", "eventbridge"}


def _mapping(place: str, source: EventSource, live: EventSource) -> list[Finding]:
    """What a mapping has other than the file says: a rehearsal would batch or leave out otherwise."""
    found = []
    if batch_size_of(source) != batch_size_of(live):
        found.append(Finding(f"{place}.batch_size", f"the mapping's is {batch_size_of(live)}", "write that", False))
    for key in ("batch_window_s", "filters", "report_batch_item_failures"):
        value, there = getattr(source, key), getattr(live, key)
        if value != there:
            shown = ", ".join(there) or "none" if isinstance(there, tuple) else str(there).lower()
            found.append(Finding(f"{place}.{key}", f"the mapping's is {shown}", "write that", False))
    return found


def _features(settings: Settings, facts: StackFacts) -> list[Finding]:
    found = []
    routes = {route.key for route in facts.routes}
    claimed: set[str] = set()
    for number, feature in enumerate(settings.features):
        claimed |= set(feature.types)
        if "$default" not in routes:
            lost = [one for one in feature.types if one not in routes]
            if lost:
                found.append(
                    Finding(f"features.{number}.types", f"no route takes {', '.join(lost)}", "correct the type")
                )
        if not feature.frames:
            found.append(
                Finding(
                    f"features.{number}.frames", "empty", "name the frames that others get, for the comparison", False
                )
            )
    for key in sorted(routes - set(OWN_ROUTES) - claimed):
        found.append(Finding("features", f"no feature has the route {key}", "add it to one, or let it go", wrong=False))
    return found
