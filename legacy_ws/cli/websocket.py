"""`legacy-ws ws-create`, `ws-delete`, `ws-list`, `ws-add-route`, `ws-deploy` and `ws-get-url` (CL2). until
phase 3
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from legacy_ws.cli.options import Endpoint, Json, Profile, Region, Yes, open_session
from legacy_ws.cli.output import confirm, out, print_json, print_table, reports_errors, say
from legacy_ws.deploy import api as api_steps
from legacy_ws.deploy.functions import configuration, ensure_permission
from legacy_ws.deploy.spec import TAG
from legacy_ws.deploy.urls import websocket_url
from legacy_ws.errors import UsageError

__all__ = ["register"]

Api = Annotated[str, typer.Argument(metavar="API", help="Id of the API.")]
Stage = Annotated[str, typer.Argument(metavar="STAGE", help="Name of the stage.")]

_FUNCTION_ARN = re.compile(r"arn:([a-z-]+):lambda:([a-z0-9-]+):(\d{12}):function:([A-Za-z0-9_-]+)(:[A-Za-z0-9$_-]+)?")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ws-create")(ws_create)
    app.command("ws-delete")(ws_delete)
    app.command("ws-list")(ws_list)
    app.command("ws-add-route")(ws_add_route)
    app.command("ws-deploy")(ws_deploy)
    app.command("ws-get-url")(ws_get_url)


@reports_errors
def ws_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the API.")],
    route_selection: Annotated[str, typer.Option(help="Route selection expression.")] = "$request.body.action",
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Create a WebSocket API and print its id.

    Example: legacy-ws ws-create my-chat-api
    """
    gateway = open_session(region, profile, endpoint_url).client("apigatewayv2")
    api = gateway.create_api(Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression=route_selection)
    if json_output:
        print_json({"api_id": api["ApiId"], "name": name, "endpoint": api["ApiEndpoint"]})
    else:
        out.print(api["ApiId"], markup=False, highlight=False)
    say(f"hint: legacy-ws ws-add-route {api['ApiId']} ROUTE LAMBDA_ARN")


@reports_errors
def ws_delete(
    api: Api,
    yes: Yes = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Delete a WebSocket API with its routes and stages; its clients are cut off.

    Example: legacy-ws ws-delete abc123 --yes
    """
    gateway = open_session(region, profile, endpoint_url).client("apigatewayv2")
    found = _api(gateway, api)
    confirm(f"Delete API {api} ({found['Name']}) with all its routes and stages?", yes=yes)
    gateway.delete_api(ApiId=api)
    say(f"deleted API {api}")


@reports_errors
def ws_list(
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """List the WebSocket APIs with their stages.

    Example: legacy-ws ws-list
    """
    gateway = open_session(region, profile, endpoint_url).client("apigatewayv2")
    rows = [
        {
            "api_id": api["ApiId"],
            "name": api["Name"],
            "endpoint": api["ApiEndpoint"],
            "route_selection": api.get("RouteSelectionExpression"),
            "stages": [stage["StageName"] for stage in api_steps.listed(gateway, "get_stages", ApiId=api["ApiId"])],
            "stack": api.get("Tags", {}).get(TAG),
        }
        for api in api_steps.listed(gateway, "get_apis")
        if api.get("ProtocolType") == "WEBSOCKET"
    ]
    if json_output:
        print_json(rows)
        return
    print_table(
        ("API", "name", "stages", "stack", "endpoint"),
        ((row["api_id"], row["name"], ", ".join(row["stages"]), row["stack"], row["endpoint"]) for row in rows),
    )


@reports_errors
def ws_add_route(
    api: Api,
    route: Annotated[str, typer.Argument(metavar="ROUTE", help="Route key, such as $connect or sendmessage.")],
    lambda_arn: Annotated[str, typer.Argument(metavar="LAMBDA_ARN", help="ARN of the function.")],
    two_way: Annotated[
        bool, typer.Option("--two-way", help="Send what the function returns back to the client.")
    ] = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Let a Lambda function answer a route, and allow API Gateway to call it.

    Example: legacy-ws ws-add-route abc123 sendmessage
        arn:aws:lambda:ap-northeast-1:123456789012:function:send
    """
    match = _FUNCTION_ARN.fullmatch(lambda_arn)
    if match is None:
        raise UsageError(
            f"{lambda_arn!r} is no ARN of a Lambda function", "arn:aws:lambda:REGION:ACCOUNT:function:NAME"
        )
    partition, function_region, account, _, _ = match.groups()
    session = open_session(region, profile, endpoint_url)
    gateway, functions = session.client("apigatewayv2"), session.client("lambda")
    _api(gateway, api)
    if configuration(functions, lambda_arn) is None:
        raise UsageError(f"there is no function {lambda_arn}", "legacy-ws lambda-create NAME ZIP HANDLER RUNTIME")
    uri = f"arn:{partition}:apigateway:{function_region}:lambda:path/2015-03-31/functions/{lambda_arn}/invocations"
    integration: list[str] = []
    api_steps.ensure_integration(gateway, api, uri, integration.append)
    statement = f"{api}-" + re.sub(r"[^A-Za-z0-9]", "_", route)
    source = f"arn:{partition}:execute-api:{session.region}:{account}:{api}/*/{route}"
    ensure_permission(functions, lambda_arn, statement, source)
    action = api_steps.ensure_target(gateway, api, route, integration[0])
    if two_way and api_steps.ensure_two_way(gateway, api, route) != "unchanged" and action == "unchanged":
        action = "updated"
    say(f"{action} route {route}")
    say(f"hint: clients see it after `legacy-ws ws-deploy {api} STAGE`")


@reports_errors
def ws_deploy(
    api: Api,
    stage: Stage,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Let a stage serve the API as it is now; the stage is created when it is missing.

    Example: legacy-ws ws-deploy abc123 prod
    """
    gateway = open_session(region, profile, endpoint_url).client("apigatewayv2")
    found = _api(gateway, api)
    deployment: list[str] = []
    api_steps.ensure_deployment(gateway, api, deployment.append)
    try:
        gateway.get_stage(ApiId=api, StageName=stage)
        gateway.update_stage(ApiId=api, StageName=stage, DeploymentId=deployment[0])
    except gateway.exceptions.NotFoundException:
        gateway.create_stage(ApiId=api, StageName=stage, DeploymentId=deployment[0])
    say(f"deployed {api} to {stage}")
    out.print(websocket_url(found["ApiEndpoint"], stage), markup=False, highlight=False)


@reports_errors
def ws_get_url(
    api: Api,
    stage: Stage,
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Print where clients connect.

    Example: legacy-ws ws-get-url abc123 prod
    """
    gateway = open_session(region, profile, endpoint_url).client("apigatewayv2")
    found = _api(gateway, api)
    try:
        gateway.get_stage(ApiId=api, StageName=stage)
    except gateway.exceptions.NotFoundException:
        raise UsageError(f"API {api} has no stage {stage!r}", f"legacy-ws ws-deploy {api} {stage}") from None
    url = websocket_url(found["ApiEndpoint"], stage)
    if json_output:
        print_json({"api_id": api, "stage": stage, "websocket_url": url})
    else:
        out.print(url, markup=False, highlight=False)


def _api(gateway: Any, api: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = gateway.get_api(ApiId=api)
    except gateway.exceptions.NotFoundException:
        raise UsageError(f"there is no API {api!r}", "`legacy-ws ws-list` shows the ones that exist") from None
    return found
