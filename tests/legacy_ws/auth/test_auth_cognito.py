"""legacy_ws.auth.cognito (DC1), against moto's Cognito: unlike MiniStack it rejects what Cognito rejects.
until phase 3
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from legacy_ws import aws
from legacy_ws.apps import authorize
from legacy_ws.auth.cognito import CognitoVerifier, issuer_of
from legacy_ws.auth.jwks import KeySet
from legacy_ws.auth.tokens import rs256
from legacy_ws.errors import IdentityProviderError, TokenRefusedError

EventMaker = Callable[..., dict[str, Any]]
REGION = "ap-northeast-1"
PASSWORD = "Passw0rd!-for-tests"


@dataclass
class Pool:
    """A user pool in moto and one app client of it."""

    client: Any
    pool_id: str
    client_id: str

    @classmethod
    def make(cls, client: Any) -> Pool:
        pool_id = client.create_user_pool(PoolName="users", UsernameAttributes=["email"])["UserPool"]["Id"]
        return cls(client, pool_id, cls.app_client(client, pool_id))

    @staticmethod
    def app_client(client: Any, pool_id: str) -> str:
        made = client.create_user_pool_client(
            UserPoolId=pool_id, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )
        return str(made["UserPoolClient"]["ClientId"])

    def user(self, email: str, verified: str = "true") -> str:
        """A confirmed user; returns its `sub`."""
        made = self.client.admin_create_user(
            UserPoolId=self.pool_id,
            Username=email,
            UserAttributes=[{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": verified}],
            MessageAction="SUPPRESS",
        )
        self.client.admin_set_user_password(UserPoolId=self.pool_id, Username=email, Password=PASSWORD, Permanent=True)
        return next(str(one["Value"]) for one in made["User"]["Attributes"] if one["Name"] == "sub")

    def sign_in(self, email: str, client_id: str | None = None) -> dict[str, str]:
        answer = self.client.admin_initiate_auth(
            UserPoolId=self.pool_id,
            ClientId=client_id or self.client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": PASSWORD},
        )
        tokens: dict[str, str] = answer["AuthenticationResult"]
        return tokens


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    with mock_aws():
        made = Pool.make(boto3.client("cognito-idp", region_name=REGION))
        monkeypatch.setenv("LEGACY_WS_COGNITO_USER_POOL_ID", made.pool_id)
        monkeypatch.setenv("LEGACY_WS_COGNITO_CLIENT_ID", made.client_id)
        authorize.clear()
        yield made
        authorize.clear()


def authorized(event: EventMaker, token: str) -> dict[str, Any]:
    return authorize.handler(event("authorizer", queryStringParameters={"token": token}), None)


def refused(event: EventMaker, token: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Asserts that the token is Unauthorized and stays out of the log. Returns the logged reason."""
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorized(event, token)
    written = capsys.readouterr().out
    assert token not in written
    assert all(part not in written for part in token.split(".") if len(part) > 8)
    return str(json.loads(written)["reason"])


def test_a_user_of_the_pool_gets_in(event: EventMaker, pool: Pool) -> None:
    sub = pool.user("alice@example.com")
    answer = authorized(event, pool.sign_in("alice@example.com")["AccessToken"])
    assert answer["principalId"] == sub
    assert answer["context"] == {"userId": sub, "email": "alice@example.com"}
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


def test_the_header_will_do(event: EventMaker, pool: Pool) -> None:
    pool.user("alice@example.com")
    token = pool.sign_in("alice@example.com")["AccessToken"]
    payload = event("authorizer", queryStringParameters=None, headers={"AUTHORIZATION": f"Bearer {token}"})
    assert authorize.handler(payload, None)["context"]["email"] == "alice@example.com"


