"""What is to be called for which route: everything worked out once, when the service starts. Pure.

A target is a Lambda function (`lambda_arn` of the core's URIs, or `lambda:name`) or a handler of this process
(`python:module:function`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sse_service.connections.definition import (
    CONNECT,
    ApiDefinition,
    Integration,
    IntegrationType,
    Route,
    StageSettings,
    lambda_arn,
    substitute_stage_variables,
)
from sse_service.connections.errors import DefinitionError
from sse_service.connections.limits import ConnectionLimits
from sse_service.connections.selection import SelectionExpression, select_route_key
from sse_service.connections.throttle import TokenBucket

__all__ = ["LAMBDA", "PYTHON", "ApiPlan", "RoutePlan", "plan_route", "target_of"]

PYTHON = "python:"
LAMBDA = "lambda:"

MIN_TIMEOUT_S = 0.05
"""The shortest integration timeout AWS allows (quotas page: 50 milliseconds - 29 seconds)."""


def target_of(uri: str) -> str:
    """`python:module:function`, or the name or ARN of a function. Raises DefinitionError."""
    if uri.startswith(PYTHON):
        return uri
    return uri.removeprefix(LAMBDA) if uri.startswith(LAMBDA) else lambda_arn(uri)


@dataclass(frozen=True)
class RoutePlan:
    """target: see target_of; None where something else than a function is called. problem: why nothing can be."""

    key: str
    route: Route
    integration: Integration | None
    target: str | None
    uri: str
    timeout_s: float
    bucket: TokenBucket | None
    problem: str = ""


def plan_route(
    key: str, route: Route, stage: StageSettings, limits: ConnectionLimits, bucket: TokenBucket | None
) -> RoutePlan:
    """What is to be done for a route, with the stage's variables filled in."""
    integration = route.integration
    target, uri, problem = None, "", ""
    timeout_s = limits.integration_s
    if integration is None:
        problem = "the route has no integration"
    else:
        timeout_s = max(MIN_TIMEOUT_S, min(integration.timeout_s, timeout_s))
        uri = substitute_stage_variables(integration.uri, stage.variables)
        if integration.type in (IntegrationType.AWS, IntegrationType.AWS_PROXY):
            try:
                target = target_of(uri)
            except DefinitionError as error:
                problem = str(error)
    return RoutePlan(key, route, integration, target, uri, timeout_s, bucket, problem)


class ApiPlan:
    """An API's routes as they are served. region: of the method ARN that authorizers are given."""

    def __init__(
        self, api: ApiDefinition, stage: StageSettings, limits: ConnectionLimits, *, region: str, now_s: float
    ) -> None:
        self.api = api
        self.stage = stage
        self.region = region
        self._now_s = now_s
        self._expression = SelectionExpression(api.route_selection)
        self.plans = {
            key: plan_route(key, route, stage, limits, self._bucket(key)) for key, route in api.routes.items()
        }
        connect = self.plans.get(CONNECT)
        self.connect_bucket = connect.bucket if connect else self._bucket(CONNECT)

    def plan_for(self, body: str) -> RoutePlan | None:
        """The plan of the route that takes a message; None when no route does."""
        key = select_route_key(self._expression, self.plans, body)
        return None if key is None else self.plans[key]

    def targets(self) -> set[str]:
        """Everything that may be called, authorizers included; what cannot be is left out."""
        found = {plan.target for plan in self.plans.values() if plan.target}
        for authorizer in self.api.authorizers.values():
            try:
                found.add(self.authorizer_target(authorizer.uri))
            except DefinitionError:
                continue
        return found

    def authorizer_target(self, uri: str) -> str:
        """Raises DefinitionError."""
        return target_of(substitute_stage_variables(uri, self.stage.variables))

    def problems(self) -> list[str]:
        """One line for each route that can only fail."""
        return [f"route {key}: {plan.problem}" for key, plan in self.plans.items() if plan.problem]

    def _bucket(self, key: str) -> TokenBucket | None:
        throttle = self.stage.throttle(key)
        return None if throttle is None else TokenBucket(throttle.rate, throttle.burst, self._now_s)
