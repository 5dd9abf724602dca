"""Everything of a deployed stack that somebody could notice, as flat facts: where -> what. until phase 3

Names of the stack become STACK, ids become what they stand for, so that two stacks of one application compare equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local_stack import LocalStack

__all__ = ["picture"]


def picture(aws: LocalStack, stack: str) -> dict[str, Any]:
    """Facts about a stack in the local AWS."""
    found = _Reader(aws, stack)
    whole = {
        "table": dict(found.tables()),
        "queue": dict(found.queues()),
        "event source": dict(found.event_sources()),
        "log group": dict(found.log_groups()),
        "role": dict(found.roles()),
        "function": dict(found.functions()),
        "user pool": dict(found.user_pools()),
        **found.api(),
    }
    text = json.dumps(whole, default=str)
    for identifier, name in found.ids.items():
        text = text.replace(identifier, name)
    for before, after in (
        # MiniStack calls the host of a queue localhost in templates, and what it was asked by in API calls.
        ("http://localhost:", "http://127.0.0.1:"),
        (f"{stack}-", "STACK-"),
        (f"/{stack}/", "/STACK/"),
        (f"/{stack}", "/STACK"),
        (json.dumps(stack), '"STACK"'),
        (f" {stack}", " STACK"),
    ):
        text = text.replace(before, after)
    return dict(_flat(json.loads(text), ""))


class _Reader:
    def __init__(self, aws: LocalStack, stack: str) -> None:
        self.aws, self.stack, self.prefix = aws, stack, f"{stack}-"
        gateway = aws.client("apigatewayv2")
        self.api_id = next(one["ApiId"] for one in gateway.get_apis()["Items"] if one["Name"] == stack)
        self.ids = {self.api_id: "API"}

    def tables(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("dynamodb")
        for name in client.list_tables()["TableNames"]:
            if name.startswith(self.prefix):
                table = client.describe_table(TableName=name)["Table"]
                yield (
                    name,
                    {
                        "keys": table["KeySchema"],
                        "attributes": sorted(map(str, table["AttributeDefinitions"])),
                        "indexes": {
                            one["IndexName"]: [one["KeySchema"], one["Projection"]]
                            for one in table.get("GlobalSecondaryIndexes", [])
                        },
                        "billing": table["BillingModeSummary"]["BillingMode"],
                        "ttl": client.describe_time_to_live(TableName=name)["TimeToLiveDescription"],
                        "tags": _pairs(client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]),
                    },
                )

    def queues(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("sqs")
        for url in client.list_queues(QueueNamePrefix=self.prefix).get("QueueUrls", []):
            attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            yield (
                url.rpartition("/")[2],
                {
                    "attributes": {
                        name: json.loads(value) if value.startswith("{") else value
                        for name, value in attributes.items()
                        if "Timestamp" not in name and "Approximate" not in name
                    },
                    "tags": client.list_queue_tags(QueueUrl=url).get("Tags", {}),
                },
            )

    def event_sources(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("lambda")
        for one in client.list_event_source_mappings()["EventSourceMappings"]:
            function = one["FunctionArn"].rpartition(":")[2]
            if function.startswith(self.prefix):
                shown = {key: one.get(key) for key in ("State", "BatchSize", "FunctionResponseTypes", "EventSourceArn")}
                shown["tags"] = client.list_tags(Resource=one["EventSourceMappingArn"])["Tags"]
                yield function, shown

    def log_groups(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("logs")
        for page in client.get_paginator("describe_log_groups").paginate():
            for one in page["logGroups"]:
                name = one["logGroupName"]
                if name.startswith(f"/aws/lambda/{self.prefix}") or name == f"/aws/apigateway/{self.stack}":
                    tags = client.list_tags_for_resource(resourceArn=one["arn"].removesuffix(":*"))["tags"]
                    yield name, {"retention": one.get("retentionInDays"), "tags": tags}

    def roles(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("iam")
        for one in client.list_roles(PathPrefix=f"/ws2sse/{self.stack}/")["Roles"]:
            name = one["RoleName"]
            policies = [
                client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in client.list_role_policies(RoleName=name)["PolicyNames"]
            ]
            role = client.get_role(RoleName=name)["Role"]
            yield (
                name,
                {
                    "path": one["Path"],
                    "trust": role["AssumeRolePolicyDocument"],
                    "description": role.get("Description"),
                    "attached": client.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
                    "may": sorted({right for document in policies for right in _rights(document)}),
                    "tags": _pairs(client.list_role_tags(RoleName=name)["Tags"]),
                },
            )

    def functions(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("lambda")
        for page in client.get_paginator("list_functions").paginate():
            for one in page["Functions"]:
                name = one["FunctionName"]
                if not name.startswith(self.prefix):
                    continue
                shown = {
                    key: one.get(key)
                    for key in ("Handler", "Runtime", "Timeout", "MemorySize", "Role", "Architectures", "CodeSha256")
                }
                shown["environment"] = one.get("Environment", {}).get("Variables", {})
                shown["callers"] = sorted(self._callers(client, name))
                shown["tags"] = client.list_tags(Resource=one["FunctionArn"])["Tags"]
                yield name, shown

    def _callers(self, client: Any, name: str) -> Iterator[str]:
        try:
            policy = json.loads(client.get_policy(FunctionName=name)["Policy"])
        except client.exceptions.ResourceNotFoundException:
            return
        for one in policy["Statement"]:
            source = next(iter(one["Condition"].values()))
            yield f"{one['Principal']['Service']} {one['Action']} from {next(iter(source.values()))}"

    def user_pools(self) -> Iterator[tuple[str, Any]]:
        client = self.aws.client("cognito-idp")
        for one in client.list_user_pools(MaxResults=60)["UserPools"]:
            if one["Name"] != f"{self.stack}-users":
                continue
            self.ids[one["Id"]] = "POOL"
            pool = client.describe_user_pool(UserPoolId=one["Id"])["UserPool"]
            clients = {}
            for each in client.list_user_pool_clients(UserPoolId=one["Id"], MaxResults=60)["UserPoolClients"]:
                self.ids[each["ClientId"]] = "CLIENT"
                made = client.describe_user_pool_client(UserPoolId=one["Id"], ClientId=each["ClientId"])
                clients[each["ClientName"]] = {
                    key: value
                    for key, value in made["UserPoolClient"].items()
                    if key not in ("ClientId", "CreationDate", "LastModifiedDate", "UserPoolId")
                }
            yield (
                one["Name"],
                {
                    "settings": {
                        key: pool.get(key)
                        for key in ("UsernameAttributes", "AutoVerifiedAttributes", "UsernameConfiguration", "Policies")
                    },
                    "clients": clients,
                    "tags": pool.get("UserPoolTags", {}),
                },
            )

    def api(self) -> dict[str, Any]:
        client = self.aws.client("apigatewayv2")
        api = client.get_api(ApiId=self.api_id)
        integrations = client.get_integrations(ApiId=self.api_id)["Items"]
        authorizers = client.get_authorizers(ApiId=self.api_id)["Items"]
        self.ids |= {one["AuthorizerId"]: "AUTHORIZER" for one in authorizers}
        targets = {f"integrations/{one['IntegrationId']}": one["IntegrationUri"] for one in integrations}
        return {
            "api": {key: api.get(key) for key in ("ProtocolType", "RouteSelectionExpression")} | {"tags": api["Tags"]},
            "authorizer": {
                one["Name"]: {key: one.get(key) for key in ("AuthorizerType", "AuthorizerUri", "IdentitySource")}
                for one in authorizers
            },
            "integration": {
                one["IntegrationUri"]: {
                    key: one.get(key) for key in ("IntegrationType", "IntegrationMethod", "TimeoutInMillis")
                }
                for one in integrations
            },
            "route": {
                one["RouteKey"]: {
                    "function": targets[one["Target"]],
                    "authorization": one["AuthorizationType"],
                    "authorizer": one.get("AuthorizerId") or None,
                }
                for one in client.get_routes(ApiId=self.api_id)["Items"]
            },
            "stage": {
                one["StageName"]: {
                    "routes": one.get("DefaultRouteSettings"),
                    "access log": one.get("AccessLogSettings"),
                    "deployed": bool(one.get("DeploymentId")),
                    "automatic": one.get("AutoDeploy", False),
                    "tags": one["Tags"],
                }
                for one in client.get_stages(ApiId=self.api_id)["Items"]
            },
        }


def _rights(document: Mapping[str, Any]) -> Iterator[str]:
    """`action on resource` for each right that a policy gives."""
    for statement in document["Statement"]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        for action in statement["Action"]:
            yield from (f"{statement['Effect']} {action} on {resource}" for resource in resources)


def _pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{path} / {key}" if path else key)
    else:
        yield path, value
