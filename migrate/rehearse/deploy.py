"""Puts a team's own stack onto the local AWS, from its description and packages. until phase 3

Tables, a role, functions, API with authorizer, integrations, routes and stage (Amazon API Gateway V2 API reference,
CreateApi ... CreateDeployment; DynamoDB CreateTable; SQS CreateQueue; Lambda CreateFunction,
CreateEventSourceMapping), under the names of the description.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config.model import EventSource, Function, Table
from migrate.errors import UsageError
from migrate.init.sources import batch_size_of
from migrate.rehearse.own import OwnPlan
from migrate.rehearse.sources import queues_of

__all__ = ["Deployed", "deploy", "filled", "table_request"]

_NAME = re.compile(r"\{\$([a-z_]+(?:\.[A-Za-z0-9_.-]+)?)\}")
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
# The local AWS does not evaluate it; `cleanup resources` keeps it in its export.
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["dynamodb:*", "execute-api:*", "logs:*", "sqs:*"], "Resource": "*"}],
}


@dataclass(frozen=True)
class Deployed:
    """Where it is."""

    api_id: str
    ws_url: str
    management_url: str


def deploy(
    plan: OwnPlan, client: Callable[[str], Any], *, region: str, account: str, secret: str,
    env: Mapping[str, Mapping[str, str]],
) -> Deployed:  # fmt: skip
    """Make all of it.

    Args:
        client: makes clients of the local AWS.
        secret: signs the people's tokens.
        env: further stand-ins by function; "" is for all of them. They win over the description's.

    Raises: UsageError: the local AWS refused something of the description.
    """
    try:
        return _Deployment(plan, client, region, account, secret, env).run()
    except ClientError as error:
        said = error.response["Error"].get("Message", "")[:300]
        raise UsageError(
            f"the local AWS refused {error.operation_name}: {said}", "correct the description, or the package"
        ) from error
    except BotoCoreError as error:
        raise UsageError(f"the local AWS refused a call: {error}", "correct the description") from error


def filled(text: str, values: Mapping[str, str]) -> str:
    """A stand-in with its `{$name}` filled in; everything else in it is as it is. Raises: UsageError."""

    def value(found: re.Match[str]) -> str:
        if found.group(1) not in values:
            known = ", ".join(f"{{${name}}}" for name in values)
            raise UsageError(f"there is no {found.group()}", f"known here are {known}")
        return values[found.group(1)]

    return _NAME.sub(value, text)


def table_request(table: Table) -> dict[str, Any]:
    """What CreateTable takes."""
    keys = [table.partition_key or table.key, *([table.sort_key] if table.sort_key else [])]
    indexes = {name: [str(one) for one in names] for name, names in table.indexes.items()}
    for name, attribute in ((table.user_index, table.user), (table.tenant_index, table.tenant)):
        if name and attribute:
            indexes.setdefault(name, [attribute])
    attributes = dict.fromkeys([*keys, *(one for names in indexes.values() for one in names)])
    request: dict[str, Any] = {
        "TableName": table.name,
        "KeySchema": _key_schema(keys),
        "AttributeDefinitions": [
            {"AttributeName": one, "AttributeType": str(table.key_types.get(one, "S"))} for one in attributes
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if indexes:
        request["GlobalSecondaryIndexes"] = [
            {"IndexName": name, "KeySchema": _key_schema(names), "Projection": {"ProjectionType": "ALL"}}
            for name, names in indexes.items()
        ]
    return request


def _key_schema(names: list[str]) -> list[dict[str, str]]:
    return [
        {"AttributeName": one, "KeyType": kind} for one, kind in zip(names, ("HASH", "RANGE"), strict=False)
    ]  # fmt: skip


class _Deployment:
    def __init__(
        self, plan: OwnPlan, client: Callable[[str], Any], region: str, account: str, secret: str,
        env: Mapping[str, Mapping[str, str]],
    ) -> None:  # fmt: skip
        self._plan, self._settings, self._client = plan, plan.settings, client
        self._region, self._account, self._env = region, account, env
        self._gateway = client("apigatewayv2")
        self._values = {"secret": secret, "region": region}

    def run(self) -> Deployed:
        streams = self._tables()
        self._queues()
        self._stand_ins()
        settings = self._settings
        api = self._gateway.create_api(
            Name=settings.project.name, ProtocolType="WEBSOCKET", RouteSelectionExpression=settings.api.route_selection
        )
        ws_url = f"{api['ApiEndpoint']}/{settings.api.stage}"
        management_url = ws_url.replace("wss://", "https://", 1).replace("ws://", "http://", 1)
        self._values |= {"api_id": api["ApiId"], "management_url": management_url}
        role = self._role()
        arns = {one.name: self._function(one, role) for one in settings.functions}
        for function in settings.functions:
            for source in function.event_sources:
                self._source(function, source, streams)
        self._routes(api["ApiId"], arns)
        self._gateway.create_stage(ApiId=api["ApiId"], StageName=settings.api.stage)
        self._gateway.create_deployment(ApiId=api["ApiId"], StageName=settings.api.stage)
        return Deployed(api["ApiId"], ws_url, management_url)

    def _tables(self) -> dict[str, str]:
        """Returns: ARNs of the streams by table."""
        dynamodb = self._client("dynamodb")
        streaming = {
            source.name for one in self._settings.functions for source in one.event_sources if source.type == "dynamodb"
        }
        streams = {}
        for table in self._settings.tables:
            # Of the views, the one that has everything.
            view = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            more = {"StreamSpecification": view} if table.name in streaming else {}
            made = dynamodb.create_table(**table_request(table), **more)
            if more:
                streams[table.name] = made["TableDescription"]["LatestStreamArn"]
            dynamodb.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig={"Delay": 1})
            if table.ttl:
                dynamodb.update_time_to_live(
                    TableName=table.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl}
                )

        return streams

    def _queues(self) -> None:
        sqs = self._client("sqs")
        for name, hidden_s in queues_of(self._settings.functions, self._env).items():
            attributes = {"VisibilityTimeout": str(hidden_s)}
            if name.endswith(".fifo"):
                attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
            url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
            self._values |= {f"queue_url.{name}": url, f"queue_arn.{name}": found["QueueArn"]}

    def _source(self, function: Function, source: EventSource, streams: Mapping[str, str]) -> None:
        if source.type == "schedule":
            # The rehearsal invokes it itself (migrate.rehearse.schedules).
            return
        more: dict[str, Any] = {"FunctionResponseTypes": ["ReportBatchItemFailures"]} if (
            source.report_batch_item_failures) else {}  # fmt: skip
        if source.filters:
            more["FilterCriteria"] = {"Filters": [{"Pattern": one} for one in source.filters]}
        if source.batch_window_s:
            more["MaximumBatchingWindowInSeconds"] = source.batch_window_s
        is_queue = source.type == "sqs"
        if not is_queue:
            more["StartingPosition"] = "TRIM_HORIZON"
        self._client("lambda").create_event_source_mapping(
            FunctionName=function.name,
            EventSourceArn=self._values[f"queue_arn.{source.name}"] if is_queue else streams[source.name],
            BatchSize=batch_size_of(source),
            **more,
        )

    def _stand_ins(self) -> None:
        given = self._settings.rehearse
        for name, value in given.secrets.items():
            self._client("secretsmanager").create_secret(Name=name, SecretString=filled(str(value), self._values))
        for name, value in given.parameters.items():
            text = filled(str(value), self._values)
            self._client("ssm").put_parameter(Name=name, Value=text, Type="String", Overwrite=True)

    def _role(self) -> str:
        iam, name = self._client("iam"), f"{self._settings.project.name}-rehearsal"
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="rehearsal", PolicyDocument=json.dumps(_POLICY))
        return str(arn)

    def _function(self, function: Function, role: str) -> str:
        lambda_ = self._client("lambda")
        given = {**function.env, **self._env.get("", {}), **self._env.get(function.name, {})}
        made = lambda_.create_function(
            FunctionName=function.name,
            Runtime=function.runtime,
            Handler=function.handler,
            Role=role,
            Timeout=function.timeout_s,
            Code={"ZipFile": self._plan.packages[function.name].code},
            Environment={"Variables": {name: filled(str(value), self._values) for name, value in given.items()}},
        )
        lambda_.get_waiter("function_active_v2").wait(FunctionName=function.name, WaiterConfig={"Delay": 1})
        lambda_.add_permission(
            FunctionName=function.name,
            StatementId="api",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:{self._region}:{self._account}:{self._values['api_id']}/*",
        )
        return str(made["FunctionArn"])

    def _routes(self, api_id: str, arns: Mapping[str, str]) -> None:
        by = next((one for one in self._settings.functions if one.role == "authorizer"), None)
        authorizer = ""
        if by is not None:
            authorizer = self._gateway.create_authorizer(
                ApiId=api_id,
                Name=by.name,
                AuthorizerType="REQUEST",
                AuthorizerUri=self._uri(arns[by.name]),
                IdentitySource=list(by.identity_sources),
            )["AuthorizerId"]
        for function in self._settings.functions:
            if not function.routes:
                continue
            integration = self._gateway.create_integration(
                ApiId=api_id,
                IntegrationType="AWS_PROXY",
                IntegrationMethod="POST",
                IntegrationUri=self._uri(arns[function.name]),
            )["IntegrationId"]
            for key in function.routes:
                guarded = authorizer and key == "$connect"
                more = {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer} if guarded else {}
                self._gateway.create_route(
                    ApiId=api_id, RouteKey=key, Target=f"integrations/{integration}", **more
                )  # fmt: skip

    def _uri(self, arn: str) -> str:
        return f"arn:aws:apigateway:{self._region}:lambda:path/2015-03-31/functions/{arn}/invocations"
