"""`legacy-ws token`: what it prints opens the stack, and it changes nobody's pool or password unasked. until phase 3"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import jwt
import pytest
from click.testing import Result
from typer.testing import CliRunner

from legacy_ws.apps import authorize
from legacy_ws.cli import app
from legacy_ws.deploy.spec import TAG

SECRET = "s" * 40


@dataclass
class Stack:
    """What `token` looks at: an authorizer function with its settings, perhaps a user pool; in a MiniStack."""

    name: str
    environment: dict[str, str]
    run: Callable[..., Result]

    def opens(self, token: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The context that the authorizer of the stack gives for a token."""
        with monkeypatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            authorize.clear()
            answer = authorize.handler({"methodArn": "arn", "queryStringParameters": {"token": token}}, None)
        authorize.clear()
        return dict(answer["context"])  # type: ignore[call-overload] # the policy's values are objects


@pytest.fixture
def stack(ministack: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stack]]:
    """Makes stacks: `stack("name", LEGACY_WS_JWT_SECRET=...)`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack)
    monkeypatch.setenv("COLUMNS", "200")
    made: list[str] = []
    client = boto3.client("lambda")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")

    def make(name: str, tag: str | None = None, **environment: str) -> Stack:
        client.create_function(
            FunctionName=f"{name}-authorizer",
            Role="arn:aws:iam::000000000000:role/test",
            Runtime="python3.13",
            Handler="app.handler",
            Code={"ZipFile": code.getvalue()},
            Tags={TAG: tag or name},
            Environment={"Variables": environment},
        )
        made.append(f"{name}-authorizer")

        def run(*arguments: str) -> Result:
            result = CliRunner().invoke(app, ["token", name, *arguments])
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            assert "Traceback" not in result.output
            return result

        return Stack(name, environment, run)

    yield make
    for name in made:
        client.delete_function(FunctionName=name)


@pytest.fixture
def pool(ministack: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[str, str]]]:
    """Makes user pools with one app client: `pool(tag)` -> ids of both."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack)
    client = boto3.client("cognito-idp")
    made: list[str] = []

    def make(tag: str | None) -> tuple[str, str]:
        pool_id = client.create_user_pool(
            PoolName="users", UsernameAttributes=["email"], UserPoolTags={TAG: tag} if tag else {}
        )["UserPool"]["Id"]
        made.append(pool_id)
        app_client = client.create_user_pool_client(
            UserPoolId=pool_id, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )
        return pool_id, app_client["UserPoolClient"]["ClientId"]

    yield make
    for pool_id in made:
        client.delete_user_pool(UserPoolId=pool_id)


def users(pool_id: str) -> list[str]:
    return [one["Username"] for one in boto3.client("cognito-idp").list_users(UserPoolId=pool_id)["Users"]]


pytestmark = pytest.mark.integration


