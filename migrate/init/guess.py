"""From what was seen to a draft of `migrate.toml`; every guess says where it comes from. Pure. until phase 3 (MG1)"""

from __future__ import annotations

import re
from typing import Any

from migrate.config.parse import as_values
from migrate.init.draft import Draft, Limit
from migrate.init.facts import FunctionFact, RouteFact, StackFacts
from migrate.init.guess_tables import guess_tables
from migrate.init.names import simple
from migrate.init.sources import called
from migrate.routes import OWN_ROUTES
from migrate.tee.function_configuration import HANDLER

__all__ = ["guess"]

_BODY_FIELD = re.compile(r"\$\{?request\.body\.([A-Za-z0-9_.-]+)\}?")
_LAMBDA = ("AWS_PROXY", "AWS")


def guess(facts: StackFacts) -> Draft:
    """The draft of a stack."""
    draft = Draft(origin=facts.origin, problems=list(facts.problems))
    _project(draft, facts)
    _api(draft, facts)
    _sse(draft)
    _identity(draft, facts)
    guess_tables(draft, facts)
    _functions(draft, facts)
    _features(draft, facts)
    _limits(draft, facts)
    return draft


def _project(draft: Draft, facts: StackFacts) -> None:
    name = simple(facts.name)
    draft.values["project"] = {"name": name}
    draft.note("project", f"name: from the API's name in {facts.origin}.")


def _api(draft: Draft, facts: StackFacts) -> None:
    api: dict[str, Any] = {"id": facts.api_id, "stage": ""}
    draft.values["api"] = api
    if not facts.api_id:
        draft.ask("api.id", "Id of the deployed WebSocket API", needed=True)
    if len(facts.stages) == 1:
        api["stage"] = facts.stages[0]
    elif facts.stages:
        likely = next((one for one in facts.stages if one.lower() in {"prod", "production", "live"}), facts.stages[0])
        others = ", ".join(facts.stages)
        draft.ask("api.stage", f"Which stage is migrated ({others})", likely, f"the API has the stages {others}")
        draft.note(
            "api", f"stage: the API has {others}; each stage is a migration of its own (same tables? see the guide)."
        )  # fmt: skip
    else:
        draft.ask("api.stage", "Name of the API's stage", needed=True)
    for key in ("region", "endpoint_url", "management_url", "ws_url"):
        value = getattr(facts, key)
        if value:
            api[key] = value
    if not facts.region:
        draft.ask("api.region", "Region of the API (empty: AWS_REGION at run time)")
    if facts.hosts:
        api["hosts"] = list(facts.hosts)
        draft.note("api", "hosts: custom domain names mapped to the API.")
    if facts.route_selection:
        api["route_selection"] = facts.route_selection
    for route in facts.routes:
        draft.note("api", f"route {_described(route)}")
    if facts.alarms:
        draft.note("api", f"alarms on it: {', '.join(facts.alarms)}")


def _described(route: RouteFact) -> str:
    behind = route.function or route.uri or (f"a {route.kind} integration" if route.kind else "nothing")
    more = f", authorizer {route.authorizer}" if route.authorizer else ""
    return f"{route.key} -> {behind}{more}{', answers in the exchange' if route.two_way else ''}"


def _sse(draft: Draft) -> None:
    draft.values["sse"] = {"url": ""}
    draft.ask("sse.url", "Address of the SSE service (empty: not deployed yet)")


def _identity(draft: Draft, facts: StackFacts) -> None:
    authorizers = sorted({route.authorizer for route in facts.routes if route.authorizer})
    draft.values["identity"] = {}
    if not authorizers:
        draft.note("identity", "$connect has no authorizer: users are known by what the application stores alone.")
        draft.values["identity"] = {"user": "", "tenant": ""}
        return
    why = f"only the code of {', '.join(authorizers)} says it"
    draft.note("identity", f"The names are those of the authorizer's context: {why}.")
    draft.ask("identity.user", "Name of the user's id in the authorizer's context", "userId", why)
    draft.ask("identity.tenant", "Name of the tenant's id there (empty: no tenants)", "tenantId", why)


def _functions(draft: Draft, facts: StackFacts) -> None:
    behind = {route.function for route in facts.routes if route.function}
    authorizers = {route.authorizer for route in facts.routes}
    found = draft.values.setdefault("functions", [])
    for function in facts.functions:
        one: dict[str, Any] = {"name": function.name}
        place = f"functions[{len(found)}]"
        keys = [route.key for route in facts.routes if route.function == function.name]
        if function.name in authorizers:
            one["role"] = "authorizer"
            if keys:
                draft.note(place, f"It is behind {', '.join(keys)} as well.")
        elif function.name in behind:
            draft.note(place, f"Behind {', '.join(keys)}.")
        elif function.posts:
            one["role"] = "answer"
            draft.note(place, "Its role may post to connections, and it stands behind no route.")
        elif function.names_api:
            one["role"] = "answer"
            draft.note(place, "Its environment names the API; `answer` if it posts to connections, else `other`.")
        else:
            one["role"] = "other"
            draft.note(place, "It uses the stack's tables, and may not post to connections as far as could be seen.")
        sources = _event_sources(draft, function, place)
        if sources:
            one["event_sources"] = sources
        env = {**_plain(function, facts), **function.stand_ins}
        if env:
            one["env"] = env
        others = sorted(name for name in function.env if name not in env and not name.startswith("WS2SSE_"))
        if others:
            draft.note(place, f"Its environment has these too; a rehearsal needs stand-ins: {', '.join(others)}.")
        if keys:
            one["routes"] = keys
        # What a rehearsal deploys it with. A tee's handler is not the function's own.
        for key in ("runtime", "handler"):
            if getattr(function, key) and function.handler != HANDLER:
                one[key] = getattr(function, key)
        if function.timeout_s:
            one["timeout_s"] = function.timeout_s
        if function.env:
            names = ", ".join(sorted(name for name in function.env if not name.startswith("WS2SSE_")))
            draft.note(place, f"Its environment has {names}: give stand-ins in `env` for a rehearsal.")
        if function.log_group and function.log_group != f"/aws/lambda/{function.name}":
            one["log_group"] = function.log_group
        if function.retention_days == 0:
            draft.note(place, "Its log group is kept for ever: clean-up sets a retention.")
        found.append(one)


