"""What of a stack is there before a deployment: which application, and the settings it was given. until phase 3

Settings given once stay until they are changed: leaving out an option must not open what it closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import tables
from legacy_ws.deploy.api import app_tag, find_api, listed
from legacy_ws.deploy.apps import APPS, app_named
from legacy_ws.deploy.environment import set_by_deploy
from legacy_ws.deploy.functions import configuration, own_configuration
from legacy_ws.deploy.options import StackSettings
from legacy_ws.deploy.spec import APP_TAG, TAG, AppSpec, StackNames
from legacy_ws.deploy.variables import KNOWN, OWN_PREFIX, TEE_PREFIX
from legacy_ws.errors import RefusedError, UsageError

__all__ = ["Deployed", "choose_app", "deployed_apps", "look"]


@dataclass(frozen=True)
class Deployed:
    """A stack as it is; everything empty or at its default when there is none.

    Args:
        authorizer: the authorizer's variables.
        settings: of the stack.
    """

    authorizer: Mapping[str, str] = field(default_factory=dict)
    settings: StackSettings = field(default_factory=StackSettings)
    _given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def given(self, function: str) -> dict[str, str]:
        """Variables of a function that somebody gave it. Of one that is not there yet: what all others have alike."""
        if function in self._given:
            return dict(self._given[function])
        everybody = list(self._given.values())
        return {
            name: value
            for name, value in (everybody[0] if everybody else {}).items()
            if all(one.get(name) == value for one in everybody)
        }


def deployed_apps(session: AwsSession, names: StackNames) -> frozenset[str]:
    """Names of the applications that the stack may be: one by its tag; for stacks made before there was that tag, those
    whose tables or functions it has; none when nothing is there that could tell.

    Raises: RefusedError: the stack has several APIs.
    """
    api = find_api(session.client("apigatewayv2"), names.stack)
    tagged = app_tag(session.client("apigatewayv2"), names, api) if api else None
    if tagged is not None:
        return frozenset((tagged,))
    dynamodb = session.client("dynamodb")
    found = set()
    for app in APPS.values():
        for table in app.tables:
            description = tables.describe(dynamodb, names.table(table))
            tags = tables.table_tags(dynamodb, description["TableArn"]) if description else {}
            if tags.get(TAG) == names.stack:
                found.add(tags.get(APP_TAG, app.name))
    return frozenset(found or _apps_of_functions(session.client("lambda"), names))


def _apps_of_functions(client: Any, names: StackNames) -> set[str]:
    """By the handlers: names of functions are the same in several applications."""
    found = set()
    for name in {names.function(function): None for app in APPS.values() for function in app.functions}:
        current = configuration(client, name)
        if current and client.list_tags(Resource=current["FunctionArn"]).get("Tags", {}).get(TAG) == names.stack:
            # A tee stands in front of the handler.
            handler = _variables(current).get(TEE_PREFIX + "HANDLER") or current.get("Handler", "")
            found |= {app for app in APPS if handler.startswith(f"legacy_ws.apps.{app}.")}
    return found


def choose_app(session: AwsSession, names: StackNames, wanted: AppSpec | None) -> AppSpec:
    """The application to deploy: the deployed one. Where there is none: `wanted`, else by the stack's name.

    Raises: RefusedError: another one is deployed. UsageError: it could be several.
    """
    there = deployed_apps(session, names)
    if wanted is not None:
        if there and wanted.name not in there:
            raise RefusedError(
                f"stack {names.stack} is the application {' or '.join(sorted(there))}, not {wanted.name}",
                f"leave out --app, or deploy {wanted.name} as a stack of another name",
            )
        return wanted
    if len(there) > 1:
        raise UsageError(
            f"stack {names.stack} has parts of several applications: {', '.join(sorted(there))}",
            f"say which one it is: legacy-ws deploy {names.stack} --app {min(there)}",
        )
    return app_named(next(iter(there), None), names.stack)


def look(session: AwsSession, names: StackNames, app: AppSpec, stage: str | None) -> Deployed:
    """The stack as it is; `stage` is the one that was asked for.

    Raises: RefusedError: a function of that name is not this stack's. UsageError: several stages, and none asked for.
    """
    client = session.client("lambda")
    authorizer: Mapping[str, str] = {}
    given: dict[str, Mapping[str, str]] = {}
    runtimes: list[str] = []
    for function in app.functions:
        current = own_configuration(client, names, names.function(function))
        if current is None:
            continue
        variables = _variables(current)
        given[function.name] = {name: value for name, value in variables.items() if _is_given(app, name)}
        runtimes.append(str(current["Runtime"]))
        if function.authorizer:
            authorizer = variables
    settings: dict[str, Any] = {"runtime": runtimes[0]} if runtimes else {}
    return Deployed(authorizer, StackSettings(**settings, **_stage(session, names, stage)), given)


def _is_given(app: AppSpec, name: str) -> bool:
    if name in set_by_deploy(app) or name.startswith(TEE_PREFIX):
        return False
    # What nothing reads any more goes with the version that read it.
    return name in KNOWN or not name.startswith(OWN_PREFIX)


def _stage(session: AwsSession, names: StackNames, asked: str | None) -> dict[str, Any]:
    gateway = session.client("apigatewayv2")
    api = find_api(gateway, names.stack)
    stages = {one["StageName"]: one for one in listed(gateway, "get_stages", ApiId=api["ApiId"])} if api else {}
    name = asked or (next(iter(stages)) if len(stages) == 1 else StackSettings.stage)
    if stages and name not in stages and asked is None:
        raise UsageError(
            f"stack {names.stack} has several stages: {', '.join(sorted(stages))}", "say which one: --stage STAGE"
        )
    current = stages.get(name)
    if current is None:
        return {"stage": name}
    limits = current.get("DefaultRouteSettings") or {}
    found: dict[str, Any] = {"stage": name, "access_log": bool(current.get("AccessLogSettings"))}
    # 0 stands for "not set" where a control plane says it at all.
    if limits.get("ThrottlingRateLimit"):
        found["throttle_rate"] = float(limits["ThrottlingRateLimit"])
    if limits.get("ThrottlingBurstLimit"):
        found["throttle_burst"] = int(limits["ThrottlingBurstLimit"])
    return found


def _variables(current: Mapping[str, Any]) -> dict[str, str]:
    return dict((current.get("Environment") or {}).get("Variables", {}))
