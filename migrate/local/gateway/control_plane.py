"""Reads one API from the control plane through boto3 `apigatewayv2`. Blocking; called in a thread. Until
phase 3."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from migrate.local.gateway.errors import ControlPlaneUnavailableError
from sse_service.connections.definition import (
    DEFAULT,
    ApiDefinition,
    AuthorizationType,
    Authorizer,
    Integration,
    IntegrationResponse,
    IntegrationType,
    Route,
    StageSettings,
    Throttle,
)

_TARGET = "integrations/"


@dataclass(frozen=True)
class StageRow:
    """A stage as the control plane has it."""

    settings: StageSettings
    deployment_id: str | None
    auto_deploy: bool


@dataclass(frozen=True)
class ApiView:
    """An API's current definition, its stages, and its deployments, oldest first."""

    api: ApiDefinition
    region: str
    stages: tuple[StageRow, ...]
    deployment_ids: tuple[str, ...]


class ControlPlaneReader:
    """Finds APIs in whatever region they were created; the configured region is asked first."""

    def __init__(self, url: str, region: str) -> None:
        self.url = url
        self.region = region
        self._clients: dict[str, Any] = {}
        self._regions: dict[str, str] = {}

    def read(self, api_id: str) -> ApiView | None:
        """The API, or None when no region has it or it is no WebSocket API.

        Raises ControlPlaneUnavailableError.
        """
        with _errors(self.url):
            for region in self._candidates(api_id):
                client = self._client(region)
                try:
                    api = client.get_api(ApiId=api_id)
                    # Ids are unique: once found, no other region needs asking, now or later.
                    self._regions[api_id] = region
                    self._clients[region] = client
                    return self._view(client, region, api_id, api)
                except client.exceptions.NotFoundException:
                    continue
        return None

    def _candidates(self, api_id: str) -> Iterable[str]:
        if api_id in self._regions:
            return (self._regions[api_id],)
        every = boto3.session.Session().get_available_regions("apigatewayv2")
        return dict.fromkeys((self.region, "us-east-1", *every))

    def _client(self, region: str) -> Any:
        if region in self._clients:
            return self._clients[region]
        return boto3.client(
            "apigatewayv2",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - any value does
            config=Config(retries={"max_attempts": 2}, connect_timeout=3, read_timeout=15),
        )

    def _view(self, client: Any, region: str, api_id: str, api: dict[str, Any]) -> ApiView | None:
        if api.get("ProtocolType") != "WEBSOCKET":
            return None
        integrations = {
            row["IntegrationId"]: _integration(client, api_id, row)
            for row in _items(client.get_integrations, ApiId=api_id)
        }
        authorizers = [_authorizer(row) for row in _items(client.get_authorizers, ApiId=api_id)]
        routes = [_route(client, api_id, row, integrations) for row in _items(client.get_routes, ApiId=api_id)]
        stages = tuple(_stage(row) for row in _items(client.get_stages, ApiId=api_id))
        deployments = sorted(_items(client.get_deployments, ApiId=api_id), key=lambda row: str(row["CreatedDate"]))
        definition = ApiDefinition(
            api_id=api_id,
            name=api.get("Name", ""),
            route_selection=api.get("RouteSelectionExpression") or "$request.body.action",
            routes={route.route_key: route for route in routes},
            authorizers={authorizer.authorizer_id: authorizer for authorizer in authorizers},
        )
        return ApiView(definition, region, stages, tuple(row["DeploymentId"] for row in deployments))


class _errors:  # noqa: N801 - reads as a clause at its uses
    """Turns the SDK's failures into ours."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BotoCoreError | ClientError):
            raise ControlPlaneUnavailableError(self.url, str(error)) from error
        if isinstance(error, KeyError | ValueError):
            raise ControlPlaneUnavailableError(self.url, f"unexpected answer, {error!r}") from error


def _items(call: Any, **arguments: str) -> Iterator[dict[str, Any]]:
    token = None
    while True:
        page = call(**arguments, **({"NextToken": token} if token else {}))
        yield from page.get("Items", [])
        token = page.get("NextToken")
        if not token:
            return


def _integration(client: Any, api_id: str, row: dict[str, Any]) -> Integration:
    kind = IntegrationType(row["IntegrationType"])
    responses: tuple[IntegrationResponse, ...] = ()
    if not kind.is_proxy:
        responses = tuple(
            IntegrationResponse(
                key=item["IntegrationResponseKey"],
                templates=item.get("ResponseTemplates") or {},
                template_selection=item.get("TemplateSelectionExpression", ""),
            )
            for item in _items(client.get_integration_responses, ApiId=api_id, IntegrationId=row["IntegrationId"])
        )
    return Integration(
        integration_id=row["IntegrationId"],
        type=kind,
        uri=row.get("IntegrationUri", ""),
        method=row.get("IntegrationMethod") or "POST",
        timeout_s=row.get("TimeoutInMillis", 29000) / 1000,
        templates=row.get("RequestTemplates") or {},
        template_selection=row.get("TemplateSelectionExpression", ""),
        parameters=row.get("RequestParameters") or {},
        responses=responses,
    )


def _route(client: Any, api_id: str, row: dict[str, Any], integrations: dict[str, Integration]) -> Route:
    target = row.get("Target") or ""
    answers = _items(client.get_route_responses, ApiId=api_id, RouteId=row["RouteId"])
    return Route(
        route_key=row["RouteKey"],
        integration=integrations.get(target.removeprefix(_TARGET).rsplit("/", 1)[-1]),
        authorization=AuthorizationType(row.get("AuthorizationType") or "NONE"),
        authorizer_id=row.get("AuthorizerId") or "",
        api_key_required=bool(row.get("ApiKeyRequired")),
        two_way=any(answer["RouteResponseKey"] == DEFAULT for answer in answers),
    )


def _authorizer(row: dict[str, Any]) -> Authorizer:
    sources = row.get("IdentitySource") or []
    return Authorizer(
        authorizer_id=row["AuthorizerId"],
        uri=row.get("AuthorizerUri", ""),
        identity_sources=tuple([sources] if isinstance(sources, str) else sources),
        name=row.get("Name", ""),
    )


def _throttle(row: dict[str, Any]) -> Throttle | None:
    rate, burst = row.get("ThrottlingRateLimit"), row.get("ThrottlingBurstLimit")
    if rate is None and burst is None:
        return None
    # One of the two alone: the other follows the account's limit, which is not modelled here.
    return Throttle(rate=1e9 if rate is None else float(rate), burst=1e9 if burst is None else float(burst))


def _stage(row: dict[str, Any]) -> StageRow:
    defaults = row.get("DefaultRouteSettings") or {}
    throttles = {key: _throttle(item) for key, item in (row.get("RouteSettings") or {}).items()}
    return StageRow(
        settings=StageSettings(
            name=row["StageName"],
            variables=row.get("StageVariables") or {},
            default_throttle=_throttle(defaults),
            route_throttles={key: item for key, item in throttles.items() if item is not None},
            detailed_metrics=bool(defaults.get("DetailedMetricsEnabled")),
        ),
        deployment_id=row.get("DeploymentId") or None,
        auto_deploy=bool(row.get("AutoDeploy")),
    )