def test_a_token_by_secret(stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    one = stack("tk-secret", LEGACY_WS_JWT_SECRET=SECRET, LEGACY_WS_JWT_ISSUER="i", LEGACY_WS_JWT_AUDIENCE="a")
    result = one.run("alice", "--tenant", "acme", "--ttl", "60")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert one.opens(result.stdout.strip(), monkeypatch) == {"userId": "alice", "tenantId": "acme"}
    claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 60
    assert SECRET not in result.output
    default = one.run("alice")
    assert one.opens(default.stdout.strip(), monkeypatch)["tenantId"] == "demo"


def test_a_token_of_the_stacks_own_pool(
    stack: Callable[..., Stack], pool: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice for one user: the second time nothing is asked, since the user was made here."""
    pool_id, client_id = pool("tk-pool")
    one = stack("tk-pool", LEGACY_WS_COGNITO_USER_POOL_ID=pool_id, LEGACY_WS_COGNITO_CLIENT_ID=client_id)
    contexts = []
    for _ in range(2):
        result = one.run("alice@example.com")
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n") == 1
        assert result.stdout.strip() not in result.stderr
        contexts.append(one.opens(result.stdout.strip(), monkeypatch))
    assert contexts[0] == contexts[1]
    assert contexts[0]["email"] == "alice@example.com"
    assert len(users(pool_id)) == 1


def test_the_only_app_client_is_found(
    stack: Callable[..., Stack], pool: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_id, _ = pool("tk-client")
    one = stack("tk-client", LEGACY_WS_COGNITO_USER_POOL_ID=pool_id)
    result = one.run("alice@example.com")
    assert one.opens(result.stdout.strip(), monkeypatch)["email"] == "alice@example.com"


@pytest.mark.parametrize("tag", [None, "another-stack"])
def test_somebody_elses_pool_is_left_alone(
    stack: Callable[..., Stack], pool: Callable[..., tuple[str, str]], tag: str | None
) -> None:
    pool_id, client_id = pool(tag)
    one = stack("tk-foreign", LEGACY_WS_COGNITO_USER_POOL_ID=pool_id, LEGACY_WS_COGNITO_CLIENT_ID=client_id)
    result = one.run("alice@example.com", "--yes")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert users(pool_id) == []


def test_the_password_of_a_real_user_is_replaced_only_when_confirmed(
    stack: Callable[..., Stack], pool: Callable[..., tuple[str, str]]
) -> None:
    pool_id, client_id = pool("tk-real")
    one = stack("tk-real", LEGACY_WS_COGNITO_USER_POOL_ID=pool_id, LEGACY_WS_COGNITO_CLIENT_ID=client_id)
    client = boto3.client("cognito-idp")
    who = {"UserPoolId": pool_id, "Username": "real@example.com"}
    client.admin_create_user(**who, UserAttributes=[{"Name": "email", "Value": "real@example.com"}])
    client.admin_set_user_password(**who, Password="Their-0wn", Permanent=True)
    unverified = one.run("real@example.com", "--yes")
    assert (unverified.exit_code, unverified.stdout) == (2, "")
    client.admin_update_user_attributes(**who, UserAttributes=[{"Name": "email_verified", "Value": "true"}])
    result = one.run("real@example.com")
    assert (result.exit_code, result.stdout) == (5, "")
    signed_in = client.admin_initiate_auth(
        UserPoolId=pool_id,
        ClientId=client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "real@example.com", "PASSWORD": "Their-0wn"},
    )
    assert signed_in["AuthenticationResult"]["AccessToken"]
    assert one.run("real@example.com", "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("environment", "arguments", "code", "words"),
    [
        ({"LEGACY_WS_JWKS_URL": "https://idp.example.org/keys"}, ["alice"], 2, "identity provider"),
        ({"LEGACY_WS_JWT_SECRET": SECRET}, [" "], 2, "must not be empty"),
        ({"LEGACY_WS_JWT_SECRET": SECRET}, ["alice", "--ttl", "0"], 2, "ttl"),
        ({}, ["alice"], 2, "LEGACY_WS_JWT_SECRET"),
    ],
    ids=["jwks", "no-user", "no-life", "no-settings"],
)
def test_what_cannot_be_done_is_said(
    stack: Callable[..., Stack], environment: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    result = stack("tk-wrong", **environment).run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_cognito_has_no_tenants_and_takes_addresses(
    stack: Callable[..., Stack], pool: Callable[..., tuple[str, str]]
) -> None:
    pool_id, client_id = pool("tk-options")
    one = stack("tk-options", LEGACY_WS_COGNITO_USER_POOL_ID=pool_id, LEGACY_WS_COGNITO_CLIENT_ID=client_id)
    for arguments in (["a@b.c", "--tenant", "t"], ["a@b.c", "--ttl", "9"], ["alice"]):
        assert one.run(*arguments).exit_code == 2
    assert users(pool_id) == []


def test_a_function_of_another_stack_is_not_believed(stack: Callable[..., Stack]) -> None:
    """`a-b` and the function `b-authorizer` of stack `a` share a name."""
    assert stack("tk-other", tag="tk", LEGACY_WS_JWT_SECRET=SECRET).run("alice").exit_code == 5


def test_a_stack_that_does_not_exist(ministack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack)
    result = CliRunner().invoke(app, ["token", "nowhere", "alice"])
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
    assert result.stdout == ""
