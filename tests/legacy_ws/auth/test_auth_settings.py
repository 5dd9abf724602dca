"""legacy_ws.auth_settings: one kind of token, unmistakably. until phase 3"""

from __future__ import annotations

import pytest

from legacy_ws.auth_settings import AuthSettings
from legacy_ws.errors import ConfigurationError

SECRET = {"LEGACY_WS_JWT_SECRET": "k" * 32}
JWKS = {"LEGACY_WS_JWKS_URL": "https://idp.example.org/jwks.json"}
POOL = {"LEGACY_WS_COGNITO_USER_POOL_ID": "ap-northeast-1_AbCdEfGhI"}


def test_each_kind_is_read() -> None:
    more = {"LEGACY_WS_JWT_ISSUER": "i", "LEGACY_WS_JWT_AUDIENCE": "a"}
    assert AuthSettings.from_env(SECRET | more) == AuthSettings("k" * 32, "i", "a")
    assert AuthSettings.from_env(JWKS | more) == AuthSettings(None, "i", "a", "https://idp.example.org/jwks.json")
    assert AuthSettings.from_env(POOL | {"LEGACY_WS_COGNITO_CLIENT_ID": "c"}) == AuthSettings(
        user_pool_id="ap-northeast-1_AbCdEfGhI", client_id="c"
    )


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "LEGACY_WS_JWT_SECRET"),
        ({"LEGACY_WS_JWT_SECRET": "short"}, "LEGACY_WS_JWT_SECRET"),
        (SECRET | JWKS, "LEGACY_WS_JWKS_URL"),
        (SECRET | POOL, "LEGACY_WS_COGNITO_USER_POOL_ID"),
        (JWKS | POOL, "LEGACY_WS_COGNITO_USER_POOL_ID"),
        ({"LEGACY_WS_JWKS_URL": "http://idp.example.org/jwks.json"}, "LEGACY_WS_JWKS_URL"),
        ({"LEGACY_WS_COGNITO_USER_POOL_ID": "users"}, "LEGACY_WS_COGNITO_USER_POOL_ID"),
        ({"LEGACY_WS_COGNITO_USER_POOL_ID": "evil.example/_x"}, "LEGACY_WS_COGNITO_USER_POOL_ID"),
    ],
)
def test_what_is_missing_ambiguous_or_unusable_is_named(environ: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AuthSettings.from_env(environ)
    assert caught.value.name == name
