"""From an application's description to a template. until phase 3

Pure. Source: CloudFormation template reference. Names and documents come from the functions that `legacy-ws deploy`
uses; what is only known in CloudFormation (account, region, ids of other resources) is written as `${...}` in them and
resolved by `Fn::Sub`.

A deployment is a snapshot of the routes, and CloudFormation makes a new one only when its logical id changes: so the
id carries a fingerprint of what it is a snapshot of.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from legacy_ws.deploy.environment import function_environment
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.policies import TRUST, function_policy
from legacy_ws.deploy.shapes import (
    ARCHITECTURE,
    AUTHORIZER_NAME,
    EVENT_SOURCE,
    INTEGRATION_TIMEOUT_MS,
    POLICY_NAME,
    dead_queue_shape,
    queue_shape,
    stage_shape,
    table_shape,
)
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, QueueSpec, StackNames, TableSpec
from legacy_ws.deploy.template.auth import AuthPart, auth_part

__all__ = ["build_template"]

Resources = dict[str, dict[str, object]]


def build_template(app: AppSpec, stack: str, options: DeployOptions) -> dict[str, object]:
    """The template of `app` with the names of `stack`; the code and what signs tokens are parameters of it.

    Raises: UsageError: no stack name.
    """
    names = StackNames(stack, "${AWS::Region}", "${AWS::AccountId}", "${AWS::Partition}")
    auth = auth_part(app, names)
    build = _Build(app, names, options, auth)
    template: dict[str, object] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{app.name} as {stack} - API Gateway WebSocket, Lambda, DynamoDB (deprecated stack of ws2sse)",
        "Parameters": {
            "CodeBucket": {"Type": "String", "Description": "S3 bucket of this region with the Lambda package"},
            "CodeKey": {
                "Type": "String",
                "Description": "Key of what `legacy-ws package` wrote; another key for other code",
            },
            **auth.parameters,
        },
        "Rules": auth.rules,
        "Conditions": auth.conditions,
        "Resources": build.resources(),
        "Outputs": {**build.outputs(), **auth.outputs},
    }
    return {section: content for section, content in template.items() if content}


class _Build:
    def __init__(self, app: AppSpec, names: StackNames, options: DeployOptions, auth: AuthPart) -> None:
        self.app, self.names, self.options, self.auth = app, names, options, auth

    def resources(self) -> dict[str, object]:
        """Everything, in about the order in which it comes to be."""
        made: Resources = {}
        for table in self.app.tables:
            made |= self._table(table)
        for queue in self.app.queues:
            made |= self._queue(queue)
        made["Api"] = _resource(
            "AWS::ApiGatewayV2::Api",
            Name=self.names.stack,
            ProtocolType="WEBSOCKET",
            RouteSelectionExpression=self.app.route_selection,
        )
        for function in self.app.functions:
            made |= self._function(function)
            made |= self._event_sources(function)
        made |= self._routes()
        return {**made, **self.auth.resources}

    def outputs(self) -> dict[str, object]:
        """Addresses and names of the stack."""
        domain = "${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        stage = self.options.stage
        outputs: dict[str, object] = {
            "WebSocketUrl": _output("Where clients connect", f"wss://{domain}/{stage}"),
            "ManagementUrl": _output("Where @connections answers", f"https://{domain}/{stage}"),
            "ApiId": {"Description": "The WebSocket API", "Value": {"Ref": "Api"}},
        }
        for table in self.app.tables:
            name = f"{_title(table.name)}Table"
            outputs[name] = {"Description": f"DynamoDB table of {table.name}", "Value": {"Ref": name}}
        for queue in self.app.queues:
            name = f"{_title(queue.name)}Queue"
            outputs[name] = {"Description": f"SQS queue of {queue.name}", "Value": {"Ref": name}}
        return outputs

    def _table(self, table: TableSpec) -> Resources:
        properties: dict[str, object] = {
            "TableName": self.names.table(table),
            "BillingMode": "PAY_PER_REQUEST",
            **table_shape(table),
        }
        if table.ttl:
            properties["TimeToLiveSpecification"] = {"AttributeName": table.ttl, "Enabled": True}
        return {f"{_title(table.name)}Table": _stateful("AWS::DynamoDB::Table", **properties)}

    def _queue(self, queue: QueueSpec) -> Resources:
        name, dead = f"{_title(queue.name)}Queue", f"{_title(queue.name)}DeadLetters"
        queue_type = "AWS::SQS::Queue"
        return {
            dead: _stateful(queue_type, QueueName=self.names.dead_queue(queue), **dead_queue_shape(queue)),
            name: {
                **_stateful(queue_type, QueueName=self.names.queue(queue), **queue_shape(queue, self.names)),
                "DependsOn": dead,
            },
        }

    def _function(self, function: FunctionSpec) -> Resources:
        names, options = self.names, self.options
        title = _title(function.name)
        policy = function_policy(self.app, function, names, "${Api}", options.stage)
        environment = self._environment(function)
        properties: dict[str, object] = {
            "FunctionName": names.function(function),
            "Runtime": options.runtime,
            "Architectures": [ARCHITECTURE],
            "Handler": function.handler,
            "Role": {"Fn::GetAtt": [f"{title}Role", "Arn"]},
            "Timeout": function.timeout_s,
            "MemorySize": function.memory_mb,
            "Code": {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
        }
        if environment:
            properties["Environment"] = {"Variables": environment}
        return {
            f"{title}FunctionLog": _log_group(names.log_group(function), options.log_retention_days),
            f"{title}Role": _resource(
                "AWS::IAM::Role",
                Path=names.role_path,
                RoleName=names.role(function),
                Description=f"{names.function(function)} of {names.stack}",
                AssumeRolePolicyDocument=TRUST,
                Policies=[{"PolicyName": POLICY_NAME, "PolicyDocument": policy}],
            ),
            f"{title}Function": {
                "Type": "AWS::Lambda::Function",
                # Lambda would make the group itself otherwise, without an end to its logs.
                "DependsOn": f"{title}FunctionLog",
                "Properties": _resolved(properties),
            },
        }

    def _environment(self, function: FunctionSpec) -> dict[str, object]:
        own = function_environment(
            self.app,
            function,
            self.names,
            shared={},
            queue_urls={queue.name: f"${{{_title(queue.name)}Queue}}" for queue in self.app.queues},
            auth={},
        )
        # The user's own values are taken as they are: a `${` in them means nothing.
        environment = {**self.options.environment, **{name: _resolved(value) for name, value in own.items()}}
        return {**environment, **self.auth.environment} if function.authorizer else environment

    def _event_sources(self, function: FunctionSpec) -> Resources:
        return {
            f"{_title(function.name)}EventSource": _resource(
                "AWS::Lambda::EventSourceMapping",
                EventSourceArn={"Fn::GetAtt": [f"{_title(queue.name)}Queue", "Arn"]},
                FunctionName={"Ref": f"{_title(function.name)}Function"},
                **EVENT_SOURCE,
            )
            for queue in self.app.queues
            if queue.name == function.consumes
        }

    def _routes(self) -> Resources:
        """Authorizer, integrations, routes; then the deployment of them and the stage, which lets clients in."""
        served: Resources = {}
        permissions: Resources = {}
        for function in self.app.functions:
            title = _title(function.name)
            uri = self.names.invocation_uri(f"${{{title}Function.Arn}}")
            if function.authorizer:
                served["Authorizer"] = _resource(
                    "AWS::ApiGatewayV2::Authorizer",
                    ApiId={"Ref": "Api"},
                    Name=AUTHORIZER_NAME,
                    AuthorizerType="REQUEST",
                    AuthorizerUri=uri,
                    # None is named: API Gateway demands every one that is, but a token comes here or there.
                    IdentitySource=[],
                )
                permissions["AuthorizerPermission"] = self._permission(title, "authorizers/${Authorizer}")
                continue
            if function.routes:
                served[f"{title}Integration"] = _resource(
                    "AWS::ApiGatewayV2::Integration",
                    ApiId={"Ref": "Api"},
                    IntegrationType="AWS_PROXY",
                    IntegrationMethod="POST",
                    IntegrationUri=uri,
                    TimeoutInMillis=INTEGRATION_TIMEOUT_MS,
                )
            for key in function.routes:
                served[f"Route{_route_title(key)}"] = self._route(key, title)
                permissions[f"Permission{_route_title(key)}"] = self._permission(title, f"*/{key}")
        routes = [name for name, one in served.items() if one["Type"] == "AWS::ApiGatewayV2::Route"]
        deployment = f"Deployment{self._fingerprint(served)}"
        return {
            **served,
            **permissions,
            deployment: {**_resource("AWS::ApiGatewayV2::Deployment", ApiId={"Ref": "Api"}), "DependsOn": routes},
            **self._stage(deployment, list(permissions)),
        }

    def _route(self, key: str, title: str) -> dict[str, object]:
        authorized = key == "$connect" and any(function.authorizer for function in self.app.functions)
        who: dict[str, object] = (
            {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": "Authorizer"}}
            if authorized
            else {"AuthorizationType": "NONE"}
        )
        return _resource(
            "AWS::ApiGatewayV2::Route",
            ApiId={"Ref": "Api"},
            RouteKey=key,
            Target=f"integrations/${{{title}Integration}}",
            **who,
        )

    def _permission(self, title: str, tail: str) -> dict[str, object]:
        return _resource(
            "AWS::Lambda::Permission",
            FunctionName={"Ref": f"{title}Function"},
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=self.names.execute_api_arn("${Api}", tail),
        )

    def _stage(self, deployment: str, after: list[str]) -> Resources:
        options, names = self.options, self.names
        shape = stage_shape(
            names, rate=options.throttle_rate, burst=options.throttle_burst, access_log=options.access_log
        )
        made: Resources = {}
        if options.access_log:
            made["AccessLog"] = _log_group(names.access_log, options.log_retention_days)
        made["Stage"] = {
            **_resource(
                "AWS::ApiGatewayV2::Stage",
                ApiId={"Ref": "Api"},
                StageName=options.stage,
                DeploymentId={"Ref": deployment},
                **shape,
            ),
            # A route must never be served by a function that API Gateway may not call.
            "DependsOn": [*after, *made],
        }
        return made

    def _fingerprint(self, served: Resources) -> str:
        snapshot = {"selection": self.app.route_selection, "served": served}
        return hashlib.sha256(json.dumps(snapshot, sort_keys=True).encode()).hexdigest()[:12]


def _resource(kind: str, **properties: object) -> dict[str, object]:
    return {"Type": kind, "Properties": _resolved(properties)}


def _stateful(kind: str, **properties: object) -> dict[str, object]:
    """A resource with data in it: gone with the stack, as with `legacy-ws destroy`, and never by an update."""
    made = _resource(kind, **properties)
    return {"Type": kind, "DeletionPolicy": "Delete", "UpdateReplacePolicy": "Retain", "Properties": made["Properties"]}


def _log_group(name: str, retention_days: int) -> dict[str, object]:
    return _stateful("AWS::Logs::LogGroup", LogGroupName=name, RetentionInDays=retention_days)


def _output(description: str, value: str) -> dict[str, object]:
    return {"Description": description, "Value": _resolved(value)}


def _resolved(value: object) -> object:
    """`${...}` in texts become `Fn::Sub`, one that is all of a text `Ref` or `Fn::GetAtt`."""
    if isinstance(value, Mapping):
        return {key: _resolved(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(one) for one in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if alone := re.fullmatch(r"\$\{([\w:]+)\}", value):
        return {"Ref": alone[1]}
    return {"Fn::Sub": value}


def _route_title(key: str) -> str:
    """`$connect` and a route of the client's own that is called connect are two."""
    return f"On{_title(key)}" if key.startswith("$") else _title(key)


def _title(name: str) -> str:
    """`sendMessage` -> `SendMessage`, `chat-typing` -> `ChatTyping`: logical ids are alphanumeric."""
    words = "".join(letter if letter.isalnum() else " " for letter in name).split()
    return "".join(word[:1].upper() + word[1:] for word in words)
