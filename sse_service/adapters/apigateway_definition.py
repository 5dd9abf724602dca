"""Reads a WebSocket API of API Gateway v2: its routes, integrations, authorizers, and one stage's settings.

What is read is the API as it is now; what a deployment's snapshot held cannot be read (API Gateway V2 API reference,
GetDeployment). Needs apigateway:GET.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

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
from sse_service.errors import StartupError
from sse_service.settings import Settings

__all__ = ["read_api"]

_TARGET = "integrations/"
UNLIMITED = 1e9
"""One of rate and burst alone: the other follows the account's limit, which is not modelled here."""


async def read_api(settings: Settings) -> tuple[ApiDefinition, StageSettings]:
    """The API SSE_VIRTUAL_API_ID with its stage SSE_VIRTUAL_STAGE. Raises StartupError."""
    config = AioConfig(connect_timeout=3, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})
    try:
        async with get_session().create_client(
            "apigatewayv2",
            region_name=settings.region,
            endpoint_url=settings.aws_endpoint_url or None,
            config=config,
        ) as client:
            return await _Reader(client, settings.virtual_api_id).read(settings.virtual_stage)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "NotFoundException":
            raise StartupError(
                f"no API {settings.virtual_api_id} with a stage {settings.virtual_stage} in {settings.region}",
                "check SSE_VIRTUAL_API_ID, SSE_VIRTUAL_STAGE and AWS_REGION",
            ) from None
        raise StartupError(f"API Gateway: {code}", "check the credentials; they need apigateway:GET") from None
    except (BotoCoreError, ValueError, KeyError) as error:
        raise StartupError(
            f"API {settings.virtual_api_id} cannot be read: {error}", "check AWS_REGION and AWS_ENDPOINT_URL"
        ) from None


@dataclass(frozen=True)
class _Reader:
    client: Any
    api_id: str

    async def read(self, stage: str) -> tuple[ApiDefinition, StageSettings]:
        api = await self.client.get_api(ApiId=self.api_id)
        if api.get("ProtocolType") != "WEBSOCKET":
            raise ValueError(f"it is a {api.get('ProtocolType')} API, not WEBSOCKET")
        stage_row = await self.client.get_stage(ApiId=self.api_id, StageName=stage)
        integrations = {
            row["IntegrationId"]: await self._integration(row) async for row in self._items("get_integrations")
        }
        authorizers = [_authorizer(row) async for row in self._items("get_authorizers")]
        routes = [await self._route(row, integrations) async for row in self._items("get_routes")]
        definition = ApiDefinition(
            api_id=self.api_id,
            name=api.get("Name", ""),
            route_selection=api.get("RouteSelectionExpression") or "$request.body.action",
            routes={route.route_key: route for route in routes},
            authorizers={authorizer.authorizer_id: authorizer for authorizer in authorizers},
        )
        return definition, _stage(stage_row)

    async def _items(self, operation: str, **more: str) -> AsyncIterator[dict[str, Any]]:
        token = None
        while True:
            paging: dict[str, str] = {"NextToken": token} if token else {}
            page = await getattr(self.client, operation)(ApiId=self.api_id, **more, **paging)
            for item in page.get("Items", []):
                yield item
            token = page.get("NextToken")
            if not token:
                return

    async def _integration(self, row: dict[str, Any]) -> Integration:
        kind = IntegrationType(row["IntegrationType"])
        responses: list[IntegrationResponse] = []
        if not kind.is_proxy:
            responses = [
                IntegrationResponse(
                    key=item["IntegrationResponseKey"],
                    templates=item.get("ResponseTemplates") or {},
                    template_selection=item.get("TemplateSelectionExpression", ""),
                )
                async for item in self._items("get_integration_responses", IntegrationId=row["IntegrationId"])
            ]
        return Integration(
            integration_id=row["IntegrationId"],
            type=kind,
            uri=row.get("IntegrationUri", ""),
            method=row.get("IntegrationMethod") or "POST",
            timeout_s=row.get("TimeoutInMillis", 29000) / 1000,
            templates=row.get("RequestTemplates") or {},
            template_selection=row.get("TemplateSelectionExpression", ""),
            parameters=row.get("RequestParameters") or {},
            responses=tuple(responses),
        )

    async def _route(self, row: dict[str, Any], integrations: dict[str, Integration]) -> Route:
        answers = [item async for item in self._items("get_route_responses", RouteId=row["RouteId"])]
        target = row.get("Target") or ""
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
    return Throttle(rate=UNLIMITED if rate is None else float(rate), burst=UNLIMITED if burst is None else float(burst))


def _stage(row: dict[str, Any]) -> StageSettings:
    throttles = {key: _throttle(item) for key, item in (row.get("RouteSettings") or {}).items()}
    return StageSettings(
        name=row["StageName"],
        variables=row.get("StageVariables") or {},
        default_throttle=_throttle(row.get("DefaultRouteSettings") or {}),
        route_throttles={key: item for key, item in throttles.items() if item is not None},
    )
