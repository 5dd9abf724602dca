"""Tokens: what is accepted, what is refused, and what a principal may read and publish."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sse_service.auth import (
    Principal,
    bearer_token,
    refuse_token_in_url,
    require_publishable,
    require_readable,
)
from sse_service.errors import ForbiddenError, InvalidInputError, UnauthorizedError
from sse_service.events import Topic
from sse_service.tokens import ClaimRules, SecretVerifier

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000.0


def sign(claims: dict[str, Any], key: Any = SECRET, algorithm: str | None = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": "ann", "tenant_id": "demo", "exp": NOW + 60, "iat": NOW, **changes}
    return {name: value for name, value in made.items() if value is not ...}


def test_a_good_token_names_user_tenant_scopes_and_end() -> None:
    principal = SecretVerifier(SECRET).verify(sign(claims(scope="a b")), NOW)
    assert principal == Principal("ann", "demo", frozenset({"a", "b"}), NOW + 60)


def test_user_id_stands_in_for_sub() -> None:
    assert SecretVerifier(SECRET).verify(sign(claims(sub=..., user_id="bob")), NOW).user == "bob"


def _none() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}."


def _rsa() -> str:
    return sign(claims(), rsa.generate_private_key(65537, 2048), "RS256")


BAD: dict[str, Any] = {
    "expired": lambda: sign(claims(exp=NOW)),
    "long expired": lambda: sign(claims(exp=1)),
    "wrong key": lambda: sign(claims(), "x" * 32),
    "alg none": _none,
    "no signature": lambda: sign(claims()).rpartition(".")[0] + ".",
    "another algorithm": lambda: sign(claims(), SECRET * 2, "HS512"),
    "RS256": _rsa,
    "no exp": lambda: sign(claims(exp=...)),
    "not yet": lambda: sign(claims(nbf=NOW + 10)),
    "no user": lambda: sign(claims(sub=...)),
    "no tenant": lambda: sign(claims(tenant_id=...)),
    "empty user": lambda: sign(claims(sub="")),
    "user with a line break": lambda: sign(claims(sub="a\nb")),
    "tenant with NUL": lambda: sign(claims(tenant_id="a\0")),
    "tenant of 201 characters": lambda: sign(claims(tenant_id="x" * 201)),
    "tenant no text": lambda: sign(claims(tenant_id=5)),
    "scope no text": lambda: sign(claims(scope=["a"])),
    "not a token": lambda: "garbage",
    "dots": lambda: "..",
    "huge": lambda: "x" * 100_000,
    "not ASCII": lambda: "é.é.é",
    "claims no object": lambda: jwt.PyJWS().encode(b"[1]", SECRET, algorithm="HS256"),
    "nested too deep": lambda: jwt.PyJWS().encode(b"[" * 4000, SECRET, algorithm="HS256"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused_without_detail(name: str) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        SecretVerifier(SECRET).verify(BAD[name](), NOW)
    assert not caught.value.missing
    assert "x" * 32 not in str(caught.value)


@pytest.mark.parametrize("value", ["1", "tomorrow", True, float("inf"), 1e300, None, [1]])
def test_an_exp_that_is_no_time_is_refused(value: object) -> None:
    token = jwt.PyJWS().encode(json.dumps(claims(exp=value)).encode(), SECRET, algorithm="HS256")
    with pytest.raises(UnauthorizedError):
        SecretVerifier(SECRET).verify(token, NOW)


def test_issuer_and_audience_are_demanded_where_set() -> None:
    verifier = SecretVerifier(SECRET, ClaimRules(issuer="https://idp", audience="chat"))
    good = claims(iss="https://idp", aud=["chat", "other"])
    assert verifier.verify(sign(good), NOW).user == "ann"
    for wrong in ({"iss": "https://evil"}, {"aud": "other"}, {"iss": ...}, {"aud": ...}):
        with pytest.raises(UnauthorizedError):
            verifier.verify(sign(claims(**{**good, **wrong})), NOW)


def test_leeway_applies_to_both_ends() -> None:
    verifier = SecretVerifier(SECRET, ClaimRules(leeway_s=5))
    assert verifier.verify(sign(claims(exp=NOW - 4, nbf=NOW + 4)), NOW)
    with pytest.raises(UnauthorizedError):
        verifier.verify(sign(claims(exp=NOW - 5)), NOW)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "token"])
def test_a_missing_token_is_told_as_missing(header: str | None) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        bearer_token(header)
    assert caught.value.missing


def test_the_scheme_is_case_insensitive() -> None:
    assert bearer_token("bearer  abc ") == "abc"


ANN = Principal("ann", "demo", frozenset(), NOW)
BRIDGE = Principal("bridge", "demo", frozenset({"streams:tenant", "events:publish"}), NOW)


@pytest.mark.parametrize(
    ("principal", "topic", "allowed"),
    [
        (ANN, "user:ann", True),
        (ANN, "user:bob", False),
        (ANN, "user:ann2", False),
        (ANN, "tenant:demo", True),
        (ANN, "tenant:other", False),
        (ANN, "room:mine", True),
        (ANN, "room:theirs", False),
        (ANN, "jobs:1", False),
        (BRIDGE, "jobs:1", True),
        (BRIDGE, "user:ann", True),
        (BRIDGE, "tenant:other", False),
    ],
)
def test_sq6_who_may_read_what(principal: Principal, topic: str, allowed: bool) -> None:
    try:
        require_readable(principal, Topic(topic), {"mine"})
    except ForbiddenError:
        assert not allowed
    else:
        assert allowed


def test_publishing_needs_the_scope_and_stays_in_the_tenant() -> None:
    require_publishable(BRIDGE, Topic("room:any"))
    for principal, topic in ((ANN, "room:mine"), (BRIDGE, "tenant:other")):
        with pytest.raises(ForbiddenError):
            require_publishable(principal, Topic(topic))


@pytest.mark.parametrize("name", ["token", "access_token", "id_token", "authorization"])
def test_a_token_in_a_url_is_told_where_it_belongs(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        refuse_token_in_url({"topic", name})
    assert caught.value.field == name and "Authorization: Bearer" in str(caught.value)
    refuse_token_in_url({"topic", "lastEventId", "ticket"})


def test_a_token_is_checked_again_against_the_clock_though_its_signature_is_remembered() -> None:
    verifier = SecretVerifier(SECRET)
    token = sign(claims(exp=NOW + 60))
    assert verifier.verify(token, NOW) == verifier.verify(token, NOW + 59)
    with pytest.raises(UnauthorizedError):
        verifier.verify(token, NOW + 60)


def test_what_is_remembered_is_bounded() -> None:
    """And a token that comes once, as that of a stream, is not kept at all."""
    from sse_service import tokens

    verifier = SecretVerifier(SECRET)
    for n in range(tokens.REMEMBERED + 50):
        token = sign(claims(jti=n))
        verifier.verify(token, NOW)
        assert token not in verifier._known
        verifier.verify(token, NOW)
        assert token in verifier._known
    assert len(verifier._known) == tokens.REMEMBERED and len(verifier._seen) <= tokens.REMEMBERED


def test_claims_can_have_other_names() -> None:
    rules = ClaimRules(user_claim="email", tenant_claim="custom:tenant", default_tenant="solo")
    verifier = SecretVerifier(SECRET, rules)
    token = claims(email="ann@x.example", email_verified=True, **{"custom:tenant": "t1"})
    assert verifier.verify(sign(token), NOW).tenant == "t1"
    alone = {**token, "custom:tenant": ...}
    assert verifier.verify(sign(claims(**alone)), NOW).tenant == "solo"
    assert verifier.verify(sign(token), NOW).user == "ann@x.example"
    for wrong in ({"email_verified": False}, {"email_verified": ...}, {"email": ...}):
        with pytest.raises(UnauthorizedError):
            verifier.verify(sign(claims(**{**token, **wrong})), NOW)
