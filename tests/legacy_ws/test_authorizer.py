"""legacy_ws.authorizer (WL4): who gets in, and that nobody's token gets into a log. until phase 3"""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legacy_ws.apps import authorize
from legacy_ws.auth.identity import Identity
from legacy_ws.auth.tokens import hs256
from legacy_ws.authorizer import Authorizer, token_of
from legacy_ws.errors import IdentityProviderError

EventMaker = Callable[..., dict[str, Any]]
SECRET = "k" * 32
LENIENT = Authorizer(hs256(SECRET, issuer=None, audience=None))


def claims(**changes: object) -> dict[str, object]:
    made: dict[str, object] = {"sub": "u-alice", "tenant_id": "demo", "exp": time.time() + 60, "iat": time.time()}
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


def with_header(**header: object) -> str:
    """A token with this header, signed with the right key as HS256."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    signature = hmac.digest(SECRET.encode(), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def unsigned(**changes: object) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, claims(**changes)]
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LEGACY_WS_JWT_SECRET", SECRET)
    authorize.clear()
    yield
    authorize.clear()


def test_the_bad_tokens_below_are_bad_for_one_reason_only(event: EventMaker) -> None:
    """Without its fault the same token is let in."""
    payload = event("authorizer", queryStringParameters={"token": with_header(alg="HS256", kid="any")})
    assert authorize.handler(payload, None)["principalId"] == "u-alice"


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
    "expiry of another type": lambda: signed(exp="tomorrow"),
    "endless expiry": lambda: signed(exp=float("inf")),
    "not yet valid": lambda: signed(nbf=time.time() + 60),
    "issued in the future": lambda: signed(iat=time.time() + 60),
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
    "longer than API Gateway passes on": lambda: signed(note="x" * 9000),
    "critical header that we do not know": lambda: jwt.encode(claims(), SECRET, headers={"crit": ["exp"], "exp": 1}),
    "detached payload": lambda: jwt.encode(claims(), SECRET, headers={"b64": False}),
    "kid of another type": lambda: with_header(alg="HS256", kid=5),
    "algorithm of another type": lambda: with_header(alg=["HS256"]),
    "RS256 by name": lambda: with_header(alg="RS256"),
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
    strict = Authorizer(hs256(SECRET, issuer="https://idp", audience="chat"))
    good = event("authorizer", queryStringParameters={"token": signed(iss="https://idp", aud="chat")})
    assert strict.authorize(good)["principalId"] == "u-alice"
    for wrong in (signed(), signed(iss="https://idp"), signed(iss="https://evil", aud="chat")):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            strict.authorize(event("authorizer", queryStringParameters={"token": wrong}))
    assert LENIENT.authorize(good)["principalId"] == "u-alice"


@given(st.text(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_text_is_anything_but_unauthorized(token: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        Authorizer(hs256(SECRET, issuer=None, audience=None), log=lambda *_, **__: None).authorize(
            {"methodArn": "arn", "queryStringParameters": {"token": token}}
        )


def test_an_identity_provider_that_does_not_answer_is_no_unauthorized(
    event: EventMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """401 would send the user back to the sign-in page; with 500 the client tries again."""

    class Silent:
        def identify(self, token: str) -> Identity:
            raise IdentityProviderError("Cognito", "TooManyRequestsException")

    token = signed()
    with pytest.raises(IdentityProviderError) as caught:
        Authorizer(Silent()).authorize(event("authorizer", queryStringParameters={"token": token}))
    assert str(caught.value) != "Unauthorized"
    assert token not in str(caught.value)
    written = capsys.readouterr().out
    record = json.loads(written)
    assert (record["level"], record["event"]) == ("ERROR", "identity_provider_failed")
    assert (record["provider"], record["reason"]) == ("Cognito", "TooManyRequestsException")
    assert record["connectionId"]
    assert token not in written


def test_the_query_wins_over_the_header() -> None:
    assert token_of({"queryStringParameters": {"token": "q"}, "headers": {"Authorization": "Bearer h"}}) == "q"
    assert token_of({"headers": {"Authorization": "Basic h"}}) is None


@pytest.mark.parametrize("kind", [f"jwt_secret={SECRET!r}", "jwks_url='https://idp.example.org/jwks.json'"])
def test_tokens_that_we_verify_need_no_boto3(kind: str) -> None:
    """Cold start budget: it runs before every connection."""
    code = (
        "import sys, legacy_ws.apps.authorize\n"
        "from legacy_ws.auth.kinds import verifier_of\n"
        "from legacy_ws.auth_settings import AuthSettings\n"
        f"verifier_of(AuthSettings({kind}))\n"
        "print('boto3' in sys.modules, 'botocore' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
