"""Environment variables of a stack's functions. until phase 3

Pure. Each function is told of what it may use and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from legacy_ws.deploy.spec import AppSpec, FunctionSpec, StackNames

__all__ = [
    "AUDIENCE",
    "AUTH",
    "CLIENT_ID",
    "ISSUER",
    "JWKS_URL",
    "SECRET",
    "USER_POOL_ID",
    "function_environment",
    "set_by_deploy",
]

SECRET = "LEGACY_WS_JWT_SECRET"  # noqa: S105 -- the name, not the secret
JWKS_URL = "LEGACY_WS_JWKS_URL"
ISSUER = "LEGACY_WS_JWT_ISSUER"
AUDIENCE = "LEGACY_WS_JWT_AUDIENCE"
USER_POOL_ID = "LEGACY_WS_COGNITO_USER_POOL_ID"
CLIENT_ID = "LEGACY_WS_COGNITO_CLIENT_ID"

AUTH: Mapping[str, str] = {
    SECRET: "--jwt-secret of deploy, parameter JwtSecret of a template",
    JWKS_URL: "--jwks-url of deploy, parameter JwksUrl of a template",
    ISSUER: "--jwt-issuer of deploy, parameter JwtIssuer of a template",
    AUDIENCE: "--jwt-audience of deploy, parameter JwtAudience of a template",
    USER_POOL_ID: "--user-pool-id of deploy, parameter UserPoolId of a template",
    CLIENT_ID: "--user-pool-client-id of deploy, parameter UserPoolClientId of a template",
}
"""Settings of the authorizer, and how each is given."""


def set_by_deploy(app: AppSpec) -> frozenset[str]:
    """Variables that follow from the stack itself: names of tables and functions, addresses of queues, the
    authorizer's."""
    names = {one.env for group in (app.tables, app.queues, app.functions) for one in group if one.env}
    names |= {name for function in app.functions for name in function.settings}
    return frozenset(names | set(AUTH))


def function_environment(
    app: AppSpec,
    function: FunctionSpec,
    names: StackNames,
    *,
    shared: Mapping[str, str],
    queue_urls: Mapping[str, str],
    auth: Mapping[str, str],
) -> dict[str, str]:
    """Settings of one function.

    Args:
        shared: settings of every function.
        queue_urls: short name of each queue -> its URL.
        auth: settings of the authorizer.
    """
    granted = {grant.on for grant in function.grants}
    environment = dict(shared)
    environment |= {
        table.env: names.table(table)
        for table in app.tables
        # Whoever touches anything of ours may have to look up a connection's row.
        if table.name in granted or (table.name == "connections" and granted)
    }
    environment |= {queue.env: queue_urls[queue.name] for queue in app.queues if queue.name in granted}
    environment |= {other.env: names.function(other) for other in app.functions if other.env and other.name in granted}
    environment |= function.settings
    if function.authorizer:
        environment |= auth
    return environment
