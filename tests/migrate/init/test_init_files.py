"""`migrate init PATH`: serverless.yml, SAM, CloudFormation and Terraform (MG1). until phase 3"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from migrate.errors import UsageError
from migrate.init.answers import answer, open_questions
from migrate.init.files import read_files
from migrate.init.guess import guess

SERVERLESS = """
service: chat
provider:
  name: aws
  stage: ${opt:stage, 'prod'}
  region: eu-west-1
  websocketsApiRouteSelectionExpression: $request.body.kind
  environment: { TABLE: !Ref Online, SECRET: abc }
functions:
  auth: { handler: a.b }
  connect:
    handler: c.d
    events:
      - websocket: { route: $connect, authorizer: auth }
  say:
    name: ${self:service}-say
    handler: e.f
    events:
      - websocket: { route: say, routeResponseSelectionExpression: $default }
  other: { handler: g.h, events: [{ httpApi: "*" }] }
resources:
  Resources:
    Online:
      Type: AWS::DynamoDB::Table
      Properties:
        TableName: ${self:service}-${sls:stage}-online
        AttributeDefinitions:
          - { AttributeName: connectionId, AttributeType: S }
          - { AttributeName: userId, AttributeType: S }
        KeySchema: [{ AttributeName: connectionId, KeyType: HASH }]
        GlobalSecondaryIndexes:
          - { IndexName: users, KeySchema: [{ AttributeName: userId, KeyType: HASH }] }
        TimeToLiveSpecification: { Enabled: true, AttributeName: until }
"""

SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: v1
      RouteSelectionExpression: $request.body.action
      Routes:
        $connect: { FunctionArn: !GetAtt Connect.Arn }
        sendMessage: { FunctionArn: !GetAtt Send.Arn }
  Connect: { Type: AWS::Serverless::Function, Properties: { Handler: a.b } }
  Send:
    Type: AWS::Serverless::Function
    Properties: { Handler: a.b, FunctionName: chat-send }
  Table:
    Type: AWS::Serverless::SimpleTable
    Properties: { PrimaryKey: { Name: connectionId, Type: String } }
"""

CFN = """
Parameters: { Stage: { Type: String, Default: prod } }
Resources:
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties: { Name: quotes, ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.type }
  Live:
    Type: AWS::ApiGatewayV2::Stage
    Properties: { ApiId: !Ref Api, StageName: !Ref Stage }
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: { ApiId: !Ref Api, RouteKey: quote, Target: !Join ["/", [integrations, !Ref Integration]] }
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !Sub "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Fn.Arn}/invocations"
  Mock:
    Type: AWS::ApiGatewayV2::Integration
    Properties: { ApiId: !Ref Api, IntegrationType: MOCK }
  PingRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties: { ApiId: !Ref Api, RouteKey: ping, Target: !Sub "integrations/${Mock}" }
  PingAnswer:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Api, RouteId: !Ref PingRoute, RouteResponseKey: $default }
  Fn:
    Type: AWS::Lambda::Function
    Properties: { FunctionName: quotes-fn, Role: !GetAtt Role.Arn }
  Answer:
    Type: AWS::Lambda::Function
    Properties: { FunctionName: quotes-answer, Role: !GetAtt Role.Arn }
  Role:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyDocument:
            Statement: [{ Effect: Allow, Action: execute-api:ManageConnections, Resource: "*" }]
"""