def test_a_user_of_somebody_elses_pool_does_not(
    event: EventMaker, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    """GetUser itself is content with any pool of the region: anybody can make one and verify any address in it."""
    other = Pool.make(pool.client)
    other.user("alice@example.com")
    token = other.sign_in("alice@example.com")["AccessToken"]
    assert pool.client.get_user(AccessToken=token)["Username"], "GetUser has no objection"
    assert refused(event, token, capsys) == "InvalidIssuerError"


def test_a_token_of_another_app_client_does_not(
    event: EventMaker, pool: Pool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.user("alice@example.com")
    other_client = pool.app_client(pool.client, pool.pool_id)
    token = pool.sign_in("alice@example.com", other_client)["AccessToken"]
    assert refused(event, token, capsys) == "wrong_client"
    monkeypatch.delenv("LEGACY_WS_COGNITO_CLIENT_ID")
    assert authorized(event, token)["context"]["email"] == "alice@example.com"


def test_an_id_token_does_not(event: EventMaker, pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.user("alice@example.com")
    assert refused(event, pool.sign_in("alice@example.com")["IdToken"], capsys) == "no_access_token"


def test_an_address_that_was_never_verified_does_not(
    event: EventMaker, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise everybody could sign up as anybody and read their messages."""
    pool.user("mallory@example.com", verified="false")
    token = pool.sign_in("mallory@example.com")["AccessToken"]
    assert refused(event, token, capsys) == "email_not_verified"


def changed(token: str, **changes: object) -> str:
    """The token with other claims under the same signature."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims.update(changes)
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{other}.{signature}"


def test_forged_and_expired_tokens_do_not(event: EventMaker, pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.user("alice@example.com")
    pool.user("bob@example.com")
    token = pool.sign_in("alice@example.com")["AccessToken"]
    assert refused(event, changed(token, sub="somebody-else"), capsys) == "NotAuthorizedException"
    assert refused(event, changed(token, exp=1), capsys) == "ExpiredSignatureError"
    assert refused(event, changed(token, iat=float("inf")), capsys) == "InvalidIssuedAtError"
    assert refused(event, changed(token, nbf=9e9), capsys) == "ImmatureSignatureError"
    assert refused(event, changed(token, sub=5), capsys) == "InvalidSubjectError"
    assert refused(event, changed(token, client_id=[pool.client_id]), capsys) == "wrong_client"
    assert refused(event, "not a token", capsys) == "DecodeError"


def test_a_user_who_was_disabled_or_deleted_does_not(
    event: EventMaker, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a verification of the signature alone could not know."""
    pool.user("alice@example.com")
    pool.user("bob@example.com")
    alice, bob = (pool.sign_in(f"{name}@example.com")["AccessToken"] for name in ("alice", "bob"))
    pool.client.admin_disable_user(UserPoolId=pool.pool_id, Username="alice@example.com")
    pool.client.admin_delete_user(UserPoolId=pool.pool_id, Username="bob@example.com")
    assert refused(event, alice, capsys) == "NotAuthorizedException"
    assert refused(event, bob, capsys) in ("NotAuthorizedException", "UserNotFoundException")


def test_garbage_costs_no_request(pool: Pool) -> None:
    """GetUser has a quota that all users of an account share."""

    def never(token: str) -> dict[str, str]:
        raise AssertionError("Cognito was asked")

    pool.user("alice@example.com")
    good = pool.sign_in("alice@example.com")["AccessToken"]
    verifier = CognitoVerifier(pool.pool_id, pool.client_id, never)
    for token in ("", "x", "a.b.c", changed(good, iss="https://evil"), changed(good, token_use="id"), "x" * 20_000):
        with pytest.raises(TokenRefusedError):
            verifier.identify(token)


def test_attributes_of_another_user_are_not_believed(pool: Pool) -> None:
    pool.user("alice@example.com")
    token = pool.sign_in("alice@example.com")["AccessToken"]
    for attributes in (
        {"sub": "somebody-else", "email": "a@example.com", "email_verified": "true"},
        {"email": "a@example.com"},
        {"email_verified": "true"},
        {"email": " ", "email_verified": "true"},
        {"email": "a@example.com", "email_verified": "True"},
    ):
        with pytest.raises(TokenRefusedError):
            CognitoVerifier(pool.pool_id, None, lambda _, found=attributes: found).identify(token)  # type: ignore[misc]


class FailingClient:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_user(self, **arguments: object) -> object:
        raise self._error


def answered(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetUser")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "error",
    [
        answered("TooManyRequestsException", 400),
        answered("InternalErrorException", 500),
        answered("ForbiddenException", 400),
        answered("ResourceNotFoundException", 400),
        EndpointConnectionError(endpoint_url="https://cognito-idp.example.org"),
    ],
    ids=lambda error: str(error)[:60],
)
def test_a_cognito_that_does_not_answer_is_no_refusal(error: Exception) -> None:
    with pytest.raises(IdentityProviderError) as caught:
        aws.PoolUsers(FailingClient(error)).attributes("secret-token")
    assert "secret-token" not in str(caught.value)


def test_requests_are_unsigned_and_go_to_the_pools_region(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function has no permission for Cognito and needs none, wherever it runs."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    sent = []
    users = aws.pool_users(REGION)
    users._client.meta.events.register("before-send.*", lambda request, **_: sent.append(request))
    pool.user("alice@example.com")
    users.attributes(pool.sign_in("alice@example.com")["AccessToken"])
    assert [REGION in request.url for request in sent] == [True]
    assert not [name for name in sent[0].headers if name.lower() == "authorization"]


def test_the_endpoint_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert aws.pool_users(REGION)._client.meta.endpoint_url == "http://127.0.0.1:4566"


def test_issuers() -> None:
    assert issuer_of("eu-west-1_AbC") == "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC"
    assert issuer_of("cn-north-1_AbC") == "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_AbC"


@pytest.mark.integration
def test_tokens_of_the_local_aws(
    ministack: str, event: EventMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MiniStack's tokens carry AWS's issuer, so the same settings work there. It checks no signature, so a forgery is
    not tried against it; its keys, however, are real.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack)
    pool = Pool.make(boto3.client("cognito-idp", region_name=REGION))
    monkeypatch.setenv("LEGACY_WS_COGNITO_USER_POOL_ID", pool.pool_id)
    monkeypatch.setenv("LEGACY_WS_COGNITO_CLIENT_ID", pool.client_id)
    authorize.clear()
    sub = pool.user("alice@example.com")
    token = pool.sign_in("alice@example.com")["AccessToken"]
    assert authorized(event, token)["context"] == {"userId": sub, "email": "alice@example.com"}
    other = Pool.make(pool.client)
    other.user("alice@example.com")
    assert refused(event, other.sign_in("alice@example.com")["AccessToken"], capsys) == "InvalidIssuerError"
    authorize.clear()
    by_signature = rs256(
        KeySet(f"{ministack}/{pool.pool_id}/.well-known/jwks.json").key, issuer=issuer_of(pool.pool_id), audience=None
    )
    with pytest.raises(TokenRefusedError, match="no_tenant"):  # the signature is right, the claims are not a tenant's
        by_signature.identify(token)
    with pytest.raises(TokenRefusedError, match="InvalidSignatureError"):
        by_signature.identify(changed(token, tenant_id="demo"))
