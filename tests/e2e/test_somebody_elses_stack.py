"""A chat that somebody else wrote, in the style of the AWS documentation, runs unmodified on the local AWS.
until phase 3 (MG2)

Nothing of ours is in it: its own table keyed `connection_id`, its own API made with boto3, handlers that build their
endpoint as `https://{domainName}/{stage}` and create their clients while handling an event.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import websockets
from e2e_support import Stacks

pytestmark = pytest.mark.integration

CONNECT = """
import os
import boto3

def lambda_handler(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
    table.put_item(Item={"connection_id": event["requestContext"]["connectionId"]})
    return {"statusCode": 200, "body": "Connected."}
"""

DISCONNECT = """
import os
import boto3

def lambda_handler(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
    table.delete_item(Key={"connection_id": event["requestContext"]["connectionId"]})
    return {"statusCode": 200, "body": "Disconnected."}
"""

SEND = """
import json
import os
import boto3

def lambda_handler(event, context):
    request = event["requestContext"]
    client = boto3.client(
        "apigatewaymanagementapi", endpoint_url="https://" + request["domainName"] + "/" + request["stage"]
    )
    table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
    text = json.loads(event["body"])["message"]
    for row in table.scan(ProjectionExpression="connection_id")["Items"]:
        try:
            client.post_to_connection(ConnectionId=row["connection_id"], Data=text.encode("utf-8"))
        except client.exceptions.GoneException:
            table.delete_item(Key={"connection_id": row["connection_id"]})
    return {"statusCode": 200, "body": "Data sent."}
"""

DEFAULT = """
import json
import boto3

def lambda_handler(event, context):
    request = event["requestContext"]
    client = boto3.client(
        "apigatewaymanagementapi", endpoint_url="https://" + request["domainName"] + "/" + request["stage"]
    )
    info = client.get_connection(ConnectionId=request["connectionId"])
    answer = {
        "use": "sendmessage",
        "connectedAt": info["ConnectedAt"].isoformat(),
        "sourceIp": info["Identity"]["SourceIp"],
        "yourId": request["connectionId"],
    }
    client.post_to_connection(ConnectionId=request["connectionId"], Data=json.dumps(answer))
    return {"statusCode": 200}
"""


def archive(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("app.py", source)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def their_url(stacks: Stacks) -> Iterator[str]:
    """Their deployment script, as they would run it: boto3 and nothing else."""
    lambda_, gateway, dynamodb = (stacks.client(name) for name in ("lambda", "apigatewayv2", "dynamodb"))
    dynamodb.create_table(
        TableName="their-connections",
        KeySchema=[{"AttributeName": "connection_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "connection_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    api = gateway.create_api(
        Name="their-chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )
    routes = {"$connect": CONNECT, "$disconnect": DISCONNECT, "sendmessage": SEND, "$default": DEFAULT}
    for key, source in routes.items():
        name = "their-" + key.strip("$")
        function = lambda_.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role="arn:aws:iam::000000000000:role/their-role",
            Handler="app.lambda_handler",
            Code={"ZipFile": archive(source)},
            Environment={"Variables": {"TABLE_NAME": "their-connections"}},
        )
        lambda_.get_waiter("function_active_v2").wait(FunctionName=name)
        lambda_.add_permission(
            FunctionName=name, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
        )
        region = gateway.meta.region_name
        integration = gateway.create_integration(
            ApiId=api["ApiId"],
            IntegrationType="AWS_PROXY",
            IntegrationUri=(
                f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function['FunctionArn']}/invocations"
            ),
        )
        gateway.create_route(ApiId=api["ApiId"], RouteKey=key, Target=f"integrations/{integration['IntegrationId']}")
    gateway.create_stage(ApiId=api["ApiId"], StageName="production")
    gateway.create_deployment(ApiId=api["ApiId"], StageName="production")
    yield f"{api['ApiEndpoint']}/production"
    gateway.delete_api(ApiId=api["ApiId"])


async def test_their_chat_talks(stacks: Stacks, their_url: str) -> None:
    """MG2: connect, send, receive, $default, disconnect: as on AWS, without a change."""
    async with websockets.connect(their_url, proxy=None) as one, websockets.connect(their_url, proxy=None) as two:
        await one.send(json.dumps({"action": "sendmessage", "message": "hello, two"}))
        assert await two.recv() == "hello, two"
        assert await one.recv() == "hello, two"
        await two.send("what is this?")
        answer: dict[str, Any] = json.loads(await two.recv())
        assert answer["use"] == "sendmessage"
        assert answer["sourceIp"] == "127.0.0.1"
        assert answer["connectedAt"][:4].isdigit()
        table = stacks.client("dynamodb")
        rows = table.scan(TableName="their-connections", ConsistentRead=True)["Items"]
        assert answer["yourId"] in {row["connection_id"]["S"] for row in rows}
        assert len(rows) == 2


async def test_their_ghost_row_gets_a_410(stacks: Stacks, their_url: str) -> None:
    """MG2: a row whose connection is gone raises GoneException in their handler, which deletes it."""
    table = stacks.client("dynamodb")
    table.put_item(TableName="their-connections", Item={"connection_id": {"S": "AAAAAAAAAAAAAAA="}})
    async with websockets.connect(their_url, proxy=None) as one:
        await one.send(json.dumps({"action": "sendmessage", "message": "anybody?"}))
        assert await one.recv() == "anybody?"
        # Their handler may still be deleting; a second message is handled after it saw the table.
        await one.send(json.dumps({"action": "sendmessage", "message": "still?"}))
        assert await one.recv() == "still?"
    ids = {row["connection_id"]["S"] for row in table.scan(TableName="their-connections", ConsistentRead=True)["Items"]}
    assert "AAAAAAAAAAAAAAA=" not in ids


def test_their_prints_are_in_their_log_group(stacks: Stacks, their_url: str) -> None:
    """MG2: CloudWatch Logs holds what their Lambdas did."""
    logs = stacks.client("logs")
    groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    assert "/aws/lambda/their-sendmessage" in groups