def _plain(function: FunctionFact, facts: StackFacts) -> dict[str, str]:
    """Of its environment what is the name of a table of this stack, or its API's id: no secret, and here known."""
    known = {one.name: one.name for one in facts.tables}
    if facts.api_id:
        known[facts.api_id] = "{$api_id}"
    return {name: known[value] for name, value in function.env.items() if value in known}


def _event_sources(draft: Draft, function: FunctionFact, place: str) -> list[dict[str, Any]]:
    """What invokes it besides the API, as the file has it."""
    found: list[dict[str, Any]] = []
    for fact in dict.fromkeys(function.sources):
        if any((fact.source.type, fact.source.name) == (one["type"], one["name"]) for one in found):
            continue
        named = "" if fact.certain else "; its name is made at deployment: write it there"
        if not fact.enabled:
            draft.note(place, f"Switched off: {called(fact.source)} would invoke it.")
            continue
        draft.note(place, f"Invoked by {called(fact.source)}{named}.")
        found.append(as_values(fact.source))
    return found


def _features(draft: Draft, facts: StackFacts) -> None:
    selected = _BODY_FIELD.fullmatch(facts.route_selection)
    type_field = selected.group(1) if selected else "action"
    custom = [route for route in facts.routes if route.key not in OWN_ROUTES]
    features = draft.values.setdefault("features", [])
    for route in custom:
        place = f"features[{len(features)}]"
        draft.note(
            place,
            f"One feature for each route is a first guess (this one: {route.key}): join those that move together. "
            "frames, replay and deliver: what leaves because of it, and its REST call; see docs/guides/init.md.",
        )
        features.append({"name": _feature_name(route.key, features), "types": [route.key], "type_field": type_field})
    default = next((route for route in facts.routes if route.key == "$default"), None)
    if not custom and default is not None:
        why = "every frame goes to $default, whose code alone tells them apart"
        draft.note("features[0]", f"types: {why}.")
        features.append({"name": "messages", "types": [], "type_field": type_field})
        draft.ask("features.0.types", "Types of the frames that clients send, comma separated", "", why)
        draft.ask("features.0.type_field", "Field that names a frame's type", type_field, why)
        selects = "$default alone takes frames: what the toolkit does per type needs `types` and `type_field`"
        draft.problems.append(selects)
    for number, feature in enumerate(features):
        draft.ask(
            f"features.{number}.frames",
            f"Types of the frames that others get because of {feature['name']}, comma separated",
            "",
            "only the code says it",
        )


def _feature_name(key: str, features: list[Any]) -> str:
    name = simple(key.strip("$"), "feature")
    taken = {one["name"] for one in features}
    return name if name not in taken else f"{name}-{len(features)}"


def _limits(draft: Draft, facts: StackFacts) -> None:
    limits = []
    for route in facts.routes:
        if route.kind and route.kind not in _LAMBDA:
            limits.append(_foreign(route))
        elif route.kind in _LAMBDA and not route.function:
            limits.append((
                f"route {route.key} calls an AWS service or a function that could not be told ({route.uri})",
                "give it a Lambda function, or a REST endpoint of the new service; the tee sees Lambdas only",
            ))  # fmt: skip
        if not route.kind:
            limits.append((f"route {route.key} has no integration", "delete it, or leave it: nothing is behind it"))
        if route.two_way:
            limits.append((
                f"route {route.key} answers inside the exchange (a route response)",
                "let the REST call that replaces it return that answer; the comparison sees posted frames only",
            ))  # fmt: skip
        if route.binary:
            limits.append((
                f"route {route.key} converts its frames (ContentHandlingStrategy)",
                "frames that are no JSON objects have no type: list such a feature with types = [] and move it by hand",
            ))  # fmt: skip
    for function in facts.functions:
        keys = [route.key for route in facts.routes if route.function == function.name]
        if keys and any(fact.enabled for fact in function.sources):
            limits.append((
                f"function {function.name} stands behind {', '.join(keys)} and is invoked by other sources as well",
                "give what those invoke a function of its own (role answer): the tee copies what a route's function "
                "posts for its route, and nothing that it posts for a queue",
            ))  # fmt: skip
    if facts.route_selection and not _BODY_FIELD.fullmatch(facts.route_selection):
        limits.append((
            f"the route selection expression {facts.route_selection} is no field of a JSON body",
            "set type_field of every feature; frames that are no JSON all belong to $default",
        ))  # fmt: skip
    draft.limits += [Limit(what, do) for what, do in limits]


def _foreign(route: RouteFact) -> tuple[str, str]:
    where = f" at {route.uri}" if route.uri else ""
    if route.kind == "MOCK":
        return f"route {route.key} is answered by a mock", "nothing runs behind it: drop it with the API"
    return (
        f"route {route.key} goes to a {route.kind} integration{where}, which has no Lambda",
        "its backend posts by itself: point it to the service's /api/events, and call it from a REST endpoint; "
        "the tee and the bridge cannot see its frames",
    )
