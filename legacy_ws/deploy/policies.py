"""IAM documents of a stack. until phase 3

Pure. Source: IAM user guide, "Grammar of the IAM JSON policy language"; API Gateway developer guide,
"Control access to a WebSocket API with IAM" (resource of `execute-api:ManageConnections`:
api/stage/POST/@connections/*); Lambda developer guide, "Using Lambda with Amazon SQS" (what a consumer needs);
DynamoDB developer guide, "Using IAM policies: indexes" (a query of an index is asked for on the index's own ARN).
"""

from __future__ import annotations

from collections.abc import Iterator

from legacy_ws.deploy.spec import AppSpec, FunctionSpec, StackNames

__all__ = ["CONSUME", "TRUST", "function_policy"]

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
CONSUME = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
"""What Lambda does with a queue in the name of the function that it calls."""

_METHODS = {"management": "POST", "close": "DELETE"}
_ON_INDEXES = {"dynamodb:Query", "dynamodb:Scan"}


def function_policy(
    app: AppSpec, function: FunctionSpec, names: StackNames, api_id: str, stage: str
) -> dict[str, object]:
    """What one function may do: write its own log, take from the queue it consumes, and its grants."""
    statements = [
        _statement("Log", ("logs:CreateLogStream", "logs:PutLogEvents"), f"{names.log_group_arn(function)}:*")
    ]
    allowed: dict[str, set[str]] = {}
    for grant in function.grants:
        allowed.setdefault(grant.on, set()).update(grant.actions)
    if function.consumes:
        allowed.setdefault(function.consumes, set()).update(CONSUME)
    for on, actions in allowed.items():
        statements += _statements(app, on, actions, names, api_id, stage)
    return {"Version": "2012-10-17", "Statement": statements}


def _statements(
    app: AppSpec, on: str, actions: set[str], names: StackNames, api_id: str, stage: str
) -> Iterator[dict[str, object]]:
    sid = "".join(letter for letter in on.title() if letter.isalnum())
    if on in _METHODS:
        yield _statement(sid, actions, names.execute_api_arn(api_id, f"{stage}/{_METHODS[on]}/@connections/*"))
        return
    for table in app.tables:
        if table.name == on:
            yield _statement(sid, actions, names.table_arn(table))
            if table.indexes and actions & _ON_INDEXES:
                indexes = [names.index_arn(table, index) for index in table.indexes]
                yield _statement(f"{sid}Indexes", actions & _ON_INDEXES, indexes)
            return
    arns = {queue.name: names.queue_arn(queue) for queue in app.queues}
    arns |= {function.name: names.function_arn(function) for function in app.functions}
    yield _statement(sid, actions, arns[on])


def _statement(sid: str, actions: set[str] | tuple[str, ...], resource: str | list[str]) -> dict[str, object]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resource}
