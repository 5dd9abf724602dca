"""Which verifier the settings ask for. until phase 3"""

from __future__ import annotations

from legacy_ws.auth.cognito import CognitoVerifier, region_of
from legacy_ws.auth.identity import Verifier
from legacy_ws.auth.jwks import KeySet
from legacy_ws.auth.tokens import hs256, rs256
from legacy_ws.auth_settings import AuthSettings
from legacy_ws.log import Log, log

__all__ = ["verifier_of"]


def verifier_of(settings: AuthSettings, *, log: Log = log) -> Verifier:
    """The verifier for `settings`. Keep it as long as the execution environment lives: it keeps keys and clients."""
    if settings.user_pool_id is not None:
        # Imported here: the other kinds run before every connection without boto3, which takes longer to load than
        # everything else they do.
        from legacy_ws import aws

        users = aws.pool_users(region_of(settings.user_pool_id))
        return CognitoVerifier(settings.user_pool_id, settings.client_id, users.attributes)
    if settings.jwks_url is not None:
        keys = KeySet(settings.jwks_url, log=log)
        return rs256(keys.key, issuer=settings.issuer, audience=settings.audience)
    return hs256(settings.jwt_secret or "", issuer=settings.issuer, audience=settings.audience)
