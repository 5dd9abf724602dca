"""A stack unlike ours, on moto. until phase 3"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import boto3
import pytest
from moto.apigatewayv2.responses import ApiGatewayV2Response

REGION = "eu-west-1"
SECRET = "do-not-write-this-anywhere"
IDS = [f"dEWKBdVVIAMCJ{letter}A=" for letter in "ABCDEFGH"]


@pytest.fixture
def aws(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # moto knows one route response, not their list.
    monkeypatch.setattr(ApiGatewayV2Response, "get_route_responses", _route_responses, raising=False)


def _route_responses(self: ApiGatewayV2Response) -> tuple[int, dict[str, str], str]:
    *_, api_id, _, route_id, _ = self.path.split("/")
    route = self.apigatewayv2_backend.get_api(api_id).get_route(route_id)
    return 200, {}, json.dumps({"items": [one.to_json() for one in route.route_responses.values()]})


def client(service: str) -> Any:
    return boto3.client(service, REGION)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return {'statusCode': 200}\n")
    return buffer.getvalue()


class Stack:
    """Somebody's API with one-table design, and everything the toolkit cannot move."""

    def __init__(self, *, custom: tuple[str, ...] = ("send", "status"), selection: str = "$request.body.op") -> None:
        self.gateway = client("apigatewayv2")
        self.api = self.gateway.create_api(
            Name="Their Chat!", ProtocolType="WEBSOCKET", RouteSelectionExpression=selection
        )["ApiId"]
        self.role = client("iam").create_role(
            RoleName="their-role", AssumeRolePolicyDocument=json.dumps({"Statement": []})
        )["Role"]["Arn"]
        client("iam").put_role_policy(
            RoleName="their-role",
            PolicyName="inline",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Effect": "Allow", "Action": "execute-api:ManageConnections", "Resource": "*"},
                        {
                            "Effect": "Allow",
                            "Action": ["dynamodb:PutItem"],
                            "Resource": "arn:aws:dynamodb:*:*:table/app",
                        },
                    ],
                }
            ),
        )
        self.gateway.create_stage(ApiId=self.api, StageName="live")
        for key in ("$connect", "$disconnect", "$default", *custom):
            self.route(key, self.function(f"their-{key.strip('$')}", {"TABLE": "app", "STRIPE_KEY": SECRET}))

    def function(self, name: str, env: dict[str, str]) -> str:
        arn: str = client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=self.role,
            Handler="app.handler",
            Code={"ZipFile": _zip()},
            Environment={"Variables": env},
        )["FunctionArn"]
        return arn

    def route(self, key: str, function: str = "", *, kind: str = "AWS_PROXY", uri: str = "") -> str:
        arn = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
        integration = self.gateway.create_integration(
            ApiId=self.api, IntegrationType=kind, IntegrationUri=arn if function else uri
        )["IntegrationId"]
        route: str = self.gateway.create_route(ApiId=self.api, RouteKey=key, Target=f"integrations/{integration}")[
            "RouteId"
        ]
        return route

    def table(self, name: str, *keys: tuple[str, str], index: tuple[str, str] | None = None) -> None:
        attributes = dict(keys) | ({index[1]: "S"} if index else {})
        more: dict[str, Any] = {}
        if index:
            more["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": index[0],
                    "KeySchema": [{"AttributeName": index[1], "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ]
        client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": key, "KeyType": kind} for (key, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in attributes.items()],
            **more,
        )


@pytest.fixture
def stack(aws: None) -> Stack:
    return Stack()
