"""legacy_ws.authorizer (WL4): who gets in, and that nobody's token gets into a log"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legacy_ws.apps.rooms import authorize
from legacy_ws.auth_settings import AuthSettings
from legacy_ws.authorizer import Authorizer, token_of

EventMaker = Callable[..., dict[str, Any]]
SECRET = "k" * 32


def claims(**changes: object) -> dict[str, object]:
    made: dict[str, object] = {"sub": "u-alice", "tenant_id": "demo", "exp": time.time() + 60, "iat": time.time()}
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


def unsigned(**changes: object) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, claims(**changes)]
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGACY_WS_JWT_SECRET", SECRET)


def test_a_good_token_gets_a_policy_with_user_and_tenant(event: EventMaker) -> None:
    answer = authorize.handler(event("authorizer", queryStringParameters={"token": signed()}), None)
    assert answer == {
        "principalId": "u-alice",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/prod/$connect",
                }
            ],
        },
        "context": {"userId": "u-alice", "tenantId": "demo"},
    }


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_the_header_counts_in_any_case(event: EventMaker, name: str) -> None:
    payload = event("authorizer", headers={name: f"bearer {signed()}"}, queryStringParameters=None)
    assert authorize.handler(payload, None)["principalId"] == "u-alice"


def test_user_id_stands_in_for_sub(event: EventMaker) -> None:
    token = signed(sub=None, user_id="u-bob")
    payload = event("authorizer", queryStringParameters={"token": token})
    assert authorize.handler(payload, None)["context"] == {"userId": "u-bob", "tenantId": "demo"}


BAD = {
    "expired": lambda: signed(exp=time.time() - 1),
    "no expiry": lambda: signed(exp=None),
    "not yet valid": lambda: signed(nbf=time.time() + 60),
    "wrong key": lambda: signed("x" * 32),
    "another algorithm": lambda: signed(SECRET * 2, "HS512"),
    "alg none": unsigned,
    "tampered": lambda: signed()[:-4] + "AAAA",
    "no user": lambda: signed(sub=None),
    "empty user": lambda: signed(sub="", user_id=" "),
    "user of another type": lambda: jwt.encode({**claims(sub=None), "user_id": 5}, SECRET),
    "no tenant": lambda: signed(tenant_id=None),
    "tenant of another type": lambda: signed(tenant_id=["demo"]),
    "lone surrogate": lambda: signed(tenant_id="\ud800"),
    "huge user": lambda: signed(sub="u" * 5000),
    "garbage": lambda: "not.a.token",
    "binary": lambda: "\x00\xff",
    "surrogate": lambda: "\ud800.a.b",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_is_unauthorized_and_stays_out_of_the_log(
    event: EventMaker, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """AWS answers 401 for exactly this exception; anything else would be a 500."""
    token = BAD[kind]()
    with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
        authorize.handler(event("authorizer", queryStringParameters={"token": token}), None)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None  # no stack with the token in it
    written = capsys.readouterr().out
    record = json.loads(written)
    assert record["event"] == "unauthorized"
    assert record["reason"]
    assert token not in written


@pytest.mark.parametrize("query", [None, {}, {"token": ""}, {"token": None}, "token=x"])
def test_no_token_is_unauthorized(event: EventMaker, query: object) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize.handler(event("authorizer", queryStringParameters=query, headers={}), None)


def test_issuer_and_audience_are_demanded_only_when_set(event: EventMaker) -> None:
    strict = Authorizer(AuthSettings(SECRET, issuer="https://idp", audience="chat"))
    good = event("authorizer", queryStringParameters={"token": signed(iss="https://idp", aud="chat")})
    assert strict.authorize(good)["principalId"] == "u-alice"
    for wrong in (signed(), signed(iss="https://idp"), signed(iss="https://evil", aud="chat")):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            strict.authorize(event("authorizer", queryStringParameters={"token": wrong}))
    assert Authorizer(AuthSettings(SECRET)).authorize(good)["principalId"] == "u-alice"


@given(st.text(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_text_is_anything_but_unauthorized(token: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        Authorizer(AuthSettings(SECRET), log=lambda *_, **__: None).authorize(
            {"methodArn": "arn", "queryStringParameters": {"token": token}}
        )


def test_the_query_wins_over_the_header() -> None:
    assert token_of({"queryStringParameters": {"token": "q"}, "headers": {"Authorization": "Bearer h"}}) == "q"
    assert token_of({"headers": {"Authorization": "Basic h"}}) is None


def test_the_authorizer_starts_without_boto3() -> None:
    """Cold start budget: it runs before every connection."""
    code = "import sys, legacy_ws.apps.rooms.authorize; print('boto3' in sys.modules, 'botocore' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
