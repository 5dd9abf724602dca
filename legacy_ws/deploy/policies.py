"""IAM documents of a stack. until phase 3

Pure. Source: IAM user guide, "Grammar of the IAM JSON policy language"; API Gateway developer guide,
"Control access to a WebSocket API with IAM" (resource of `execute-api:ManageConnections`:
api/stage/POST/@connections/*).
"""

from __future__ import annotations

from legacy_ws.deploy.spec import AppSpec, FunctionSpec, StackNames

__all__ = ["TRUST", "function_policy"]

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


def function_policy(
    app: AppSpec, function: FunctionSpec, names: StackNames, api_id: str, stage: str
) -> dict[str, object]:
    """What one function may do: write its own log, and its grants."""
    statements: list[dict[str, object]] = [
        {
            "Sid": "Log",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{names.log_group_arn(function)}:*",
        }
    ]
    tables = {table.name: table for table in app.tables}
    for grant in function.grants:
        if grant.on == "management":
            resource = names.execute_api_arn(api_id, f"{stage}/POST/@connections/*")
        else:
            resource = names.table_arn(tables[grant.on])
        statements.append(
            {
                "Sid": grant.on.capitalize(),
                "Effect": "Allow",
                "Action": sorted(grant.actions),
                "Resource": resource,
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}
