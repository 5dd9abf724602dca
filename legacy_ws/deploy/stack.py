"""Deploying a stack: the list of steps, and what comes out of it. until phase 3

Every step looks first and changes only what differs, everything made carries the stack's tag from its first
moment on: a deployment that stopped anywhere is continued by running it again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from legacy_ws.auth_settings import MIN_SECRET_BYTES
from legacy_ws.aws import AwsSession
from legacy_ws.deploy import api as api_steps
from legacy_ws.deploy import functions as function_steps
from legacy_ws.deploy import tables as table_steps
from legacy_ws.deploy.package import build_zip
from legacy_ws.deploy.policies import function_policy
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, StackNames
from legacy_ws.deploy.steps import Action, Done, Reporter, Step, run_steps
from legacy_ws.deploy.urls import management_url, websocket_url
from legacy_ws.errors import UsageError

__all__ = ["RUNTIMES", "DeployOptions", "Deployment", "deploy", "names_of"]

RUNTIMES = ("python3.11", "python3.12", "python3.13")
_SECRET = "LEGACY_WS_JWT_SECRET"  # noqa: S105 -- the name, not the secret


@dataclass(frozen=True)
class DeployOptions:
    """What `deploy` can be told.

    Args:
        stage: name of the stage.
        runtime: one of RUNTIMES.
        jwt_secret: key of the tokens; None keeps the deployed one, or makes one.
        jwt_issuer, jwt_audience: demanded of the tokens when given.
        environment: more LEGACY_WS_* settings for every function.
        throttle_rate: messages per second of the stage.
        throttle_burst: messages at once.
        log_retention_days: of each function's log group.
    """

    stage: str = "prod"
    runtime: str = "python3.13"
    jwt_secret: str | None = field(default=None, repr=False)
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    throttle_rate: float = 5000.0
    throttle_burst: int = 2500
    log_retention_days: int = 14

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise UsageError(f"runtime {self.runtime!r} is not supported", f"use one of {', '.join(RUNTIMES)}")
        if self.jwt_secret is not None and len(self.jwt_secret.encode()) < MIN_SECRET_BYTES:
            raise UsageError(
                "the JWT secret is too short", f"HS256 needs at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)"
            )


@dataclass(frozen=True)
class Deployment:
    """A deployed stack; `done` says what each step did."""

    stack: str
    app: str
    api_id: str
    stage: str
    websocket_url: str
    management_url: str
    region: str
    tables: Mapping[str, str]
    functions: Mapping[str, str]
    zip_bytes: int
    done: list[Done]


def names_of(session: AwsSession, stack: str) -> StackNames:
    """Names of a stack in the session's account and region. Raises: UsageError: no stack name."""
    StackNames(stack, session.region, "")  # before the first call: a wrong name is said at once
    identity = session.client("sts").get_caller_identity()
    return StackNames(stack, session.region, identity["Account"], identity["Arn"].split(":")[1])


def deploy(
    session: AwsSession,
    stack: str,
    app: AppSpec,
    options: DeployOptions,
    *,
    report: Reporter,
    secret_made: Callable[[str], None],
) -> Deployment:
    """Bring the stack to what `app` and `options` say.

    Args:
        report: told of each finished step.
        secret_made: gets a JWT secret that had to be made, once.
    Raises: StepFailedError, RefusedError: stopped at a step; run it again to continue. UsageError.
    """
    names = names_of(session, stack)
    work = _Work(session, names, app, options, build_zip(), secret_made)
    done = run_steps(work.steps(), report)
    endpoint = session.client("apigatewayv2").get_api(ApiId=work.api_id)["ApiEndpoint"]
    return Deployment(
        stack=stack,
        app=app.name,
        api_id=work.api_id,
        stage=options.stage,
        websocket_url=websocket_url(endpoint, options.stage),
        management_url=management_url(endpoint, options.stage),
        region=session.region,
        tables={table.name: names.table(table) for table in app.tables},
        functions={function.name: names.function(function) for function in app.functions},
        zip_bytes=len(work.code),
        done=done,
    )


