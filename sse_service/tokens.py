"""Checking tokens: HS256 with a shared secret, or RS256 with the issuer's published keys. Pure: time comes in.

A verifier is made for one algorithm with keys of that algorithm only, so a token cannot choose: an RS256
verifier holds no bytes that could serve as an HMAC secret, and an HS256 verifier no public key (RFC 8725, 3.1
and 2.1). Claims: `sub` (or `user_id`) the user, `tenant_id`, `exp`; optional `nbf`, `iss`, `aud` and `scope`
(words separated by spaces). Source: RFC 7519, 4.1; RFC 7515, 4.1.4 (kid); RFC 6750, 3.
Cognito: developer guide, "Verifying JSON web tokens": `token_use` is "access" or "id", the app client is in
`client_id` of an access token and in `aud` of an ID token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sse_service.auth import Principal
from sse_service.errors import InvalidInputError, UnauthorizedError
from sse_service.events import check_name

__all__ = ["HS256", "RS256", "ClaimRules", "KeySetVerifier", "SecretVerifier", "Verifier", "key_id"]

HS256 = "HS256"
RS256 = "RS256"
MAX_TOKEN = 8192
REMEMBERED = 1024
"""Tokens whose signature need not be computed again: a client sends the same one with every request. One that was
seen once only, as for a stream that is then open for hours, is not kept."""

COGNITO_SCOPE_PREFIX = "sse-service/"
"""Cognito's own scopes are `resource server/scope`; this is the identifier of the resource server to make."""


class Verifier(Protocol):
    def verify(self, token: str, now: float) -> Principal:
        """The caller behind `token` at `now` (UNIX seconds). Raises UnauthorizedError, UnavailableError."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What a token with a good signature must say.

    issuer, audience: "" when not checked. user_claim: "" for `sub`, or `user_id` without it. default_tenant:
    "" when a token must name its tenant. token_uses: empty for issuers other than Cognito. client_ids: app
    clients of the user pool, empty for any.
    """

    issuer: str = ""
    audience: str = ""
    leeway_s: float = 0.0
    user_claim: str = ""
    tenant_claim: str = "tenant_id"
    default_tenant: str = ""
    token_uses: frozenset[str] = frozenset()
    client_ids: frozenset[str] = frozenset()

    def principal(self, claims: Mapping[str, object], now: float) -> Principal:
        """Raises UnauthorizedError; it never says which check failed beyond "expired": that helps nobody honest."""
        expires_at = _seconds(claims.get("exp"))
        begins, ends = self.times(claims)
        if now >= ends:
            raise UnauthorizedError("the token has expired")
        if now < begins:
            raise UnauthorizedError("the token is not valid yet")
        scope = claims.get("scope", "")
        if not isinstance(scope, str):
            raise _refused()
        if self.token_uses:
            self._check_cognito(claims)
            scope = scope.replace(COGNITO_SCOPE_PREFIX, "")
        return Principal(
            user=_name(self._user(claims)),
            tenant=_shared(_name(claims.get(self.tenant_claim, self.default_tenant or None))),
            scopes=_scopes(scope),
            expires_at=expires_at,
        )

    def times(self, claims: Mapping[str, object]) -> tuple[float, float]:
        """From when on and until when the token is valid, UNIX seconds. Raises UnauthorizedError."""
        ends = _seconds(claims.get("exp")) + self.leeway_s
        begins = claims.get("nbf")
        return (_seconds(begins) - self.leeway_s if begins is not None else 0.0), ends

    def _user(self, claims: Mapping[str, object]) -> object:
        if not self.user_claim:
            return claims.get("sub", claims.get("user_id"))
        if self.user_claim == "email" and claims.get("email_verified") not in (True, "true"):
            # An address that nobody has proven to be his own names nobody.
            raise UnauthorizedError("the token's e-mail address is not verified")
        return claims.get(self.user_claim)

    def _check_cognito(self, claims: Mapping[str, object]) -> None:
        use = claims.get("token_use")
        client = claims.get("client_id" if use == "access" else "aud")
        if use not in self.token_uses or (self.client_ids and client not in self.client_ids):
            raise _refused()


@lru_cache(maxsize=1024)
def _shared(name: str) -> str:
    """The same object for the same name: thousands of callers are of one tenant."""
    return name


@lru_cache(maxsize=256)
def _scopes(text: str) -> frozenset[str]:
    return frozenset(text.split())


class _TokenVerifier:
    def __init__(self, algorithm: str, rules: ClaimRules) -> None:
        self._algorithm = algorithm
        self._rules = rules
        # The key is kept beside the caller: a key that its issuer has withdrawn must not live on here.
        self._known: OrderedDict[str, tuple[object, Principal, float, float]] = OrderedDict()

        self._seen: set[int] = set()

    def _key(self, token: str, /) -> Any:
        raise NotImplementedError

    def verify(self, token: str, now: float) -> Principal:
        if len(token) > MAX_TOKEN:
            raise _refused()
        key = self._key(token)
        known = self._known.get(token)
        if known is not None and known[0] is key and known[2] <= now < known[3]:
            return known[1]
        claims = self._claims(token, key)
        principal = self._rules.principal(claims, now)
        mark = hash(token)
        if mark in self._seen:
            self._known[token] = (key, principal, *self._rules.times(claims))
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen.add(mark)
        return principal

    def _claims(self, token: str, key: Any) -> Mapping[str, object]:
        rules = self._rules
        try:
            claims: Mapping[str, object] = jwt.decode(
                token,
                key,
                algorithms=[self._algorithm],
                audience=rules.audience or None,
                issuer=rules.issuer or None,
                options={
                    "require": ["exp"],
                    # Times are checked against the caller's clock.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                    "verify_aud": bool(rules.audience),
                    "verify_iss": bool(rules.issuer),
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _refused() from None
        return claims


class SecretVerifier(_TokenVerifier):
    """HS256 with a shared secret, and nothing else."""

    def __init__(self, secret: str, rules: ClaimRules | None = None) -> None:
        super().__init__(HS256, rules or ClaimRules())
        self._secret = secret

    def _key(self, _: str, /) -> Any:
        return self._secret


class KeySetVerifier(_TokenVerifier):
    """RS256 with the keys that `lookup` finds by their id, and nothing else."""

    def __init__(self, lookup: Callable[[str], RSAPublicKey | None], rules: ClaimRules | None = None) -> None:
        super().__init__(RS256, rules or ClaimRules())
        self._lookup = lookup

    def _key(self, token: str, /) -> Any:
        kid = key_id(token)
        key = self._lookup(kid) if kid else None
        if key is None:
            raise _refused()
        return key


def key_id(token: str) -> str:
    """The `kid` that a token claims to be signed with; "" when it says none."""
    try:
        kid = jwt.get_unverified_header(token).get("kid", "") if len(token) <= MAX_TOKEN else ""
    except (jwt.PyJWTError, ValueError, RecursionError):
        return ""
    return kid if isinstance(kid, str) else ""


def _refused() -> UnauthorizedError:
    return UnauthorizedError("the token is not valid")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        raise _refused()
    return float(value)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise UnauthorizedError("the token names no user or no tenant")
    try:
        return check_name("claim", value)
    except InvalidInputError:
        raise UnauthorizedError("the token names no user or no tenant") from None
