"""A stage as the data plane serves it: everything per route worked out once per deployment. Until phase 3.

A `Stage` object lives as long as the stage does; a new deployment or changed settings replace its contents,
so that open connections follow at their next message, as on AWS.
"""

from dataclasses import dataclass

from sse_service.connections.definition import (
    CONNECT,
    ApiDefinition,
    Integration,
    IntegrationType,
    Route,
    StageSettings,
    Throttle,
    lambda_arn,
    substitute_stage_variables,
)
from sse_service.connections.errors import DefinitionError
from sse_service.connections.limits import ConnectionLimits
from sse_service.connections.selection import SelectionExpression, select_route_key
from sse_service.connections.throttle import TokenBucket

MIN_TIMEOUT_S = 0.05
"""The shortest integration timeout AWS allows (quotas page: 50 milliseconds - 29 seconds)."""


@dataclass(frozen=True)
class RoutePlan:
    """What to do for a route: the integration with its variables filled in."""

    key: str
    route: Route
    integration: Integration | None
    function: str | None
    """The function's ARN for a Lambda integration."""
    uri: str
    timeout_s: float
    bucket: TokenBucket | None
    problem: str = ""
    """Why the integration cannot be called, for the log."""


class Stage:
    """The current deployment of a stage."""

    def __init__(self, api_id: str, name: str, region: str) -> None:
        self.api_id = api_id
        self.name = name
        self.region = region
        self.settings = StageSettings(name)
        self.api: ApiDefinition | None = None
        self.plans: dict[str, RoutePlan] = {}
        self._expression = SelectionExpression("")
        self._buckets: dict[str, tuple[Throttle, TokenBucket]] = {}

    @property
    def deployed(self) -> bool:
        """Whether anything was ever deployed to this stage; without it connects are refused."""
        return self.api is not None

    def serve(self, api: ApiDefinition | None, settings: StageSettings, limits: ConnectionLimits, now_s: float) -> None:
        """Take over a deployment and settings; does nothing when both are what is served already."""
        if api == self.api and settings == self.settings:
            return
        self.settings = settings
        self.api = api
        self.plans = {}
        if api is None:
            return
        self._expression = SelectionExpression(api.route_selection)
        for key, route in api.routes.items():
            self.plans[key] = self._plan(key, route, limits, now_s)

    def plan_for(self, body: str) -> RoutePlan | None:
        """The plan of the route that takes a message; None when no route does."""
        key = select_route_key(self._expression, self.plans, body)
        return None if key is None else self.plans[key]

    def connect_bucket(self, now_s: float) -> TokenBucket | None:
        """The throttle of new connections, which holds without a `$connect` route, too."""
        plan = self.plans.get(CONNECT)
        return plan.bucket if plan else self._bucket(CONNECT, now_s)

    def _plan(self, key: str, route: Route, limits: ConnectionLimits, now_s: float) -> RoutePlan:
        integration = route.integration
        function, uri, problem = None, "", ""
        timeout_s = limits.integration_s
        if integration is None:
            problem = "the route has no integration"
        else:
            timeout_s = max(MIN_TIMEOUT_S, min(integration.timeout_s, limits.integration_s))
            uri = substitute_stage_variables(integration.uri, self.settings.variables)
            if integration.type in (IntegrationType.AWS, IntegrationType.AWS_PROXY):
                try:
                    function = lambda_arn(uri)
                except DefinitionError as error:
                    problem = str(error)
        return RoutePlan(key, route, integration, function, uri, timeout_s, self._bucket(key, now_s), problem)

    def _bucket(self, key: str, now_s: float) -> TokenBucket | None:
        throttle = self.settings.throttle(key)
        if throttle is None:
            self._buckets.pop(key, None)
            return None
        kept = self._buckets.get(key)
        if kept is None or kept[0] != throttle:
            kept = (throttle, TokenBucket(throttle.rate, throttle.burst, now_s))
            self._buckets[key] = kept
        return kept[1]
