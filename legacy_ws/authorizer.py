"""The Lambda REQUEST authorizer: a token in, an IAM policy with what is known of the user out (WL4, DC1). until phase 3

Source: Amazon API Gateway developer guide, "Control access to WebSocket APIs with AWS Lambda REQUEST
authorizers". The exception text `Unauthorized`, exactly, is what API Gateway answers with 401 (same guide,
"Output from an API Gateway Lambda authorizer"); any other failure is a 500.

Which of the two a client gets matters: 401 says "this token will never do, sign in again", 500 says "try again".
So an identity provider that cannot be reached or throttles us is not Unauthorized.
"""

from __future__ import annotations

from collections.abc import Mapping

from legacy_ws.auth.identity import Verifier
from legacy_ws.errors import IdentityProviderError, TokenRefusedError
from legacy_ws.log import Log, log

__all__ = ["Authorizer", "token_of"]


class Authorizer:
    """Judges the token of a handshake.

    Args:
        verifier: says whose token it is.
        log: where refusals are recorded, with their reason and never with the token.
    """

    def __init__(self, verifier: Verifier, *, log: Log = log) -> None:
        self._verifier = verifier
        self._log = log

    def authorize(self, event: Mapping[str, object]) -> dict[str, object]:
        """The policy for the handshake in `event`.

        Args:
            event: {"type": "REQUEST", "methodArn": str, "queryStringParameters"?: {...}, "headers"?: {...},
                "requestContext": {...}}.
        Returns: {"principalId": user, "policyDocument": {...}, "context": {"userId": str, ...}}; the context has
            "tenantId" for tokens that we verify, "email" for Cognito's.
        Raises:
            Exception("Unauthorized"): no token, or one that is not valid (API Gateway answers 401).
            IdentityProviderError: the JWKS or Cognito did not answer (API Gateway answers 500; the client retries).
        """
        token = token_of(event)
        if token is None:
            raise self._refuse(event, "no_token")
        try:
            identity = self._verifier.identify(token)
        except TokenRefusedError as error:
            raise self._refuse(event, error.reason) from None
        except IdentityProviderError as error:
            self._log("ERROR", "identity_provider_failed", provider=error.provider, reason=error.reason, **_ids(event))
            raise
        return {
            "principalId": identity.user,
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}],
            },
            "context": dict(identity.context),
        }

    def _refuse(self, event: Mapping[str, object], reason: str) -> Exception:
        self._log("WARNING", "unauthorized", reason=reason, **_ids(event))
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


def _ids(event: Mapping[str, object]) -> dict[str, object]:
    context = event.get("requestContext")
    fields = context if isinstance(context, Mapping) else {}
    return {"requestId": fields.get("requestId"), "connectionId": fields.get("connectionId")}
