"""What of a team's own stack can be rehearsed: from its `migrate.toml` and its packages to a plan. Pure. until phase 3

What cannot is named, with what to do. Without what stands before everything else (the handshake, its authorizer, a
table that the bridge can use, somebody who can say something) there is no rehearsal: all that is missing is said at
once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from migrate.config.model import Feature, Function, Settings, Table
from migrate.errors import UsageError
from migrate.init.draft import Limit
from migrate.rehearse.packages import Package, handler_of, runtime_of
from migrate.rehearse.sources import sources_of, unfilled_queues
from migrate.routes import CONNECT, OWN_ROUTES

__all__ = ["OwnPlan", "foreign_services", "plan_own"]

_RUNTIMES = ("python3.", "nodejs")
# What SDKs call services that the local AWS knows by another name, or serves itself.
_ALIASES = {
    "apigatewaymanagementapi": "", "apigatewayv2": "", "api-gateway-management-api": "", "dynamodbstreams": "dynamodb",
    "dynamodb-streams": "dynamodb", "cloudwatch": "monitoring", "cloudwatch-logs": "logs", "eventbridge": "events",
    "stepfunctions": "states", "sfn": "states", "secrets-manager": "secretsmanager", "cognito-idp": "",
    "cognito-identity": "", "cognito-identity-provider": "", "ses-v2": "ses", "sesv2": "ses",
}  # fmt: skip


@dataclass(frozen=True)
class OwnPlan:
    """What is deployed and rehearsed.

    Args:
        settings: functions that have packages, with routes, runtime, handler and the sources that are made; features
            that can be talked in.
        packages: by function.
        limits: what is left out, and what to do.
    """

    settings: Settings
    packages: Mapping[str, Package]
    limits: tuple[Limit, ...]


def plan_own(settings: Settings, packages: Mapping[str, Package], source: str) -> OwnPlan:
    """The plan.

    Args:
        source: how errors call the description.

    Raises: UsageError: naming everything without which there is no rehearsal.
    """
    names = [one.name for one in settings.functions]
    unknown = sorted(packages.keys() - set(names))
    if unknown:
        raise UsageError(f"{source} has no function {', '.join(unknown)}", f"its functions: {', '.join(names)}")
    limits: list[Limit] = []
    missing: list[str] = []
    functions = list(_functions(settings, packages, limits, missing))
    routes = {route for one in functions for route in one.routes}
    missing += _doubled(functions)
    missing += [] if CONNECT in routes else ["no function with a package stands behind $connect ([[functions]] routes)"]
    if not settings.identity.user:
        missing.append("identity.user is empty: who sends a frame is told by the authorizer's context alone")
    missing += _table_problems(settings)
    features = [one for one in settings.features if _can_talk(one, routes, limits)]
    if not features:
        missing += ["no feature can be talked in", *(one.what for one in limits)]
    if missing:
        lines = "".join(f"\n  - {one}" for one in missing)
        raise UsageError(f"{source} cannot be rehearsed:{lines}", "docs/guides/rehearse.md says what is needed")
    limits += unfilled_queues(functions, packages)
    kept = {one.name: packages[one.name] for one in functions}
    return OwnPlan(replace(settings, functions=tuple(functions), features=tuple(features)), kept, tuple(limits))


def _functions(
    settings: Settings, packages: Mapping[str, Package], limits: list[Limit], missing: list[str]
) -> Iterator[Function]:
    behind = [one for one in settings.functions if one.role == "route"]
    for function in settings.functions:
        name, package = function.name, packages.get(function.name)
        routes = function.routes
        if function.role == "route" and not routes and len(behind) == 1:
            # The only one takes everything.
            routes = OWN_ROUTES
        if package is None:
            wanted = f"--package {name}=FILE.zip"
            if function.role == "authorizer" or CONNECT in routes:
                missing.append(f"{name} has no package, and nobody comes in without it ({wanted})")
            else:
                limits.append(Limit(f"function {name} has no package", f"give it one: {wanted}"))
            continue
        if function.role == "route" and not routes:
            missing.append(f"{name} names no routes ([[functions]] routes)")
            continue
        runtime = function.runtime or runtime_of(package)
        if not runtime.startswith(_RUNTIMES):
            said = f"function {name} has the runtime {runtime or 'unknown'}, and the local AWS runs Python and Node.js"
            if function.role == "authorizer" or CONNECT in routes:
                missing.append(said)
            else:
                limits.append(Limit(said, "try it against a stage of its own on AWS"))
            continue
        handler = function.handler or handler_of(package, runtime)
        if not handler:
            missing.append(f"the handler of {name} cannot be told from {package.path} ([[functions]] handler)")
            continue
        if function.role in {"answer", "other"} and not function.event_sources:
            limits.append(
                Limit(
                    f"function {name} is there, and nothing invokes it: the description does not tell its queue, "
                    "stream or schedule",
                    "write them into [[functions.event_sources]]; what it posts was not compared",
                )
            )
        sources = sources_of(function, settings.tables, limits)
        yield replace(function, routes=tuple(routes), runtime=runtime, handler=handler, event_sources=sources)


def _doubled(functions: list[Function]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for function in functions:
        for route in function.routes:
            if route in seen:
                yield f"route {route} is in front of {seen[route]} and of {function.name}"
            seen[route] = function.name
    if sum(one.role == "authorizer" for one in functions) > 1:
        yield "there are several authorizers, and $connect has one"


def _table_problems(settings: Settings) -> Iterator[str]:
    tables = [one for one in settings.tables if one.role == "connections"]
    if len(tables) != 1:
        yield f"there are {len(tables)} tables of connections, and the bridge needs one"
    for table in tables:
        if _is_of_other_shape(table):
            yield (
                f"the bridge cannot use the table {table.name}: its rows are not one connection each, keyed by its id "
                "(virtual connections keep such a table: docs/guides/virtual-connections.md)"
            )
    for table in settings.tables:
        if not (table.partition_key or table.key):
            yield f"table {table.name} has no key"
        for index, keys in table.indexes.items():
            if not isinstance(keys, list) or not 1 <= len(keys) <= 2 or not all(isinstance(one, str) for one in keys):
                yield f"index {index} of {table.name} is not one or two names of attributes"


def _is_of_other_shape(table: Table) -> bool:
    keyed = not table.partition_key or table.partition_key == table.key
    return bool(table.sort_key or table.map_attribute or table.id_prefix or table.row_prefix) or not keyed


def _can_talk(feature: Feature, routes: Collection[str], limits: list[Limit]) -> bool:
    lacking = [name for name in ("replay", "say", "frames", "deliver", "collect") if not getattr(feature, name)]
    if lacking:
        limits.append(Limit(
            f"feature {feature.name} has no {', '.join(lacking)}",
            f"write {', '.join(lacking)} into [[features]]: docs/guides/shadow.md, bridge.md, rehearse.md",
        ))  # fmt: skip
        return False
    unheard = [] if "$default" in routes else [one for one in feature.types if one not in routes]
    if unheard:
        limits.append(Limit(
            f"feature {feature.name}: no function with a package stands behind {', '.join(unheard)}",
            "give the function its package, and name the route in [[functions]] routes",
        ))  # fmt: skip
        return False
    return True


def foreign_services(packages: Mapping[str, Package], services: Collection[str]) -> Iterator[Limit]:
    """What packages call that the local AWS has not.

    Args:
        services: of the local AWS, as MiniStack names them.
    """
    users: dict[str, list[str]] = {}
    for name, package in packages.items():
        for service in package.services:
            known = _ALIASES.get(service, service)
            if known and known not in services:
                users.setdefault(service, []).append(name)
    for service, names in sorted(users.items()):
        yield Limit(
            f"{', '.join(names)} calls {service}, which the local AWS has not",
            f"let the function do without it, or name a stand-in address in its environment "
            f"(AWS_ENDPOINT_URL_{service.upper().replace('-', '_')})",
        )