TERRAFORM = """
variable "env" { default = "prod" }
resource "aws_apigatewayv2_api" "chat" {
  name                       = "tf-chat"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"
}
resource "aws_apigatewayv2_stage" "s" {
  api_id = aws_apigatewayv2_api.chat.id
  name   = var.env
}
resource "aws_apigatewayv2_route" "send" {
  api_id    = aws_apigatewayv2_api.chat.id
  route_key = "send"
  target    = "integrations/${aws_apigatewayv2_integration.send.id}"
}
resource "aws_apigatewayv2_integration" "send" {
  api_id           = aws_apigatewayv2_api.chat.id
  integration_type = "AWS_PROXY"
  integration_uri  = aws_lambda_function.send.invoke_arn
}
resource "aws_lambda_function" "send" {
  function_name = "chat-${var.env}-send"
}
resource "aws_dynamodb_table" "conns" {
  name      = "conns-${var.env}"
  hash_key  = "room"
  range_key = "at"
  attribute {
    name = "room"
    type = "S"
  }
  attribute {
    name = "at"
    type = "N"
  }
  ttl {
    attribute_name = "ttl"
    enabled        = true
  }
}
"""


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_serverless(tmp_path: Path) -> None:
    facts = read_files(file(tmp_path, "serverless.yml", SERVERLESS))
    assert (facts.stages, facts.region, facts.route_selection) == (("prod",), "eu-west-1", "$request.body.kind")
    routes = {route.key: route for route in facts.routes}
    assert (routes["$connect"].function, routes["$connect"].authorizer) == ("chat-prod-connect", "chat-prod-auth")
    assert (routes["say"].function, routes["say"].two_way) == ("chat-say", True)
    assert {one.name for one in facts.functions} == {"chat-prod-connect", "chat-prod-auth", "chat-say"}
    (table,) = facts.tables
    assert (table.name, table.ttl, table.certain) == ("chat-prod-online", "until", True)
    draft = guess(facts)
    assert [one.place for one in draft.questions if one.needed] == ["api.id"]
    assert draft.values["tables"][0]["user_index"] == "users"


def test_sam(tmp_path: Path) -> None:
    facts = read_files(file(tmp_path, "template.yaml", SAM))
    assert {route.key: route.function for route in facts.routes} == {"$connect": "Connect", "sendMessage": "chat-send"}
    assert facts.stages == ("v1",)
    (table,) = facts.tables
    assert (table.keys, table.certain) == ((("connectionId", "S"),), False)
    assert any(one.place == "tables.0.name" for one in guess(facts).questions)


def test_cloudformation(tmp_path: Path) -> None:
    facts = read_files(file(tmp_path, "stack.yml", CFN))
    routes = {route.key: route for route in facts.routes}
    assert routes["quote"].function == "quotes-fn"
    assert (routes["ping"].kind, routes["ping"].two_way) == ("MOCK", True)
    draft = guess(facts)
    assert {one["name"]: one.get("role", "route") for one in draft.values["functions"]} == {
        "quotes-fn": "route",
        "quotes-answer": "answer",
    }
    assert facts.stages == ("prod",)


def test_terraform(tmp_path: Path) -> None:
    file(tmp_path, "main.tf", TERRAFORM)
    facts = read_files(tmp_path)
    assert facts.stages == ("prod",)
    assert facts.routes[0].function == "chat-prod-send"
    (table,) = facts.tables
    assert (table.name, table.keys, table.ttl) == ("conns-prod", (("room", "S"), ("at", "N")), "ttl")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="describes no WebSocket API"):
        read_files(file(tmp_path, "a.yml", "a: 1"))
    with pytest.raises(UsageError, match="there is no"):
        read_files(tmp_path / "nothing")
    file(tmp_path, "serverless.yml", SERVERLESS)
    file(tmp_path, "b.yml", CFN)
    with pytest.raises(UsageError, match="describes 2"):
        read_files(tmp_path)


def test_a_person_is_asked_what_nobody_can_know(tmp_path: Path) -> None:
    """MG1: an empty answer takes the guess; what is needed and not said stays open."""
    draft = guess(read_files(file(tmp_path, "serverless.yml", SERVERLESS)))
    said = {"api.id": "a1b2c3", "identity.user": "sub", "features.0.frames": "message, typing"}
    answer(draft, lambda question: said.get(question.place, ""))
    settings = draft.settings()
    assert (settings.api.id, settings.identity.user, settings.identity.tenant) == ("a1b2c3", "sub", "tenantId")
    assert settings.features[0].frames == ("message", "typing")
    assert tomllib.loads(draft.text(settings, "2026-11-22"))["identity"]["user"] == "sub"
    other = guess(read_files(tmp_path / "serverless.yml"))
    answer(other, lambda _: "")
    assert [one.place for one in open_questions(other)] == ["api.id"]
