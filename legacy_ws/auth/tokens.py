"""Tokens that we verify ourselves: a JWT, HS256 or RS256, never both, never `none`. until phase 3

Source: RFC 8725, 3.1 (the algorithm is ours to choose, never the token's) and 3.8-3.9 (issuer, audience); RFC 7519,
4.1. Every verifier has a PyJWS of its own that knows one algorithm: an HS256 token signed with the public RSA key,
the classic confusion, meets no HS256 there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt

from legacy_ws.auth.identity import MALFORMED, Identity, check_length, identifier
from legacy_ws.auth.rs256 import RS256, RsaKey
from legacy_ws.errors import TokenRefusedError

__all__ = ["JwtVerifier", "hs256", "rs256"]


class JwtVerifier:
    """Verifies JWTs of one algorithm and reads the user (`sub`, else `user_id`) and the tenant (`tenant_id`).

    Args:
        algorithm: as in the token's header.
        jws: knows that algorithm and no other.
        key_of: `kid` of the token's header, or None, to the key. May raise TokenRefusedError, IdentityProviderError.
        issuer, audience: demanded of `iss` and `aud` when given.
        refuse_other_audience: without `audience`, a token that names one is refused.
    """

    def __init__(
        self,
        algorithm: str,
        jws: jwt.PyJWS,
        key_of: Callable[[str | None], Any],
        *,
        issuer: str | None,
        audience: str | None,
        refuse_other_audience: bool,
    ) -> None:
        self._algorithm = algorithm
        self._jws = jws
        self._key_of = key_of
        self._issuer = issuer
        self._audience = audience
        self._verify_aud = refuse_other_audience or audience is not None

    def identify(self, token: str) -> Identity:
        """See Verifier; the context is {"userId", "tenantId"}."""
        check_length(token)
        try:
            claims = self._claims(token)
        except MALFORMED as error:
            raise TokenRefusedError(type(error).__name__) from None
        user = identifier(claims, "sub") or identifier(claims, "user_id")
        tenant = identifier(claims, "tenant_id")
        if user is None or tenant is None:
            raise TokenRefusedError("no_user" if user is None else "no_tenant")
        return Identity(user, {"userId": user, "tenantId": tenant})

    def _claims(self, token: str) -> dict[str, Any]:
        header = self._jws.get_unverified_header(token)
        if header.get("alg") != self._algorithm:  # before the key is looked up: that may cost a request
            raise TokenRefusedError("wrong_algorithm")
        self._jws.decode_complete(token, self._key_of(header.get("kid")), algorithms=[self._algorithm])
        # The line above has verified the signature of this very text. What is left is the claims, which PyJWT checks
        # in a class that knows no other algorithms than its own: so it is told not to look at the signature again.
        return jwt.decode(
            token,
            issuer=self._issuer,
            audience=self._audience,
            options={
                "verify_signature": False,
                "require": ["exp"],
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
                "verify_iss": True,
                "verify_sub": True,
                "verify_aud": self._verify_aud,
            },
        )


def hs256(secret: str, *, issuer: str | None, audience: str | None) -> JwtVerifier:
    """Verifies HS256. The secret is this application's own, so a token is for us whatever its `aud` says."""
    return JwtVerifier(
        "HS256",
        jwt.PyJWS(algorithms=["HS256"]),
        lambda _: secret,
        issuer=issuer,
        audience=audience,
        refuse_other_audience=False,
    )


def rs256(key_of: Callable[[str | None], RsaKey], *, issuer: str | None, audience: str | None) -> JwtVerifier:
    """Verifies RS256 with the keys of an identity provider, which signs for others too.

    A token with an `aud` is refused unless an audience is set and among them (RFC 7519, 4.1.3: it MUST be rejected).
    """
    jws = jwt.PyJWS(algorithms=[])
    jws.register_algorithm("RS256", RS256())
    return JwtVerifier("RS256", jws, key_of, issuer=issuer, audience=audience, refuse_other_audience=True)
