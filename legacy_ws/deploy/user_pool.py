"""Ensure-steps of a stack's own Cognito user pool. until phase 3

Source: Amazon Cognito user pools API reference (CreateUserPool, CreateUserPoolClient). Names of pools are not
unique: a pool is ours by its tag. Clients carry no tags; they go with their pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from legacy_ws.aws import error_code
from legacy_ws.deploy.shapes import USER_POOL, USER_POOL_CLIENT
from legacy_ws.deploy.spec import TAG, StackNames
from legacy_ws.deploy.steps import Action
from legacy_ws.errors import RefusedError, UsageError

__all__ = ["ensure_user_pool", "ensure_user_pool_client", "own_user_pool", "require_user_pool", "user_pools"]


def user_pools(client: Any, names: StackNames) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and tags of every user pool that is called as the stack's own would be."""
    for page in client.get_paginator("list_user_pools").paginate(MaxResults=60):
        for pool in page["UserPools"]:
            if pool["Name"] == names.user_pool:
                try:
                    described = client.describe_user_pool(UserPoolId=pool["Id"])["UserPool"]
                except client.exceptions.ResourceNotFoundException:
                    continue
                yield pool["Id"], described.get("UserPoolTags", {})


def own_user_pool(client: Any, names: StackNames) -> str | None:
    """Id of the stack's own pool. Raises: RefusedError: there are several."""
    ids = [pool for pool, tags in user_pools(client, names) if tags.get(TAG) == names.stack]
    if len(ids) > 1:
        raise RefusedError(
            f"stack {names.stack} has several user pools: {', '.join(sorted(ids))}",
            "delete the ones without users that you need, or name one: --user-pool-id",
        )
    return ids[0] if ids else None


def require_user_pool(client: Any, pool: str, client_id: str | None, note: Callable[[str], None]) -> None:
    """Somebody's pool, and the client when one is named, are there. Whoever may not look is told so by `note`.

    Raises: UsageError: they are not.
    """
    what = f"user pool {pool}"
    try:
        client.describe_user_pool(UserPoolId=pool)
        if client_id:
            what = f"client {client_id} of user pool {pool}"
            client.describe_user_pool_client(UserPoolId=pool, ClientId=client_id)
    except client.exceptions.ClientError as error:
        code = error_code(error)
        if code in ("AccessDenied", "AccessDeniedException"):
            note(f"not checked, since these credentials may not look: is there a {what}?")
        elif code in ("ResourceNotFoundException", "InvalidParameterException"):
            raise UsageError(
                f"there is no {what} in {client.meta.region_name}", "aws cognito-idp list-user-pools --max-results 60"
            ) from None
        else:
            raise


def ensure_user_pool(client: Any, names: StackNames, found: Callable[[str], None]) -> Action:
    """The stack has a user pool of its own; its id goes to `found`."""
    pool = own_user_pool(client, names)
    if pool is not None:
        # Its settings are its users' now (a password policy, say): nothing is put back.
        found(pool)
        return "unchanged"
    created = client.create_user_pool(PoolName=names.user_pool, UserPoolTags=names.tags, **USER_POOL)
    found(created["UserPool"]["Id"])
    return "created"


def ensure_user_pool_client(client: Any, names: StackNames, pool: str, found: Callable[[str], None]) -> Action:
    """The pool has the stack's client; its id goes to `found`."""
    for page in client.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool, MaxResults=60):
        for one in page["UserPoolClients"]:
            if one["ClientName"] == names.user_pool_client:
                found(one["ClientId"])
                return "unchanged"
    created = client.create_user_pool_client(UserPoolId=pool, ClientName=names.user_pool_client, **USER_POOL_CLIENT)
    found(created["UserPoolClient"]["ClientId"])
    return "created"
