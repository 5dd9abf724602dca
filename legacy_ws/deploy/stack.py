"""Deploying a stack: the list of steps, and what comes out of it. until phase 3

Every step looks first and changes only what differs, everything made carries the stack's tag from its first
moment on: a deployment that stopped anywhere is continued by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import api as api_steps
from legacy_ws.deploy import functions as function_steps
from legacy_ws.deploy import logs as log_steps
from legacy_ws.deploy import queues as queue_steps
from legacy_ws.deploy import tables as table_steps
from legacy_ws.deploy.auth import Auth
from legacy_ws.deploy.deployed import Deployed, choose_app, look
from legacy_ws.deploy.environment import JWKS_URL, SECRET, function_environment
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.package import build_zip
from legacy_ws.deploy.policies import function_policy
from legacy_ws.deploy.shapes import dead_queue_shape, queue_shape, stage_shape
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, QueueSpec, StackNames, TableSpec
from legacy_ws.deploy.steps import Action, Done, Reporter, Step, run_steps
from legacy_ws.deploy.urls import management_url, websocket_url
from legacy_ws.deploy.variables import check_settings

__all__ = ["Deployment", "deploy", "names_of"]


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
    queues: Mapping[str, str]
    user_pool_id: str | None
    user_pool_client_id: str | None
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
    app: AppSpec | None,
    options: DeployOptions,
    *,
    report: Reporter,
    secret_made: Callable[[str], None],
    note: Callable[[str], None] = lambda _: None,
) -> Deployment:
    """Bring the stack to what `app` and `options` say; what they do not say stays as it is deployed.

    Args:
        app: None: the deployed one; where there is none, the one called like the stack, else rooms.
        report: told of each finished step.
        secret_made: gets a JWT secret that had to be made, once.
        note: gets what the user should know and need not act upon.
    Raises: StepFailedError: stopped at a step; run it again to continue. RefusedError. UsageError: nothing was made.
    """
    if app is not None:
        options.fitting(app)
    names = names_of(session, stack)
    api_steps.refuse_a_template(session.client("apigatewayv2"), names)
    app = choose_app(session, names, app)
    names = replace(names, app=app.name)
    deployed = look(session, names, app, options.stage)
    options = _kept_jwks(options.fitting(app), deployed, note)
    work = _Work(session, names, app, options, deployed, build_zip(), secret_made)
    work.check(note)
    done = run_steps(work.steps(), report)
    endpoint = session.client("apigatewayv2").get_api(ApiId=work.api_id)["ApiEndpoint"]
    return Deployment(
        stack=stack,
        app=app.name,
        api_id=work.api_id,
        stage=work.settings.stage,
        websocket_url=websocket_url(endpoint, work.settings.stage),
        management_url=management_url(endpoint, work.settings.stage),
        region=session.region,
        tables={table.name: names.table(table) for table in app.tables},
        functions={function.name: names.function(function) for function in app.functions},
        queues={queue.name: names.queue(queue) for queue in app.queues},
        user_pool_id=work.auth.user_pool_id or None,
        user_pool_client_id=work.auth.user_pool_client_id,
        zip_bytes=len(work.code),
        done=done,
    )


def _kept_jwks(options: DeployOptions, deployed: Deployed, note: Callable[[str], None]) -> DeployOptions:
    """A secret that only stands in the environment changes nothing about who signs the tokens of a stack."""
    if "jwt_secret" in options.ambient and deployed.authorizer.get(JWKS_URL):
        note(f"{SECRET} of the environment is not used: the stack's tokens are signed by its identity provider")
        note("hint: --jwt-secret gives it a secret instead")
        return options.without("jwt_secret")
    return options


class _Work:
    """One run: what the steps learn from each other."""

    def __init__(
        self,
        session: AwsSession,
        names: StackNames,
        app: AppSpec,
        options: DeployOptions,
        deployed: Deployed,
        code: bytes,
        secret_made: Callable[[str], None],
    ) -> None:
        self.names = names
        self.app = app
        self.options = options
        self.deployed = deployed
        self.settings = options.over(deployed.settings)
        self.code = code
        self.api_id = ""
        self.auth = Auth(session, names, app, options, deployed.authorizer, secret_made)
        self.queue_urls: dict[str, str] = {}
        self._session = session
        self._roles: dict[str, str] = {}
        self._arns: dict[str, str] = {}
        self._integrations: dict[str, str] = {}
        self._authorizer: str | None = None
        self._deployment = ""

    def check(self, note: Callable[[str], None]) -> None:
        """Raises: UsageError: the functions would refuse what they are told; said before anything is made."""
        for function in self.app.functions:
            check_settings(self._given(function))
        self.auth.check(note)

    def steps(self) -> list[Step]:
        """Everything in order of dependency; the stage, which lets clients in, comes last."""
        names, app = self.names, self.app
        gateway = self._session.client("apigatewayv2")
        steps: list[Step] = []
        for table in app.tables:
            steps += self._table_steps(table)
        for queue in app.queues:
            steps += self._queue_steps(queue)
        steps += self.auth.steps()
        set_api = partial(setattr, self, "api_id")
        steps.append(
            Step("api", names.stack, partial(api_steps.ensure_api, gateway, names, app.route_selection, set_api))
        )
        for function in app.functions:
            steps += self._function_steps(function)
        steps.append(Step("wait", "until every function is active", self._wait_active))
        for function in app.functions:
            steps += self._event_source_steps(function)
        for function in app.functions:
            steps += self._route_steps(function)
        steps.append(
            Step(
                "deployment",
                names.stack,
                lambda: api_steps.ensure_deployment(gateway, self.api_id, partial(setattr, self, "_deployment")),
            )
        )
        if self.settings.access_log:
            steps.append(self._log_group_step(names.access_log, lambda: False))
        steps.append(Step("stage", self.settings.stage, self._ensure_stage))
        return steps

    def _table_steps(self, table: TableSpec) -> list[Step]:
        client, names = self._session.client("dynamodb"), self.names
        name = names.table(table)
        steps = [Step("table", name, partial(table_steps.ensure_table, client, names, table))]
        steps += [
            Step("index", f"{name}.{index}", partial(table_steps.ensure_index, client, names, table, index))
            for index in table.indexes
        ]
        if table.ttl:
            steps.append(Step("ttl", f"{name}.{table.ttl}", partial(table_steps.ensure_ttl, client, names, table)))
        return steps

    def _queue_steps(self, queue: QueueSpec) -> list[Step]:
        client, names = self._session.client("sqs"), self.names
        name, dead = names.queue(queue), names.dead_queue(queue)
        set_url = partial(self.queue_urls.__setitem__, queue.name)
        ensure = partial(queue_steps.ensure_queue, client, names)
        return [
            # The queue names its dead-letter queue, which therefore comes first.
            Step("queue", dead, partial(ensure, dead, dead_queue_shape(queue), lambda _: None)),
            Step("queue", name, partial(ensure, name, queue_shape(queue, names), set_url)),
        ]

    def _event_source_steps(self, function: FunctionSpec) -> list[Step]:
        client, names = self._session.client("lambda"), self.names
        return [
            Step(
                "event source",
                f"{names.queue(queue)} -> {names.function(function)}",
                partial(
                    queue_steps.ensure_event_source, client, names, names.queue_arn(queue), names.function(function)
                ),
            )
            for queue in self.app.queues
            if queue.name == function.consumes
        ]

    def _log_group_step(self, name: str, ours: Callable[[], bool]) -> Step:
        client, days = self._session.client("logs"), self.settings.log_retention_days
        return Step("log group", name, lambda: log_steps.ensure_log_group(client, self.names, name, days, ours=ours()))

    def _function_steps(self, function: FunctionSpec) -> list[Step]:
        names, settings = self.names, self.settings
        iam = self._session.client("iam")
        lambda_client = self._session.client("lambda")
        set_role = partial(self._roles.__setitem__, function.name)
        return [
            self._log_group_step(
                names.log_group(function), partial(function_steps.is_ours, lambda_client, names, function)
            ),
            Step("role", names.role(function), partial(function_steps.ensure_role, iam, names, function, set_role)),
            Step(
                "policy",
                names.role(function),
                lambda: function_steps.ensure_role_policy(
                    iam,
                    names.role(function),
                    function_policy(self.app, function, names, self.api_id, settings.stage),
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
        steps = [Step("integration", name, partial(self._ensure_integration, function))] if function.routes else []
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
            runtime=self.settings.runtime,
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
        settings = self.settings
        shape = stage_shape(
            self.names, rate=settings.throttle_rate, burst=settings.throttle_burst, access_log=settings.access_log
        )
        return api_steps.ensure_stage(
            self._session.client("apigatewayv2"),
            self.names,
            self.api_id,
            settings.stage,
            self._deployment,
            shape,
        )

    def _given(self, function: FunctionSpec) -> dict[str, str]:
        """What somebody gave the function, now or before; an empty value takes it away."""
        told = {**self.deployed.given(function.name), **self.options.environment}
        return {name: value for name, value in told.items() if value}

    def _environment(self, function: FunctionSpec) -> dict[str, str]:
        return function_environment(
            self.app,
            function,
            self.names,
            shared=self._given(function),
            queue_urls=self.queue_urls,
            # Asked for once, by the authorizer: a secret that has to be made is made once.
            auth=self.auth.variables() if function.authorizer else {},
        )
