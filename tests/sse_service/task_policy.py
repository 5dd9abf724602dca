"""The IAM policy of sse_service/deploy/data.yaml, asked about each call that the service makes to AWS.

A transaction is permitted by its parts (DynamoDB developer guide, "Amazon DynamoDB Transactions: How it works", "IAM
permissions"), a batch of SQS by the action of its single form (SQS developer guide, "Amazon SQS API permissions"), a
HEAD of an object by s3:GetObject (S3 user guide, "Required permissions for Amazon S3 API operations").
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["DEPLOY", "TaskPolicy", "is_called_by_the_service", "load_template"]

PACKAGE = Path(__file__).parents[2] / "sse_service"
DEPLOY = PACKAGE / "deploy"
PASSING_ON = {str(PACKAGE / "adapters" / name) for name in ("dynamodb.py", "sqs.py")}
"""What tests use as well, to set up and to look at tables and queues of their own."""
PARAMETERS = {"MessagesTable": r"t[0-9]+-rooms-ChatMessages", "TransportTable": r"flags-[0-9]+", "Fifo": r"(\.fifo)?"}
"""Tables that belong to somebody else, as the tests call them; and how a queue's name may end."""

CREATE_TABLES = frozenset({"CreateTable", "DescribeTimeToLive", "UpdateTimeToLive"})
"""Of `sse-service create-tables`, which an operator runs and no task does."""

WRITES = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
S3_ACTIONS = {"HeadObject": "GetObject", "HeadBucket": "ListBucket"}


class _Loader(yaml.SafeLoader):
    """CloudFormation's tags as what stands behind them."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix: value}


_Loader.add_multi_constructor("!", _tagged)


def load_template(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((DEPLOY / name).read_text(), _Loader)
    return loaded


class TaskPolicy:
    """The policy with names as tests have them: any prefix, any bucket."""

    def __init__(self) -> None:
        self._template = load_template("data.yaml")
        policy = self._template["Resources"]["TaskPolicy"]["Properties"]["PolicyDocument"]
        self._allowed = [
            (f"{self._kind(action)}:{action.partition(':')[2]}", pattern)
            for statement in (one.get("If", [0, one])[1] for one in policy["Statement"])
            for action in _list(statement["Action"])
            for pattern in map(self._pattern, _list(statement["Resource"]))
        ]

    def _kind(self, action: str) -> str:
        return action.partition(":")[0]

    def _pattern(self, resource: Mapping[str, str]) -> re.Pattern[str]:
        """What the last part of the ARN must look like: a table's or a queue's name, a bucket or an object in it."""
        if "GetAtt" in resource:
            properties = self._template["Resources"][resource["GetAtt"].removesuffix(".Arn")]["Properties"]
            text = (properties.get("TableName") or properties.get("QueueName"))["Sub"]
            if "QueueName" in properties:  # whoever wants it in order makes it a FIFO queue
                text += "${Fifo}"
        else:
            text = resource["Sub"].rpartition(":")[2].removeprefix("table/")
        parts = re.split(r"\$\{(\w+)\}|(\*)", text)
        # Texts, names of parameters and stars by turns.
        found = [re.escape(part or "") for part in parts[::3]]
        for at, (parameter, star) in enumerate(zip(parts[1::3], parts[2::3], strict=True)):
            found[at] += ".*" if star else PARAMETERS.get(parameter, "[a-z0-9.-]+")
        return re.compile("".join(found))

    def refusals(self, service: str, operation: str, arguments: Mapping[str, Any]) -> list[str]:
        """What of a call the policy does not permit."""
        return [
            f"{service}:{action} on {resource}"
            for action, resource in _needs(service, operation, arguments)
            if not any(
                allowed == f"{service}:{action}" and pattern.fullmatch(resource) for allowed, pattern in self._allowed
            )
        ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _needs(service: str, operation: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(action, resource) of a call."""
    if service == "dynamodb" and operation not in CREATE_TABLES:
        if operation == "TransactWriteItems":
            for write in arguments["TransactItems"]:
                for kind, what in write.items():
                    yield WRITES[kind], what["TableName"]
        elif operation == "BatchGetItem":
            for table in arguments["RequestItems"]:
                yield operation, table
        else:
            table = arguments["TableName"]
            yield operation, f"{table}/index/{arguments['IndexName']}" if "IndexName" in arguments else table
    elif service == "sqs":
        yield operation.removesuffix("Batch"), arguments.get("QueueName") or arguments["QueueUrl"].rpartition("/")[2]
    elif service == "s3":
        bucket, key = arguments["Bucket"], arguments.get("Key")
        yield S3_ACTIONS.get(operation, operation), bucket if key is None else f"{bucket}/{key}"


def is_called_by_the_service() -> bool:
    """Whether it is code of the service, and not of a test, that has made the call in progress."""
    frame = sys._getframe(1)
    while (at := frame.f_back) is not None:
        frame, name = at, at.f_code.co_filename
        if name.startswith(str(PACKAGE)) and name not in PASSING_ON:
            return True
        if name.startswith(str(Path(__file__).parent)):
            return False
    return True
