"""Access tokens of a Cognito user pool, judged by Cognito itself: GetUser (DC1). until phase 3

Source: Amazon Cognito user pools API reference, `GetUser` (authorised by the access token alone, which needs the
scope aws.cognito.signin.user.admin; no IAM); developer guide, "Verifying JSON web tokens": `iss` is
`https://cognito-idp.{region}.amazonaws.com/{pool}`, `token_use` is `access`, `client_id` the app client.

GetUser answers for a token of ANY user pool of its region, somebody else's included: that it succeeds says that a
token is genuine, unexpired and not revoked, not that it is one of ours. So the claims are held against our pool and
client. That is done before the call, which spares it for most of what is wrong; what they say is believed only once
GetUser has accepted the token they are signed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jwt

from legacy_ws.auth.identity import MALFORMED, Identity, check_length, identifier
from legacy_ws.errors import TokenRefusedError

__all__ = ["CognitoVerifier", "issuer_of", "region_of"]


def region_of(pool_id: str) -> str:
    """The region in a pool's id (`ap-northeast-1_AbCdEfGhI`)."""
    return pool_id.partition("_")[0]


def issuer_of(pool_id: str) -> str:
    """`iss` of every token of the pool."""
    region = region_of(pool_id)
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://cognito-idp.{region}.{suffix}/{pool_id}"


class CognitoVerifier:
    """Judges access tokens of one pool.

    Args:
        pool_id: the pool whose users may connect.
        client_id: the only app client whose tokens count, when given.
        attributes_of: GetUser: a token to its user's attributes, all text. Raises: TokenRefusedError,
            IdentityProviderError.
    """

    def __init__(self, pool_id: str, client_id: str | None, attributes_of: Callable[[str], Mapping[str, str]]) -> None:
        self._issuer = issuer_of(pool_id)
        self._client_id = client_id
        self._attributes_of = attributes_of

    def identify(self, token: str) -> Identity:
        """See Verifier; the context is {"userId": sub, "email"}."""
        check_length(token)
        try:
            claims = self._unverified_claims(token)
        except MALFORMED as error:
            raise TokenRefusedError(type(error).__name__) from None
        if claims.get("token_use") != "access":
            raise TokenRefusedError("no_access_token")
        if self._client_id is not None and claims.get("client_id") != self._client_id:
            raise TokenRefusedError("wrong_client")
        user = identifier(claims, "sub")
        if user is None:
            raise TokenRefusedError("no_user")
        attributes = self._attributes_of(token)
        if attributes.get("sub", user) != user:
            raise TokenRefusedError("another_user")
        if attributes.get("email_verified") != "true":
            raise TokenRefusedError("email_not_verified")
        email = identifier(attributes, "email")
        if email is None:
            raise TokenRefusedError("no_email")
        return Identity(user, {"userId": user, "email": email})

    def _unverified_claims(self, token: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            issuer=self._issuer,
            options={
                "verify_signature": False,
                "require": ["exp", "iss", "sub"],
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
                "verify_iss": True,
                "verify_sub": True,
            },
        )
