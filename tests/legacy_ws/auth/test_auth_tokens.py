"""legacy_ws.auth.tokens (WL4): RS256 tokens, and the ways in which people have got past their verifiers.
until phase 3
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt
import pytest
from auth_support import base64url, claims, private_key, public_key, rs256_token, signing_input, token_with
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from legacy_ws.auth.identity import Verifier
from legacy_ws.auth.rs256 import RsaKey
from legacy_ws.auth.tokens import hs256, rs256
from legacy_ws.errors import IdentityProviderError, TokenRefusedError


def key_of(kid: str | None) -> RsaKey:
    if kid not in (None, "k1"):
        raise TokenRefusedError("unknown_kid")
    return public_key(private_key())


def verifier(issuer: str | None = None, audience: str | None = None) -> Verifier:
    return rs256(key_of, issuer=issuer, audience=audience)


def test_a_token_of_the_identity_provider_is_accepted() -> None:
    identity = verifier().identify(rs256_token(private_key()))
    assert (identity.user, identity.context) == ("u-alice", {"userId": "u-alice", "tenantId": "demo"})
    token = rs256_token(private_key(), sub=None, user_id="u-bob")
    assert verifier().identify(token).user == "u-bob"


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(message)
    return mac.finalize()


def confused(form: Callable[[], bytes], **header: object) -> str:
    """HS256 over the public key, as everybody can have it: RFC 8725, 2.1."""
    head = {"alg": "HS256", "typ": "JWT", "kid": "k1", **header}
    return token_with(head, hmac_sha256(form(), signing_input(head)))


def pem() -> bytes:
    return (
        private_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def der() -> bytes:
    return (
        private_key()
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def modulus() -> bytes:
    return public_key(private_key()).modulus.to_bytes(256, "big")


def tampered() -> str:
    """Another user's name under a signature that was valid."""
    head, _, signature = rs256_token(private_key()).split(".")
    other = signing_input({}, sub="u-mallory").split(b".")[1].decode()
    return f"{head}.{other}.{signature}"


def signed_with_own_key_in_header() -> str:
    """RFC 8725, 3.5 and 3.10: keys that a token brings along are nobody's keys."""
    mallory = private_key("mallory")
    numbers = mallory.public_key().public_numbers()
    own = {"kty": "RSA", "n": base64url(numbers.n.to_bytes(256, "big")), "e": "AQAB"}
    return jwt.encode(claims(), mallory, "RS256", headers={"kid": "k1", "jwk": own, "jku": "https://evil.example/jwks"})


REFUSED: dict[str, Callable[[], str]] = {
    "HS256 with the PEM": lambda: confused(pem),
    "HS256 with the DER": lambda: confused(der),
    "HS256 with the modulus": lambda: confused(modulus),
    "HS256 called RS256": lambda: confused(pem, alg="RS256"),
    "none": lambda: token_with({"alg": "none", "kid": "k1"}, b""),
    "None": lambda: token_with({"alg": "None", "kid": "k1"}, b""),
    "no algorithm": lambda: token_with({"kid": "k1"}, b""),
    "none with a signature": lambda: token_with({"alg": "none"}, b"x" * 256),
    "RS256 without a signature": lambda: token_with({"alg": "RS256", "kid": "k1"}, b""),
    "rs256 in small letters": lambda: token_with(
        {"alg": "rs256"}, private_key().sign(signing_input({"alg": "rs256"}), padding.PKCS1v15(), hashes.SHA256())
    ),
    "RS512 with the right key": lambda: jwt.encode(claims(), private_key(), "RS512", headers={"kid": "k1"}),
    "PS256 with the right key": lambda: jwt.encode(claims(), private_key(), "PS256", headers={"kid": "k1"}),
    "another key": lambda: rs256_token(private_key("mallory")),
    "a key of its own": signed_with_own_key_in_header,
    "unknown kid": lambda: rs256_token(private_key(), kid="k2"),
    "tampered": tampered,
    "expired": lambda: rs256_token(private_key(), exp=time.time() - 1),
    "no expiry": lambda: rs256_token(private_key(), exp=None),
    "not yet valid": lambda: rs256_token(private_key(), nbf=time.time() + 60),
    "issued in the future": lambda: rs256_token(private_key(), iat=time.time() + 60),
    "endless": lambda: rs256_token(private_key(), exp=float("inf")),
    "no user": lambda: rs256_token(private_key(), sub=None),
    "user is a number": lambda: rs256_token(private_key(), user_id=7, sub=None),
    "no tenant": lambda: rs256_token(private_key(), tenant_id=None),
    "for somebody else": lambda: rs256_token(private_key(), aud="another application"),
    "five parts": lambda: rs256_token(private_key()) + ".x.y",
    "too long": lambda: rs256_token(private_key(), note="x" * 9000),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_a_token_for_us_is_refused(kind: str) -> None:
    with pytest.raises(TokenRefusedError) as caught:
        verifier().identify(REFUSED[kind]())
    assert caught.value.reason
    assert "eyJ" not in caught.value.message


def test_a_verifier_knows_one_algorithm() -> None:
    """A token that is right for one kind of settings is wrong for the other."""
    secret = "k" * 32
    symmetric = hs256(secret, issuer=None, audience=None)
    token = jwt.encode(claims(), secret, "HS256")
    assert symmetric.identify(token).user == "u-alice"
    with pytest.raises(TokenRefusedError):
        verifier().identify(token)
    with pytest.raises(TokenRefusedError):
        symmetric.identify(rs256_token(private_key()))


def test_issuer_and_audience() -> None:
    strict = verifier("https://idp", "chat")
    good = {"iss": "https://idp", "aud": ["chat", "other"]}
    assert strict.identify(rs256_token(private_key(), **good)).user == "u-alice"
    for wrong in ({}, {"iss": "https://idp"}, {"aud": "chat"}, {**good, "iss": "https://evil"}, {**good, "aud": "x"}):
        with pytest.raises(TokenRefusedError):
            strict.identify(rs256_token(private_key(), **wrong))


def test_wrong_algorithms_cost_no_look_at_the_keys() -> None:
    """Whoever sends garbage must not make us ask the identity provider."""

    def never(kid: str | None) -> RsaKey:
        raise AssertionError(f"{kid} was looked up")

    for kind in ("none", "HS256 with the PEM", "no algorithm", "RS512 with the right key", "too long"):
        with pytest.raises(TokenRefusedError):
            rs256(never, issuer=None, audience=None).identify(REFUSED[kind]())


def test_keys_that_cannot_be_had_are_no_refusal() -> None:
    def unreachable(kid: str | None) -> RsaKey:
        raise IdentityProviderError("the JWKS", "TimeoutError")

    with pytest.raises(IdentityProviderError):
        rs256(unreachable, issuer=None, audience=None).identify(rs256_token(private_key()))


@given(st.text(max_size=200) | st.binary(max_size=120).map(lambda b: f"{base64url(b)}.{base64url(b)}.{base64url(b)}"))
def test_no_text_is_anything_but_refused(text: str) -> None:
    with pytest.raises(TokenRefusedError):
        verifier().identify(text)
