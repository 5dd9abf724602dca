"""Ensure-steps of the WebSocket API: API, authorizer, integrations, routes, deployment, stage. until phase 3

Source: Amazon API Gateway V2 API reference (CreateApi ... CreateStage). A deployment is a snapshot of the
routes: a stage goes on serving the old ones until it is given a new deployment. So each deployment carries
a fingerprint of what it is a snapshot of, and a new one is made exactly when none has the fingerprint of
what is there now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from legacy_ws.aws import AWS_ERRORS
from legacy_ws.deploy.shapes import AUTHORIZER_NAME, INTEGRATION_TIMEOUT_MS
from legacy_ws.deploy.spec import APP_TAG, CLOUDFORMATION_TAG, TAG, StackNames
from legacy_ws.deploy.steps import Action
from legacy_ws.errors import RefusedError, StepFailedError

__all__ = [
    "app_tag",
    "ensure_api",
    "ensure_authorizer",
    "ensure_deployment",
    "ensure_integration",
    "ensure_route",
    "ensure_stage",
    "ensure_target",
    "ensure_two_way",
    "find_api",
    "listed",
    "refuse_a_template",
]


_ANY_RESPONSE = "$default"


def listed(client: Any, operation: str, **arguments: object) -> list[dict[str, Any]]:
    """Every item of a `get_*` call, all pages."""
    pages = client.get_paginator(operation).paginate(**arguments)
    return [item for page in pages for item in page.get("Items", [])]


def find_api(client: Any, stack: str) -> dict[str, Any] | None:
    """The WebSocket API of a stack; None when there is none. Raises: RefusedError: there are several."""
    found = [
        api
        for api in listed(client, "get_apis")
        if api.get("ProtocolType") == "WEBSOCKET" and api.get("Tags", {}).get(TAG) == stack
    ]
    if len(found) > 1:
        ids = ", ".join(sorted(api["ApiId"] for api in found))
        raise RefusedError(
            f"stack {stack} has several APIs: {ids}",
            "two deploys ran at once: delete the one that is not used (legacy-ws ws-delete API), then deploy again",
        )
    return found[0] if found else None


def app_tag(client: Any, names: StackNames, api: Mapping[str, Any]) -> str | None:
    """What application the API says it is; None when it was made before there was such a tag."""
    tags = api.get("Tags", {})
    if APP_TAG not in tags:
        # Some control planes show with an API only the tags it was made with.
        tags = client.get_tags(ResourceArn=names.api_arn(api["ApiId"])).get("Tags", {})
    found: str | None = tags.get(APP_TAG)
    return found


def refuse_a_template(client: Any, names: StackNames) -> None:
    """Raises: RefusedError: CloudFormation made the stack, and would not know of a change."""
    made_by = (find_api(client, names.stack) or {}).get("Tags", {}).get(CLOUDFORMATION_TAG)
    if made_by:
        raise RefusedError(
            f"stack {names.stack} was made by CloudFormation (stack {made_by}), which would not know of a change",
            f"update it there: legacy-ws template APP --stack {names.stack} > template.yaml;"
            f" aws cloudformation deploy --stack-name {made_by} --template-file template.yaml",
        )


def ensure_api(client: Any, names: StackNames, route_selection: str, found: Callable[[str], None]) -> Action:
    """The API exists and chooses routes by `route_selection`; its id goes to `found`."""
    api = find_api(client, names.stack)
    if api is None:
        api = client.create_api(
            Name=names.stack,
            ProtocolType="WEBSOCKET",
            RouteSelectionExpression=route_selection,
            Tags=names.app_tags,
        )
        found(api["ApiId"])
        return "created"
    found(api["ApiId"])
    action: Action = "unchanged"
    if names.app is not None and app_tag(client, names, api) != names.app:
        # Made before there was a tag for the application.
        client.tag_resource(ResourceArn=names.api_arn(api["ApiId"]), Tags=names.app_tags)
        action = "updated"
    if api.get("RouteSelectionExpression") != route_selection:
        client.update_api(ApiId=api["ApiId"], RouteSelectionExpression=route_selection)
        action = "updated"
    return action


def ensure_authorizer(client: Any, api_id: str, uri: str, found: Callable[[str], None]) -> Action:
    """The API's REQUEST authorizer calls `uri`; its id goes to `found`.

    No identity source is named: API Gateway demands every one that is named, and answers 401 by itself when
    one is missing, but a token comes either in the query or in a header.
    """
    for authorizer in listed(client, "get_authorizers", ApiId=api_id):
        if authorizer["Name"] == AUTHORIZER_NAME:
            found(authorizer["AuthorizerId"])
            if authorizer.get("AuthorizerUri") == uri and not authorizer.get("IdentitySource"):
                return "unchanged"
            client.update_authorizer(
                ApiId=api_id, AuthorizerId=authorizer["AuthorizerId"], AuthorizerUri=uri, IdentitySource=[]
            )
            return "updated"
    created = client.create_authorizer(
        ApiId=api_id,
        Name=AUTHORIZER_NAME,
        AuthorizerType="REQUEST",
        AuthorizerUri=uri,
        IdentitySource=[],
    )
    found(created["AuthorizerId"])
    return "created"


def ensure_integration(client: Any, api_id: str, uri: str, found: Callable[[str], None]) -> Action:
    """The API has a Lambda proxy integration with `uri`; its id goes to `found`."""
    for integration in listed(client, "get_integrations", ApiId=api_id):
        if integration.get("IntegrationUri") == uri and integration.get("IntegrationType") == "AWS_PROXY":
            found(integration["IntegrationId"])
            return "unchanged"
    created = client.create_integration(
        ApiId=api_id,
        IntegrationType="AWS_PROXY",
        IntegrationMethod="POST",
        IntegrationUri=uri,
        TimeoutInMillis=INTEGRATION_TIMEOUT_MS,
    )
    found(created["IntegrationId"])
    return "created"


def ensure_route(client: Any, api_id: str, key: str, integration_id: str, authorizer_id: str | None) -> Action:
    """Route `key` goes to the integration, through the authorizer when there is one."""
    wanted: dict[str, object] = {
        "Target": f"integrations/{integration_id}",
        "AuthorizationType": "CUSTOM" if authorizer_id else "NONE",
    }
    if authorizer_id:
        wanted["AuthorizerId"] = authorizer_id
    for route in listed(client, "get_routes", ApiId=api_id):
        if route["RouteKey"] == key:
            if all(route.get(name, "NONE") == value for name, value in wanted.items()):
                return "unchanged"
            client.update_route(ApiId=api_id, RouteId=route["RouteId"], **wanted)
            return "updated"
    client.create_route(ApiId=api_id, RouteKey=key, **wanted)
    return "created"


def ensure_target(client: Any, api_id: str, key: str, integration_id: str) -> Action:
    """Route `key` goes to the integration. Who may call it stays as it is: adding a function must not open a route."""
    target = f"integrations/{integration_id}"
    for route in listed(client, "get_routes", ApiId=api_id):
        if route["RouteKey"] == key:
            if route.get("Target") == target:
                return "unchanged"
            client.update_route(ApiId=api_id, RouteId=route["RouteId"], Target=target)
            return "updated"
    return ensure_route(client, api_id, key, integration_id, None)


def ensure_two_way(client: Any, api_id: str, key: str) -> Action:
    """What the function of route `key`, which is there, returns goes back to the client.

    Source: API Gateway developer guide, "Set up route responses for WebSocket APIs in API Gateway".
    """
    route = next(one for one in listed(client, "get_routes", ApiId=api_id) if one["RouteKey"] == key)
    found = {"ApiId": api_id, "RouteId": route["RouteId"]}
    action: Action = "unchanged"
    if route.get("RouteResponseSelectionExpression") != _ANY_RESPONSE:
        client.update_route(**found, RouteResponseSelectionExpression=_ANY_RESPONSE)
        action = "updated"
    if all(one["RouteResponseKey"] != _ANY_RESPONSE for one in listed(client, "get_route_responses", **found)):
        client.create_route_response(**found, RouteResponseKey=_ANY_RESPONSE)
        action = "updated"
    return action


def ensure_deployment(client: Any, api_id: str, found: Callable[[str], None]) -> Action:
    """There is a deployment of the API as it is now; its id goes to `found`."""
    description = f"routes {_fingerprint(client, api_id)}"
    for deployment in listed(client, "get_deployments", ApiId=api_id):
        if deployment.get("Description") == description and deployment.get("DeploymentStatus", "DEPLOYED") != "FAILED":
            found(deployment["DeploymentId"])
            return "unchanged"
    created = client.create_deployment(ApiId=api_id, Description=description)
    found(created["DeploymentId"])
    return "created"


def ensure_stage(
    client: Any, names: StackNames, api_id: str, stage: str, deployment_id: str, shape: Mapping[str, Any]
) -> Action:
    """The stage serves the deployment; route settings and access log are those of `shape`.

    Raises: StepFailedError: API Gateway may not write logs in this account.
    """
    try:
        current = client.get_stage(ApiId=api_id, StageName=stage)
    except client.exceptions.NotFoundException:
        with _logging_may_be_refused(stage):
            client.create_stage(ApiId=api_id, StageName=stage, DeploymentId=deployment_id, Tags=names.tags, **shape)
        return "created"
    action: Action = "unchanged"
    if current.get("AccessLogSettings") and "AccessLogSettings" not in shape:
        client.delete_access_log_settings(ApiId=api_id, StageName=stage)
        action = "updated"
    same = all(
        (current.get(part) or {}).get(key) == value
        for part, settings in shape.items()
        for key, value in settings.items()
    )
    if current.get("DeploymentId") == deployment_id and same:
        return action
    with _logging_may_be_refused(stage):
        client.update_stage(ApiId=api_id, StageName=stage, DeploymentId=deployment_id, **shape)
    return "updated"


@contextmanager
def _logging_may_be_refused(stage: str) -> Iterator[None]:
    """API Gateway writes logs by a role that is set once for the account and region (API Gateway developer guide,
    "Set up CloudWatch logging for REST APIs in API Gateway"). It is not ours to change in passing."""
    try:
        yield
    except AWS_ERRORS as error:
        if "CloudWatch Logs role" not in str(error):
            raise
        failed = StepFailedError(
            f"stage {stage}",
            "API Gateway has no CloudWatch role in this account and region, and so writes no access log",
        )
        failed.exit_code = 2
        failed.hint = (
            "set one (aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=ARN;"
            " policy AmazonAPIGatewayPushToCloudWatchLogs), or pass --no-access-log; then run the same command again"
        )
        raise failed from None


def _fingerprint(client: Any, api_id: str) -> str:
    api = client.get_api(ApiId=api_id)
    parts = {
        "selection": api.get("RouteSelectionExpression"),
        "routes": _picked(
            listed(client, "get_routes", ApiId=api_id),
            ("RouteKey", "Target", "AuthorizationType", "AuthorizerId", "RouteResponseSelectionExpression"),
        ),
        "integrations": _picked(
            listed(client, "get_integrations", ApiId=api_id),
            ("IntegrationId", "IntegrationType", "IntegrationUri", "TimeoutInMillis"),
        ),
        "authorizers": _picked(
            listed(client, "get_authorizers", ApiId=api_id),
            ("AuthorizerId", "AuthorizerType", "AuthorizerUri", "IdentitySource"),
        ),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _picked(items: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    # What is absent on one control plane and empty on another is the same.
    picked = [{name: item.get(name) or None for name in names} for item in items]
    return sorted(picked, key=lambda item: json.dumps(item, sort_keys=True))
