"""A stage as the data plane serves it: everything per route worked out once per deployment. Until phase 3.

A `Stage` object lives as long as the stage does; a new deployment or changed settings replace its contents,
so that open connections follow at their next message, as on AWS.
"""

from sse_service.connections.definition import (
    CONNECT,
    ApiDefinition,
    StageSettings,
    Throttle,
)
from sse_service.connections.limits import ConnectionLimits
from sse_service.connections.selection import SelectionExpression, select_route_key
from sse_service.connections.throttle import TokenBucket
from sse_service.virtual.plan import RoutePlan, plan_route


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
            self.plans[key] = plan_route(key, route, settings, limits, self._bucket(key, now_s))

    def plan_for(self, body: str) -> RoutePlan | None:
        """The plan of the route that takes a message; None when no route does."""
        key = select_route_key(self._expression, self.plans, body)
        return None if key is None else self.plans[key]

    def connect_bucket(self, now_s: float) -> TokenBucket | None:
        """The throttle of new connections, which holds without a `$connect` route, too."""
        plan = self.plans.get(CONNECT)
        return plan.bucket if plan else self._bucket(CONNECT, now_s)

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
