"""Who vouches for tokens, as parameters, conditions and resources of a template. until phase 3

Pure. Like `legacy-ws deploy`: a secret or the address of a JWKS; a user pool that is given, or one of the stack's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from legacy_ws.auth_settings import MIN_SECRET_BYTES, USER_POOL_ID_PATTERN
from legacy_ws.deploy.environment import CLIENT_ID, JWKS_URL, SECRET, USER_POOL_ID
from legacy_ws.deploy.shapes import USER_POOL, USER_POOL_CLIENT
from legacy_ws.deploy.spec import AppSpec, StackNames

__all__ = ["AuthPart", "auth_part"]

_NOTHING = {"Ref": "AWS::NoValue"}


@dataclass(frozen=True)
class AuthPart:
    """Sections of a template, and the authorizer's environment."""

    parameters: Mapping[str, object]
    conditions: Mapping[str, object]
    environment: Mapping[str, object]
    rules: Mapping[str, object] = field(default_factory=dict)
    resources: Mapping[str, object] = field(default_factory=dict)
    outputs: Mapping[str, object] = field(default_factory=dict)


def auth_part(app: AppSpec, names: StackNames) -> AuthPart:
    """The part of `app`'s kind of authorization."""
    return _cognito(names) if app.auth == "cognito" else _jwt()


def _jwt() -> AuthPart:
    given_secret, given_jwks = _given("JwtSecret"), _given("JwksUrl")
    return AuthPart(
        parameters={
            "JwtSecret": {
                "Type": "String",
                "NoEcho": True,
                "Default": "",
                "AllowedPattern": f"^(.{{{MIN_SECRET_BYTES},}})?$",
                "ConstraintDescription": f"at least {MIN_SECRET_BYTES} characters (RFC 7518, 3.2)",
                "Description": "Key of the tokens (HS256); empty with JwksUrl",
            },
            "JwksUrl": {
                "Type": "String",
                "Default": "",
                "AllowedPattern": "^(https://.+)?$",
                "Description": "Where the keys of the tokens (RS256) are; empty with JwtSecret",
            },
            "JwtIssuer": {"Type": "String", "Default": "", "Description": "Demanded of the tokens' iss when given"},
            "JwtAudience": {"Type": "String", "Default": "", "Description": "Demanded of the tokens' aud when given"},
        },
        conditions={
            "HasJwtSecret": given_secret,
            "HasJwksUrl": given_jwks,
            "HasJwtIssuer": _given("JwtIssuer"),
            "HasJwtAudience": _given("JwtAudience"),
        },
        rules={
            "OneWayToVerifyTokens": {
                "Assertions": [
                    {
                        "Assert": {"Fn::Or": [given_secret, given_jwks]},
                        "AssertDescription": "JwtSecret or JwksUrl is needed",
                    },
                    {
                        "Assert": {"Fn::Not": [{"Fn::And": [given_secret, given_jwks]}]},
                        "AssertDescription": "JwtSecret and JwksUrl exclude each other",
                    },
                ]
            }
        },
        environment={
            SECRET: _when("HasJwtSecret", {"Ref": "JwtSecret"}),
            JWKS_URL: _when("HasJwksUrl", {"Ref": "JwksUrl"}),
            "LEGACY_WS_JWT_ISSUER": _when("HasJwtIssuer", {"Ref": "JwtIssuer"}),
            "LEGACY_WS_JWT_AUDIENCE": _when("HasJwtAudience", {"Ref": "JwtAudience"}),
        },
    )


def _cognito(names: StackNames) -> AuthPart:
    pool = {"Fn::If": ["HasUserPool", {"Ref": "UserPoolId"}, {"Ref": "UserPool"}]}
    return AuthPart(
        parameters={
            "UserPoolId": {
                "Type": "String",
                "Default": "",
                "AllowedPattern": f"^({USER_POOL_ID_PATTERN})?$",
                "Description": "Cognito user pool that exists; empty: the stack makes one",
            },
            "UserPoolClientId": {
                "Type": "String",
                "Default": "",
                "Description": "Client of UserPoolId; tokens of other clients are refused when given",
            },
        },
        conditions={
            "HasUserPool": _given("UserPoolId"),
            "HasUserPoolClient": _given("UserPoolClientId"),
            "OwnUserPool": {"Fn::Not": [{"Condition": "HasUserPool"}]},
        },
        environment={
            USER_POOL_ID: pool,
            CLIENT_ID: {
                "Fn::If": [
                    "HasUserPool",
                    _when("HasUserPoolClient", {"Ref": "UserPoolClientId"}),
                    {"Ref": "UserPoolClient"},
                ]
            },
        },
        resources={
            "UserPool": {
                "Type": "AWS::Cognito::UserPool",
                "Condition": "OwnUserPool",
                "DeletionPolicy": "Delete",
                "UpdateReplacePolicy": "Retain",
                "Properties": {"UserPoolName": names.user_pool, **USER_POOL, "UserPoolTags": names.tags},
            },
            "UserPoolClient": {
                "Type": "AWS::Cognito::UserPoolClient",
                "Condition": "OwnUserPool",
                "Properties": {
                    "UserPoolId": {"Ref": "UserPool"},
                    "ClientName": names.user_pool_client,
                    **USER_POOL_CLIENT,
                },
            },
        },
        outputs={
            "UserPool": {"Description": "Cognito user pool", "Value": pool},
            "UserPoolClient": {
                "Condition": "OwnUserPool",
                "Description": "Client of the stack's own user pool",
                "Value": {"Ref": "UserPoolClient"},
            },
        },
    )


def _given(parameter: str) -> dict[str, object]:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def _when(condition: str, value: object) -> dict[str, object]:
    return {"Fn::If": [condition, value, _NOTHING]}
