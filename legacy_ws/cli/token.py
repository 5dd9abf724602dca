"""`legacy-ws token`: a token to try a deployed stack with. until phase 3

On stdout and nowhere else, so that it can be taken into a variable and ends up in no log.
"""

from __future__ import annotations

import re
import secrets
import sys
import time
from typing import Annotated, Any

import jwt
import typer

from legacy_ws.auth_settings import AuthSettings
from legacy_ws.aws import error_code
from legacy_ws.cli.options import Endpoint, Profile, Region, Yes, open_session
from legacy_ws.cli.output import confirm, progress, reports_errors
from legacy_ws.deploy.apps import APPS
from legacy_ws.deploy.functions import configuration
from legacy_ws.deploy.spec import TAG, StackNames
from legacy_ws.deploy.stack import names_of
from legacy_ws.errors import RefusedError, UsageError

__all__ = ["register"]

_TENANT = "demo"
_TTL_S = 3600
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
# How users made here are known again: a standard attribute that every pool has.
_MADE_HERE = {"Name": "nickname", "Value": "legacy-ws token"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("token")(token)


@reports_errors
def token(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="Name of the stack.")],
    user: Annotated[str, typer.Argument(metavar="USER", help="User id; with Cognito an e-mail address.")],
    tenant: Annotated[str | None, typer.Option(help="Tenant in the token, demo by default; not with Cognito.")] = None,
    ttl: Annotated[
        int | None,
        typer.Option(min=1, max=86_400, help="Life time, seconds, 3600 by default; not with Cognito."),
    ] = None,
    yes: Yes = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Print a token for USER that the stack's authorizer accepts.

    Tokens by shared secret are signed with the one in the authorizer's settings. With Cognito, USER is made in the
    stack's own user pool if missing, gets a random password and is signed in. The password of a user whom this command
    has not made is replaced only when confirmed; a pool that is not the stack's own is never touched.

    Example: legacy-ws token rooms alice --tenant demo
    """
    session = open_session(region, profile, endpoint_url)
    settings = _authorizer_settings(session.client("lambda"), names_of(session, stack))
    if settings.user_pool_id is None:
        made = _sign(settings, user, _TENANT if tenant is None else tenant, _TTL_S if ttl is None else ttl)
    else:
        if tenant is not None or ttl is not None:
            raise UsageError(
                f"stack {stack} takes Cognito's tokens: without tenant, and as long-lived as the app client says",
                "leave out --tenant and --ttl",
            )
        with progress(f"signing {user} in"):
            client = session.client("cognito-idp")
            client_id = _app_client(client, stack, settings)
            made = _sign_in(client, settings.user_pool_id, client_id, user, yes=yes)
    sys.stdout.write(made + "\n")


def _authorizer_settings(client: Any, names: StackNames) -> AuthSettings:
    """Settings of the stack's authorizer function.

    Raises: UsageError: no such stack. RefusedError: a function of that name is not this stack's. ConfigurationError.
    """
    authorizers = (function for app in APPS.values() for function in app.functions if function.authorizer)
    for name in sorted({names.function(function) for function in authorizers}):
        current = configuration(client, name)
        if current is None:
            continue
        if client.list_tags(Resource=current["FunctionArn"]).get("Tags", {}).get(TAG) != names.stack:
            raise RefusedError(f"function {name} is not part of stack {names.stack}", "check the name of the stack")
        return AuthSettings.from_env((current.get("Environment") or {}).get("Variables", {}))
    raise UsageError(
        f"there is no stack {names.stack!r} with an authorizer in {names.region}",
        "`legacy-ws status` lists the stacks that exist",
    )


def _sign(settings: AuthSettings, user: str, tenant: str, ttl_s: int) -> str:
    """A token signed with the stack's secret. Raises: UsageError: its identity provider signs them."""
    if settings.jwt_secret is None:
        raise UsageError(
            "this stack's tokens are signed by its identity provider (LEGACY_WS_JWKS_URL)", "get one there"
        )
    if not user.strip() or not tenant.strip():
        raise UsageError(
            "USER and --tenant must not be empty", "for example: legacy-ws token STACK alice --tenant demo"
        )
    now = int(time.time())
    claims = {"sub": user, "tenant_id": tenant, "iat": now, "exp": now + ttl_s}
    claims |= {name: value for name, value in (("iss", settings.issuer), ("aud", settings.audience)) if value}
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256")


def _app_client(client: Any, stack: str, settings: AuthSettings) -> str:
    """The app client to sign in with.

    Raises: RefusedError: the user pool is not the stack's own. UsageError: no app client, or several.
    """
    pool_id = settings.user_pool_id
    tags = client.describe_user_pool(UserPoolId=pool_id)["UserPool"].get("UserPoolTags", {})
    if tags.get(TAG) != stack:
        raise RefusedError(
            f"user pool {pool_id} is not part of stack {stack}: nobody is made or changed there",
            "sign in as one of its users and use that access token",
        )
    if settings.client_id is not None:
        return settings.client_id
    found = [
        one["ClientId"]
        for page in client.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool_id, MaxResults=60)
        for one in page["UserPoolClients"]
    ]
    if len(found) != 1:
        raise UsageError(f"user pool {pool_id} has {len(found)} app clients, not one", f"run legacy-ws deploy {stack}")
    return str(found[0])


def _sign_in(client: Any, pool_id: str, client_id: str, email: str, *, yes: bool) -> str:
    """An access token for the user `email` of the pool, who is made when missing and gets a new password.

    Raises: UsageError: no e-mail address, or not a verified one; more than a password is asked for. RefusedError: not
        confirmed.
    """
    if not _EMAIL.fullmatch(email):
        raise UsageError(f"{email!r} is no e-mail address", "users of this stack are known by theirs")
    who = {"UserPoolId": pool_id, "Username": email}
    try:
        attributes = client.admin_get_user(**who)["UserAttributes"]
    except client.exceptions.UserNotFoundException:
        attributes = [
            {"Name": "email", "Value": email},
            {"Name": "email_verified", "Value": "true"},
            _MADE_HERE,
        ]
        client.admin_create_user(**who, UserAttributes=attributes, MessageAction="SUPPRESS")
    if {"Name": "email_verified", "Value": "true"} not in attributes:
        raise UsageError(f"the address of {email} is not verified: the authorizer would refuse the token", "verify it")
    if _MADE_HERE not in attributes:
        confirm(f"{email} has not been made by this command. Replace the password?", yes=yes)
    # Whatever the pool's policy asks for is in it.
    password = f"aA1!{secrets.token_urlsafe(24)}"
    client.admin_set_user_password(**who, Password=password, Permanent=True)
    try:
        answer = client.admin_initiate_auth(
            UserPoolId=pool_id,
            ClientId=client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
    except client.exceptions.ClientError as error:
        if error_code(error) == "InvalidParameterException":
            raise UsageError(
                f"app client {client_id} does not allow ADMIN_USER_PASSWORD_AUTH", "run legacy-ws deploy again"
            ) from None
        raise
    if "AuthenticationResult" not in answer:
        raise UsageError(
            f"signing {email} in takes more than a password: {answer.get('ChallengeName')}", "use another address"
        )
    return str(answer["AuthenticationResult"]["AccessToken"])
