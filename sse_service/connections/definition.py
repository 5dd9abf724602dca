"""What an API is, as far as its data plane must know: routes, integrations, authorizers, stage settings.

Plain values, free of how they were read. `api_to_json` and `api_from_json` round-trip an `ApiDefinition`, so
that a deployment (AWS: "Each stage is a snapshot of the API") can be kept in a file.

Source: API Gateway V2 API reference (CreateApi, CreateRoute, CreateIntegration, CreateAuthorizer,
CreateStage).
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sse_service.connections.errors import DefinitionError

CONNECT = "$connect"
DISCONNECT = "$disconnect"
DEFAULT = "$default"


class IntegrationType(StrEnum):
    """IntegrationType of CreateIntegration."""

    AWS = "AWS"
    AWS_PROXY = "AWS_PROXY"
    HTTP = "HTTP"
    HTTP_PROXY = "HTTP_PROXY"
    MOCK = "MOCK"

    @property
    def is_proxy(self) -> bool:
        """Whether the back end's answer is taken as it is, without integration responses."""
        return self in (IntegrationType.AWS_PROXY, IntegrationType.HTTP_PROXY)


class AuthorizationType(StrEnum):
    """AuthorizationType of CreateRoute, as far as it is valid for WebSocket APIs."""

    NONE = "NONE"
    AWS_IAM = "AWS_IAM"
    CUSTOM = "CUSTOM"


@dataclass(frozen=True)
class IntegrationResponse:
    """One row of CreateIntegrationResponse; `key` is `$default` or `/regular expression/`."""

    key: str
    templates: Mapping[str, str] = field(default_factory=dict)
    template_selection: str = ""


@dataclass(frozen=True)
class Integration:
    """The back end of one or more routes."""

    integration_id: str
    type: IntegrationType
    uri: str = ""
    method: str = "POST"
    timeout_s: float = 29.0
    templates: Mapping[str, str] = field(default_factory=dict)
    template_selection: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    responses: tuple[IntegrationResponse, ...] = ()


@dataclass(frozen=True)
class Route:
    """One route; `integration` is None when the target is missing or dangling (invoking it fails)."""

    route_key: str
    integration: Integration | None = None
    authorization: AuthorizationType = AuthorizationType.NONE
    authorizer_id: str = ""
    api_key_required: bool = False
    two_way: bool = False
    """Whether a `$default` route response exists: only then does a back end's answer reach the client.
    Source: "Set up route responses for WebSocket APIs" (apigateway-websocket-api-route-response.html)."""


@dataclass(frozen=True)
class Authorizer:
    """A REQUEST authorizer. Its results are never cached: AuthorizerResultTtlInSeconds is
    "Supported only for HTTP API Lambda authorizers" (CreateAuthorizer)."""

    authorizer_id: str
    uri: str
    identity_sources: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class ApiDefinition:
    """A deployable snapshot of an API."""

    api_id: str
    route_selection: str = "$request.body.action"
    routes: Mapping[str, Route] = field(default_factory=dict)
    authorizers: Mapping[str, Authorizer] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Throttle:
    """Token bucket settings of a route: requests a second, and how many at once."""

    rate: float
    burst: float


@dataclass(frozen=True)
class StageSettings:
    """What belongs to the stage, not to the deployment: it takes effect without a new deployment."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    default_throttle: Throttle | None = None
    route_throttles: Mapping[str, Throttle] = field(default_factory=dict)
    detailed_metrics: bool = False

    def throttle(self, route_key: str) -> Throttle | None:
        """The limits of one route: its own, else the stage's, else none."""
        return self.route_throttles.get(route_key, self.default_throttle)


_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}|\$\{stageVariables\['([A-Za-z0-9_]+)'\]\}")
_LAMBDA_PATH = re.compile(r":lambda:path/\d{4}-\d{2}-\d{2}/functions/(?P<arn>.+)/invocations$")


def substitute_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """Put stage variables into a URI; an unknown one becomes empty.

    Source: "Use stage variables" (amazon-api-gateway-using-stage-variables.html): `${stageVariables.name}` in
    integration and authorizer URIs.
    """
    if "${" not in text:
        return text
    return _STAGE_VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def lambda_arn(uri: str) -> str:
    """The function inside an integration or authorizer URI.

    `arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function ARN}/invocations`, as
    CreateIntegration documents; a bare function ARN is taken as well.
    Raises DefinitionError for anything else.
    """
    found = _LAMBDA_PATH.search(uri)
    if found:
        return found["arn"]
    if uri.startswith("arn:") and ":function:" in uri:
        return uri
    raise DefinitionError("uri", "is not the URI of a Lambda function")


def api_to_json(api: ApiDefinition) -> dict[str, Any]:
    """The definition as JSON values; `api_from_json` turns them back."""
    return asdict(api)


def api_from_json(raw: Mapping[str, Any]) -> ApiDefinition:
    """Rebuild what `api_to_json` made. Raises DefinitionError when it is something else."""
    try:
        return ApiDefinition(
            api_id=raw["api_id"],
            name=raw["name"],
            route_selection=raw["route_selection"],
            routes={key: _route_from_json(route) for key, route in raw["routes"].items()},
            authorizers={
                key: Authorizer(
                    authorizer_id=authorizer["authorizer_id"],
                    uri=authorizer["uri"],
                    identity_sources=tuple(authorizer["identity_sources"]),
                    name=authorizer["name"],
                )
                for key, authorizer in raw["authorizers"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DefinitionError("snapshot", f"is not a stored API definition ({error!r})") from error


def _route_from_json(raw: Mapping[str, Any]) -> Route:
    integration = raw["integration"]
    return Route(
        route_key=raw["route_key"],
        integration=None if integration is None else _integration_from_json(integration),
        authorization=AuthorizationType(raw["authorization"]),
        authorizer_id=raw["authorizer_id"],
        api_key_required=raw["api_key_required"],
        two_way=raw["two_way"],
    )


def _integration_from_json(raw: Mapping[str, Any]) -> Integration:
    return Integration(
        integration_id=raw["integration_id"],
        type=IntegrationType(raw["type"]),
        uri=raw["uri"],
        method=raw["method"],
        timeout_s=raw["timeout_s"],
        templates=dict(raw["templates"]),
        template_selection=raw["template_selection"],
        parameters=dict(raw["parameters"]),
        responses=tuple(
            IntegrationResponse(item["key"], dict(item["templates"]), item["template_selection"])
            for item in raw["responses"]
        ),
    )
