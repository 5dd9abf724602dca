"""A deployed stack of one application: what a removal takes of it, and a restore brings back. until phase 3"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from loadtests.trials.machines import KEYS, client, text_of

__all__ = ["BUCKET", "Stack"]

LEGACY_WS = str(Path(sys.executable).parent / "legacy-ws")
BUCKET = "trial-records"
ROWS = 450


class Stack:
    """A deployed stack with an alarm, log groups, and rows that are no connections in its table of connections."""

    def __init__(self, aws: dict[str, Any], app: str, name: str) -> None:
        self.aws, self.name = aws, name
        self.env = {**KEYS, "AWS_ENDPOINT_URL": aws["aws_endpoint_url"], "AWS_DEFAULT_REGION": aws["region"]}
        deployed = subprocess.run(
            [LEGACY_WS, "deploy", name, "--app", app, "--json"],
            check=True, capture_output=True, env={**os.environ, **self.env},
        )  # fmt: skip
        self.deployed: dict[str, Any] = json.loads(deployed.stdout)
        self.table: str = self.deployed["tables"]["connections"]
        self.functions = sorted(self.deployed["functions"].values())
        self._furnish()

    def client(self, service: str) -> Any:
        return client(service, self.aws["aws_endpoint_url"], self.aws["region"])

    def _furnish(self) -> None:
        dynamodb, logs = self.client("dynamodb"), self.client("logs")
        [key] = [
            one["AttributeName"]
            for one in dynamodb.describe_table(TableName=self.table)["Table"]["KeySchema"]
            if one["KeyType"] == "HASH"
        ]
        for number in range(ROWS):
            item = {key: {"S": f"meta#{number}"}, "n": {"N": f"{number}.50"}, "b": {"B": bytes([number % 256])}}
            dynamodb.put_item(TableName=self.table, Item=item)
        self.key = key
        for function in self.functions:
            try:
                logs.create_log_group(logGroupName=f"/aws/lambda/{function}")
            except logs.exceptions.ResourceAlreadyExistsException:
                logs.delete_retention_policy(logGroupName=f"/aws/lambda/{function}")
        self.client("cloudwatch").put_metric_alarm(
            AlarmName=f"{self.name}-errors", Namespace="AWS/ApiGateway", MetricName="IntegrationError",
            Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanThreshold", Dimensions=[{"Name": "ApiId", "Value": self.deployed["api_id"]}],
        )  # fmt: skip

    def toml(self, endpoint: str) -> str:
        """The description that `migrate` takes, by hand: nothing of it is imported here."""
        functions = "".join(f'[[functions]]\nname = "{one}"\n' for one in self.functions)
        return f"""schema = 1
[project]
name = "{self.name}"
state_table = "{self.name}-state"
records = "s3://{BUCKET}/{self.name}"
[api]
id = "{self.deployed["api_id"]}"
stage = "prod"
region = "{self.aws["region"]}"
endpoint_url = "{endpoint}"
management_url = "{self.deployed["management_url"]}"
[[tables]]
name = "{self.table}"
role = "connections"
key = "{self.key}"
row_prefix = "connection#"
{functions}[cleanup]
quiet_hours = 0.0
"""

    def seen(self) -> dict[str, Any]:
        """Everything of it, without what AWS counts and numbers by itself; the stack's name as NAME."""
        found: dict[str, Any] = {}
        for part in (self._functions, self._tables, self._roles, self._queues, self._rest):
            found |= part()
        return {key.replace(self.name, "NAME"): value for key, value in found.items()}

    def _functions(self) -> dict[str, Any]:
        lambda_, found = self.client("lambda"), {}
        for name in self.functions:
            try:
                function = lambda_.get_function(FunctionName=name)
            except lambda_.exceptions.ResourceNotFoundException:
                continue
            code = httpx.get(function["Code"]["Location"], trust_env=False).content
            found[f"function {name}"] = {
                "code": hashlib.sha256(code).hexdigest(),
                "tags": function.get("Tags") or {},
                "concurrency": function.get("Concurrency"),
                **_without(function["Configuration"], "LastModified", "RevisionId", "LastUpdateStatus", "State"),
            }
            for page in lambda_.get_paginator("list_event_source_mappings").paginate(FunctionName=name):
                for one in page["EventSourceMappings"]:
                    kept = _without(one, "UUID", "LastModified", "StateTransitionReason", "EventSourceMappingArn")
                    found[f"mapping {name} {one['EventSourceArn']}"] = kept
        return found

    def _tables(self) -> dict[str, Any]:
        dynamodb, found = self.client("dynamodb"), {}
        for name in self.deployed["tables"].values():
            try:
                table = dynamodb.describe_table(TableName=name)["Table"]
            except dynamodb.exceptions.ResourceNotFoundException:
                continue
            pages = dynamodb.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
            found[f"table {name}"] = {
                "keys": table["KeySchema"],
                "indexes": sorted(
                    json.dumps([one["IndexName"], one["KeySchema"], one["Projection"]], sort_keys=True)
                    for one in table.get("GlobalSecondaryIndexes", ())
                ),
                "ttl": dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"].get("AttributeName"),
                "rows": sorted(text_of(item) for page in pages for item in page["Items"]),
            }
        return found

    def _roles(self) -> dict[str, Any]:
        iam, found = self.client("iam"), {}
        for page in iam.get_paginator("list_roles").paginate():
            for role in page["Roles"]:
                name = role["RoleName"]
                if not name.startswith(f"{self.name}-"):
                    continue
                inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
                attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
                found[f"role {name}"] = {
                    "trust": role["AssumeRolePolicyDocument"],
                    "path": role["Path"],
                    "inline": {
                        one: iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in inline
                    },
                    "attached": sorted(one["PolicyArn"] for one in attached),
                }
        return found

    def _queues(self) -> dict[str, Any]:
        sqs, found = self.client("sqs"), {}
        for url in sqs.list_queues(QueueNamePrefix=f"{self.name}-").get("QueueUrls", ()):
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            found[f"queue {url.rsplit('/', 1)[-1]}"] = {
                key: value
                for key, value in attributes.items()
                if not key.startswith(("Approximate", "CreatedTimestamp", "LastModified"))
            }
        return found

    def _rest(self) -> dict[str, Any]:
        apis = self.client("apigatewayv2").get_apis()["Items"]
        found: dict[str, Any] = {"api": True} if self.deployed["api_id"] in {one["ApiId"] for one in apis} else {}
        alarms = self.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{self.name}-")["MetricAlarms"]
        for one in alarms:
            found[f"alarm {one['AlarmName']}"] = {
                key: value for key, value in one.items() if not key.startswith("State") and "Timestamp" not in key
            }
        groups = self.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{self.name}-")["logGroups"]
        return found | {f"log group {one['logGroupName']}": one.get("retentionInDays") for one in groups}


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key not in {*keys, "ResponseMetadata"}}
