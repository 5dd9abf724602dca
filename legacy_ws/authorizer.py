"""The Lambda REQUEST authorizer: a JWT (HS256) in, an IAM policy with userId and tenantId out. until phase 3

Source: Amazon API Gateway developer guide, "Control access to WebSocket APIs with AWS Lambda REQUEST
authorizers". The exception text `Unauthorized`, exactly, is what API Gateway answers with 401 (same guide,
"Output from an API Gateway Lambda authorizer"); any other failure is a 500. Imports no boto3: it runs
before every connection.
"""

from __future__ import annotations

from collections.abc import Mapping

import jwt

from legacy_ws.auth_settings import AuthSettings
from legacy_ws.log import Log, log

__all__ = ["Authorizer", "token_of"]

_MAX_ID_BYTES = 1024


class Authorizer:
    """Judges the token of a handshake.

    Args:
        settings: key, and the issuer and audience to demand.
        log: where refusals are recorded, with their reason and never with the token.
    """

    def __init__(self, settings: AuthSettings, *, log: Log = log) -> None:
        self._settings = settings
        self._log = log

    def authorize(self, event: Mapping[str, object]) -> dict[str, object]:
        """The policy for the handshake in `event`.

        Args:
            event: {"type": "REQUEST", "methodArn": str, "queryStringParameters"?: {...}, "headers"?: {...},
                "requestContext": {...}}.
        Returns: {"principalId": user, "policyDocument": {...}, "context": {"userId": str, "tenantId": str}}.
        Raises: Exception("Unauthorized"): no token, or one that is not valid (API Gateway answers 401).
        """
        token = token_of(event)
        if token is None:
            raise self._refuse(event, "no_token")
        try:
            claims = jwt.decode(
                token,
                self._settings.jwt_secret,
                algorithms=["HS256"],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                options={"require": ["exp"], "verify_aud": self._settings.audience is not None},
            )
        # ValueError, RecursionError: hostile bytes that the JSON or base64 decoder refuses in its own words.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise self._refuse(event, type(error).__name__) from None
        user = _identity(claims, "sub") or _identity(claims, "user_id")
        tenant = _identity(claims, "tenant_id")
        if user is None or tenant is None:
            raise self._refuse(event, "no_user" if user is None else "no_tenant")
        return {
            "principalId": user,
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}],
            },
            "context": {"userId": user, "tenantId": tenant},
        }

    def _refuse(self, event: Mapping[str, object], reason: str) -> Exception:
        context = event.get("requestContext")
        fields = context if isinstance(context, Mapping) else {}
        self._log(
            "WARNING",
            "unauthorized",
            reason=reason,
            requestId=fields.get("requestId"),
            connectionId=fields.get("connectionId"),
        )
        return Exception("Unauthorized")


def token_of(event: Mapping[str, object]) -> str | None:
    """The token of a handshake: `?token=`, else `Authorization: Bearer`; header names count in any case."""
    query = event.get("queryStringParameters")
    if isinstance(query, Mapping):
        token = query.get("token")
        if isinstance(token, str) and token:
            return token
    headers = event.get("headers")
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if str(name).lower() == "authorization" and isinstance(value, str):
                scheme, _, token = value.strip().partition(" ")
                if scheme.lower() == "bearer" and token.strip():
                    return token.strip()
    return None


def _identity(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        return value if len(value.encode("utf-8")) <= _MAX_ID_BYTES else None
    except UnicodeEncodeError:  # a lone surrogate is JSON, but no text that a table could hold
        return None