class _Work:
    """One run: what the steps learn from each other."""

    def __init__(
        self,
        session: AwsSession,
        names: StackNames,
        app: AppSpec,
        options: DeployOptions,
        code: bytes,
        secret_made: Callable[[str], None],
    ) -> None:
        self.names = names
        self.app = app
        self.options = options
        self.code = code
        self.api_id = ""
        self._session = session
        self._secret_made = secret_made
        self._roles: dict[str, str] = {}
        self._arns: dict[str, str] = {}
        self._integrations: dict[str, str] = {}
        self._authorizer: str | None = None
        self._deployment = ""

    def steps(self) -> list[Step]:
        """Everything in order of dependency; the stage, which lets clients in, comes last."""
        names, app = self.names, self.app
        ddb = self._session.client("dynamodb")
        gateway = self._session.client("apigatewayv2")
        steps = []
        for table in app.tables:
            name = names.table(table)
            steps.append(Step("table", name, partial(table_steps.ensure_table, ddb, names, table)))
            if table.ttl:
                steps.append(Step("ttl", f"{name}.{table.ttl}", partial(table_steps.ensure_ttl, ddb, names, table)))
        set_api = partial(setattr, self, "api_id")
        steps.append(
            Step("api", names.stack, partial(api_steps.ensure_api, gateway, names, app.route_selection, set_api))
        )
        for function in app.functions:
            steps += self._function_steps(function)
        steps.append(Step("wait", "until every function is active", self._wait_active))
        for function in app.functions:
            steps += self._route_steps(function)
        steps.append(
            Step(
                "deployment",
                names.stack,
                lambda: api_steps.ensure_deployment(gateway, self.api_id, partial(setattr, self, "_deployment")),
            )
        )
        steps.append(Step("stage", self.options.stage, self._ensure_stage))
        return steps

    def _function_steps(self, function: FunctionSpec) -> list[Step]:
        names, options = self.names, self.options
        logs, iam = self._session.client("logs"), self._session.client("iam")
        lambda_client = self._session.client("lambda")
        set_role = partial(self._roles.__setitem__, function.name)
        return [
            Step(
                "log group",
                names.log_group(function),
                partial(
                    function_steps.ensure_log_group, logs, lambda_client, names, function, options.log_retention_days
                ),
            ),
            Step("role", names.role(function), partial(function_steps.ensure_role, iam, names, function, set_role)),
            Step(
                "policy",
                names.role(function),
                lambda: function_steps.ensure_role_policy(
                    iam,
                    names.role(function),
                    function_policy(self.app, function, names, self.api_id, options.stage),
                ),
            ),
            Step("function", names.function(function), partial(self._ensure_function, function)),
        ]

    def _route_steps(self, function: FunctionSpec) -> list[Step]:
        name = self.names.function(function)
        if function.authorizer:
            return [
                Step("authorizer", name, partial(self._ensure_authorizer, function)),
                Step(
                    "permission",
                    f"{name} authorizer",
                    lambda: self._ensure_permission(function, "authorizer", f"authorizers/{self._authorizer}"),
                ),
            ]
        steps = [Step("integration", name, partial(self._ensure_integration, function))]
        for key in function.routes:
            steps += [
                # The permission first: a route must never be served by a function that API Gateway may not
                # call.
                Step("permission", f"{name} {key}", partial(self._ensure_permission, function, key, f"*/{key}")),
                Step("route", key, partial(self._ensure_route, function, key)),
            ]
        return steps

    def _ensure_function(self, function: FunctionSpec) -> Action:
        client = self._session.client("lambda")
        config = function_steps.FunctionConfig(
            role_arn=self._roles[function.name],
            runtime=self.options.runtime,
            code=self.code,
            environment=self._environment(function),
        )
        set_arn = partial(self._arns.__setitem__, function.name)
        return function_steps.ensure_function(client, self.names, function, config, set_arn)

    def _wait_active(self) -> Action:
        for function in self.app.functions:
            function_steps.wait_active(self._session.client("lambda"), self.names.function(function))
        return "done"

    def _ensure_authorizer(self, function: FunctionSpec) -> Action:
        uri = self.names.invocation_uri(self._arns[function.name])
        found = partial(setattr, self, "_authorizer")
        return api_steps.ensure_authorizer(self._session.client("apigatewayv2"), self.api_id, uri, found)

    def _ensure_integration(self, function: FunctionSpec) -> Action:
        uri = self.names.invocation_uri(self._arns[function.name])
        found = partial(self._integrations.__setitem__, function.name)
        return api_steps.ensure_integration(self._session.client("apigatewayv2"), self.api_id, uri, found)

    def _ensure_route(self, function: FunctionSpec, key: str) -> Action:
        client = self._session.client("apigatewayv2")
        authorizer = self._authorizer if key == "$connect" else None
        return api_steps.ensure_route(client, self.api_id, key, self._integrations[function.name], authorizer)

    def _ensure_permission(self, function: FunctionSpec, purpose: str, tail: str) -> Action:
        statement_id = "ws2sse-" + "".join(letter if letter.isalnum() else "_" for letter in purpose)
        return function_steps.ensure_permission(
            self._session.client("lambda"),
            self.names.function(function),
            statement_id,
            self.names.execute_api_arn(self.api_id, tail),
        )

    def _ensure_stage(self) -> Action:
        settings: api_steps.StageSettings = {
            "ThrottlingRateLimit": self.options.throttle_rate,
            "ThrottlingBurstLimit": self.options.throttle_burst,
            "DetailedMetricsEnabled": True,
        }
        return api_steps.ensure_stage(
            self._session.client("apigatewayv2"),
            self.names,
            self.api_id,
            self.options.stage,
            self._deployment,
            settings,
        )

    def _environment(self, function: FunctionSpec) -> dict[str, str]:
        """Settings of one function: the tables it has to do with, and the secret only where it is needed."""
        environment = dict(self.options.environment)
        granted = {grant.on for grant in function.grants}
        environment |= {
            table.env: self.names.table(table)
            for table in self.app.tables
            if table.name in granted or (table.name == "connections" and granted)
        }
        if function.authorizer:
            environment[_SECRET] = self._secret(function)
            if self.options.jwt_issuer:
                environment["LEGACY_WS_JWT_ISSUER"] = self.options.jwt_issuer
            if self.options.jwt_audience:
                environment["LEGACY_WS_JWT_AUDIENCE"] = self.options.jwt_audience
        return environment

    def _secret(self, function: FunctionSpec) -> str:
        if self.options.jwt_secret:
            return self.options.jwt_secret
        current = function_steps.configuration(self._session.client("lambda"), self.names.function(function))
        deployed = ((current or {}).get("Environment") or {}).get("Variables", {}).get(_SECRET)
        if deployed:
            return str(deployed)
        made = secrets.token_urlsafe(48)
        self._secret_made(made)
        return made
