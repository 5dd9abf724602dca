"""A stack in the style of the AWS documentation, made with boto3 alone: echo and broadcast by PostToConnection."""

from __future__ import annotations

import io
import time
import zipfile
from typing import Any

import boto3

__all__ = ["deploy_echo"]

REGION = "ap-northeast-1"

HANDLER = """
import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

clients = {}
pool = ThreadPoolExecutor(16)


def management(context):
    # ENDPOINT_BASE is for MiniStack's own data plane, whose domainName is unusable.
    base = os.environ.get("ENDPOINT_BASE")
    endpoint = f"{base}/{context['apiId']}" if base else f"https://{context['domainName']}"
    endpoint += f"/{context['stage']}"
    if endpoint not in clients:
        clients[endpoint] = boto3.client(
            "apigatewaymanagementapi", endpoint_url=endpoint, config=Config(max_pool_connections=16)
        )
    return clients[endpoint]


def handler(event, context):
    request = event["requestContext"]
    if request["routeKey"] in ("$connect", "$disconnect"):
        return {"statusCode": 200}
    body = json.loads(event["body"])
    data = body["data"].encode()
    targets = body.get("to") or [request["connectionId"]]
    client = management(request)
    if body.get("data") == "whoami":
        data = json.dumps({"connectionId": request["connectionId"]}).encode()
    post = lambda target: client.post_to_connection(ConnectionId=target, Data=data)
    if len(targets) == 1:
        post(targets[0])
    else:
        list(pool.map(post, targets))
    return {"statusCode": 200}
"""


def deploy_echo(endpoint_url: str, environment: dict[str, str] | None = None) -> tuple[str, str]:
    """Create function, API, routes and stage.

    Returns: API id and ApiEndpoint + "/prod".
    """
    arguments = {
        "endpoint_url": endpoint_url,
        "region_name": REGION,
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }
    lambda_: Any = boto3.client("lambda", **arguments)
    api: Any = boto3.client("apigatewayv2", **arguments)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("echo.py", HANDLER)
    function = lambda_.create_function(
        FunctionName="bench-echo",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/bench",
        Handler="echo.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=20,
        Environment={"Variables": environment or {}},
    )
    lambda_.get_waiter("function_active_v2").wait(FunctionName="bench-echo")
    created = api.create_api(Name="bench", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    api_id = created["ApiId"]
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function['FunctionArn']}/invocations"
    integration = api.create_integration(ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=uri)
    for key in ("$connect", "$disconnect", "$default"):
        api.create_route(ApiId=api_id, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}")
    api.create_stage(ApiId=api_id, StageName="prod")
    api.create_deployment(ApiId=api_id, StageName="prod")
    time.sleep(0.2)
    return api_id, created["ApiEndpoint"] + "/prod"
