"""From an application's description to a template. until phase 3

Pure. Source: CloudFormation template reference. Names and documents come from the functions that `legacy-ws deploy`
uses; what is only known in CloudFormation (account, region, ids of other resources) is written as `${...}` in them and
resolved by `Fn::Sub`.
"""

from __future__ import annotations

from legacy_ws.deploy.environment import function_environment
from legacy_ws.deploy.options import DeployOptions, StackSettings
from legacy_ws.deploy.policies import TRUST, function_policy
from legacy_ws.deploy.shapes import (
    ARCHITECTURE,
    EVENT_SOURCE,
    POLICY_NAME,
    dead_queue_shape,
    queue_shape,
    table_shape,
)
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, QueueSpec, StackNames, TableSpec
from legacy_ws.deploy.template.auth import AuthPart, auth_part
from legacy_ws.deploy.template.resources import (
    Resources,
    app_tag_list,
    log_group,
    output,
    resolved,
    resource,
    stateful,
    tag_list,
    title,
)
from legacy_ws.deploy.template.routes import Routes

__all__ = ["build_template"]


def build_template(app: AppSpec, stack: str, options: DeployOptions) -> dict[str, object]:
    """The template of `app` with the names of `stack`; the code and what signs tokens are parameters of it.

    Raises: UsageError: no stack name, or an unusable option.
    """
    names = StackNames(stack, "${AWS::Region}", "${AWS::AccountId}", "${AWS::Partition}", app.name)
    auth = auth_part(app, names)
    options.check(app)
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
        self.settings = options.over(StackSettings())
        self.tags = tag_list(names)

    def resources(self) -> dict[str, object]:
        """Everything, in about the order in which it comes to be."""
        made: Resources = {}
        for table in self.app.tables:
            made |= self._table(table)
        for queue in self.app.queues:
            made |= self._queue(queue)
        made["Api"] = resource(
            "AWS::ApiGatewayV2::Api",
            Name=self.names.stack,
            ProtocolType="WEBSOCKET",
            RouteSelectionExpression=self.app.route_selection,
            Tags=self.names.app_tags,
        )
        for function in self.app.functions:
            made |= self._function(function)
            made |= self._event_sources(function)
        made |= Routes(self.app, self.names, self.settings).resources()
        return {**made, **self.auth.resources}

    def outputs(self) -> dict[str, object]:
        """Addresses and names of the stack."""
        domain = "${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        stage = self.settings.stage
        outputs: dict[str, object] = {
            "WebSocketUrl": output("Where clients connect", f"wss://{domain}/{stage}"),
            "ManagementUrl": output("Where @connections answers", f"https://{domain}/{stage}"),
            "ApiId": {"Description": "The WebSocket API", "Value": {"Ref": "Api"}},
        }
        for table in self.app.tables:
            name = f"{title(table.name)}Table"
            outputs[name] = {"Description": f"DynamoDB table of {table.name}", "Value": {"Ref": name}}
        for queue in self.app.queues:
            name = f"{title(queue.name)}Queue"
            outputs[name] = {"Description": f"SQS queue of {queue.name}", "Value": {"Ref": name}}
        return outputs

    def _table(self, table: TableSpec) -> Resources:
        properties: dict[str, object] = {
            "TableName": self.names.table(table),
            "BillingMode": "PAY_PER_REQUEST",
            **table_shape(table),
            "Tags": app_tag_list(self.names),
        }
        if table.ttl:
            properties["TimeToLiveSpecification"] = {"AttributeName": table.ttl, "Enabled": True}
        return {f"{title(table.name)}Table": stateful("AWS::DynamoDB::Table", **properties)}

    def _queue(self, queue: QueueSpec) -> Resources:
        name, dead = f"{title(queue.name)}Queue", f"{title(queue.name)}DeadLetters"
        queue_type = "AWS::SQS::Queue"
        return {
            dead: stateful(
                queue_type, QueueName=self.names.dead_queue(queue), **dead_queue_shape(queue), Tags=self.tags
            ),
            name: {
                **stateful(
                    queue_type, QueueName=self.names.queue(queue), **queue_shape(queue, self.names), Tags=self.tags
                ),
                "DependsOn": dead,
            },
        }

    def _function(self, function: FunctionSpec) -> Resources:
        names, settings = self.names, self.settings
        own = title(function.name)
        policy = function_policy(self.app, function, names, "${Api}", settings.stage)
        environment = self._environment(function)
        made: dict[str, object] = {
            "FunctionName": names.function(function),
            "Runtime": settings.runtime,
            "Architectures": [ARCHITECTURE],
            "Handler": function.handler,
            "Role": {"Fn::GetAtt": [f"{own}Role", "Arn"]},
            "Timeout": function.timeout_s,
            "MemorySize": function.memory_mb,
            "Code": {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
            "Tags": self.tags,
        }
        return {
            f"{own}FunctionLog": log_group(names.log_group(function), settings, names),
            f"{own}Role": resource(
                "AWS::IAM::Role",
                Path=names.role_path,
                RoleName=names.role(function),
                Description=f"{names.function(function)} of {names.stack}",
                AssumeRolePolicyDocument=TRUST,
                Policies=[{"PolicyName": POLICY_NAME, "PolicyDocument": policy}],
                Tags=self.tags,
            ),
            f"{own}Function": {
                "Type": "AWS::Lambda::Function",
                # Lambda would make the group itself otherwise, without an end to its logs.
                "DependsOn": f"{own}FunctionLog",
                "Properties": made | ({"Environment": {"Variables": environment}} if environment else {}),
            },
        }

    def _environment(self, function: FunctionSpec) -> dict[str, object]:
        own = function_environment(
            self.app,
            function,
            self.names,
            shared={},
            queue_urls={queue.name: f"${{{title(queue.name)}Queue}}" for queue in self.app.queues},
            auth={},
        )
        # The user's own values are taken as they are: a `${` in them means nothing.
        given = {name: value for name, value in self.options.environment.items() if value}
        environment = {**given, **{name: resolved(value) for name, value in own.items()}}
        return {**environment, **self.auth.environment} if function.authorizer else environment

    def _event_sources(self, function: FunctionSpec) -> Resources:
        return {
            f"{title(function.name)}EventSource": resource(
                "AWS::Lambda::EventSourceMapping",
                EventSourceArn={"Fn::GetAtt": [f"{title(queue.name)}Queue", "Arn"]},
                FunctionName={"Ref": f"{title(function.name)}Function"},
                **EVENT_SOURCE,
                Tags=self.tags,
            )
            for queue in self.app.queues
            if queue.name == function.consumes
        }
