"""What a function's role may do for the tee: send to the API's queue, and nothing else. until phase 3"""

from __future__ import annotations

import json
from typing import Any

from migrate.tee.function_configuration import API_ID, HANDLER

__all__ = ["allow", "disallow"]

# An API's own: functions of two APIs may share a role.
POLICY_NAME = "ws2sse-tee-{api_id}"


def allow(iam: Any, role: str, api_id: str, queue_arn: str) -> None:
    """Let a role, by its name, send to a queue."""
    iam.put_role_policy(
        RoleName=role,
        PolicyName=POLICY_NAME.format(api_id=api_id),
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": ["sqs:SendMessage", "sqs:GetQueueAttributes"],
                        "Resource": queue_arn,
                    }
                ],
            }
        ),
    )


def disallow(lambda_: Any, iam: Any, roles: set[str]) -> None:
    """Delete the tee's policies of these roles that no function needs any more: functions may share a role."""
    prefix = POLICY_NAME.format(api_id="")
    policies: list[tuple[str, str, str]] = []
    for role in sorted(roles):
        role_name = role.rsplit("/", 1)[-1]
        try:
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
                policies += [(role, role_name, policy) for policy in page["PolicyNames"] if policy.startswith(prefix)]
        except iam.exceptions.NoSuchEntityException:
            continue  # the role is gone, and its policies with it
    if not policies:
        return
    needed = set()
    for page in lambda_.get_paginator("list_functions").paginate():
        for configuration in page["Functions"]:
            if configuration["Role"] in roles and configuration.get("Handler") == HANDLER:
                variables = (configuration.get("Environment") or {}).get("Variables", {})
                needed.add((configuration["Role"], variables.get(API_ID)))
    for role, role_name, policy in policies:
        # Whose tee it is cannot be told when the variables cannot be read: then it is left to work.
        if (role, policy[len(prefix) :]) not in needed and (role, None) not in needed:
            iam.delete_role_policy(RoleName=role_name, PolicyName=policy)
