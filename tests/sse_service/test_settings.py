"""Settings: defaults, types, limits, and what errors say."""

from __future__ import annotations

import dataclasses

import pytest

from sse_service.errors import SettingsError
from sse_service.profiles import PROFILES
from sse_service.settings import Settings, default_env, unknown_variables

KEY = "a-secret-that-must-not-be-shown-anywhere"


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({"SSE_PORT": "", "SSE_LOG": ""}) == Settings()


def test_values_are_typed() -> None:
    settings = Settings.from_env(
        {
            "SSE_PORT": "9000",
            "SSE_GRACE_S": "2.5",
            "SSE_CORS_ORIGINS": "https://a.example, https://b.example,",
            "SSE_JWT_SECRET": KEY,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
    )
    assert (settings.port, settings.grace_s, settings.region) == (9000, 2.5, "eu-west-1")
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert Settings.from_env({"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "eu-west-1"}).region == "us-east-1"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SSE_PORT": "http"}, "SSE_PORT='http': must be a whole number"),
        ({"SSE_PORT": "70000"}, "SSE_PORT='70000': must be between 0 and 65535"),
        ({"SSE_GRACE_S": "nan"}, "SSE_GRACE_S='nan': must be between"),
        ({"SSE_GRACE_S": "inf"}, "SSE_GRACE_S='inf': must be between"),
        ({"SSE_MAX_STREAMS": "0"}, "SSE_MAX_STREAMS='0': must be 1 or more"),
        ({"SSE_LOG": "redis"}, "SSE_LOG='redis': must be one of memory, dynamodb"),
        ({"SSE_PROFILE": "moon"}, "SSE_PROFILE='moon': must be one of ecs"),
        ({"SSE_LOG": "dynamodb"}, "SSE_JWT_SECRET is not set"),
        ({"SSE_MESSAGES_TABLE": "rooms-ChatMessages"}, "SSE_MESSAGES_TENANT"),
        ({"SSE_MESSAGES_TENANT": "demo"}, "SSE_MESSAGES_TENANT='demo'"),
        ({"SSE_JWKS_URL": "http://issuer.example/keys"}, "SSE_JWKS_URL='http://issuer.example/keys': must be an https"),
        ({"SSE_JWKS_URL": "https://u:p@issuer.example/keys"}, "must be an https address"),
        ({"SSE_JWKS_URL": "https://a.example/k", "SSE_JWT_SECRET": KEY}, "one way to check tokens"),
        ({"SSE_COGNITO_USER_POOL_ID": "pool"}, "must be like ap-northeast-1_"),
        ({"SSE_COGNITO_CLIENT_ID": "abc"}, "SSE_COGNITO_CLIENT_ID: has a meaning only with"),
        ({"SSE_COGNITO_TOKEN_USE": "refresh"}, "SSE_COGNITO_TOKEN_USE='refresh': must be access, id or both"),
        (
            {"SSE_COGNITO_USER_POOL_ID": "eu-west-1_abc", "SSE_JWT_ISSUER": "https://x.example"},
            "the user pool's issuer is https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc",
        ),
        ({"SSE_DEV_AUTH": "1", "SSE_HOST": "0.0.0.0"}, "SSE_DEV_AUTH=1: anybody could be anybody"),
        ({"SSE_DEV_AUTH": "1", "SSE_FORWARDED_ALLOW_IPS": "10.0.0.1"}, "SSE_DEV_AUTH=1: not together"),
        ({"SSE_FORWARDED_ALLOW_IPS": "*"}, "SSE_FORWARDED_ALLOW_IPS='*'"),
        ({"SSE_COOKIE_SAMESITE": "no"}, "must be one of strict, lax, none"),
        ({"SSE_COOKIE_PATH": "/a; Domain=x"}, "must begin with /"),
        ({"SSE_MAX_STREAM_AGE_S": "5"}, "SSE_MAX_STREAM_AGE_S=5: shorter than the heartbeat"),
    ],
)
def test_every_error_names_variable_and_value(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(
            {"SSE_PORT": "x", "SSE_GRACE_S": "y", "SSE_LOG": "disk", "SSE_JWT_SECRET": "short", "SSE_DEV_AUTH": "2"}
        )
    said = [problem.split("=")[0] for problem in caught.value.problems]
    assert said == ["SSE_PORT", "SSE_DEV_AUTH", "SSE_GRACE_S", "SSE_LOG", "SSE_JWT_SECRET"]
    assert Settings.from_env({"SSE_COGNITO_USER_POOL_ID": "eu-west-1_aB3"}).effective_jwks_url == (
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aB3/.well-known/jwks.json"
    )


def test_a_secret_is_never_shown() -> None:
    settings = Settings.from_env({"SSE_JWT_SECRET": KEY})
    assert KEY not in repr(settings) and str(settings.jwt_secret) == KEY
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"SSE_JWT_SECRET": "too-short"})
    assert "too-short" not in str(caught.value) and "SSE_JWT_SECRET" in str(caught.value)


def test_profiles_give_the_times_that_are_not_set() -> None:
    for name, profile in PROFILES.items():
        settings = Settings.from_env({"SSE_PROFILE": name})
        assert (settings.effective_heartbeat_s, settings.effective_max_age_s) == (
            profile.heartbeat_s,
            profile.max_age_s,
        )
    assert Settings.from_env({"SSE_HEARTBEAT_S": "3"}).effective_heartbeat_s == 3


def test_unknown_variables_are_found() -> None:
    assert unknown_variables({"SSE_PROT": "1", "SSE_PORT": "1", "PATH": "x"}) == ["SSE_PROT"]


def test_default_env_is_what_from_env_reads() -> None:
    lines = [line for line in default_env().splitlines() if not line.startswith("#")]
    assert len(lines) == len(dataclasses.fields(Settings))
    environ = dict(line.split("=", 1) for line in lines)
    assert Settings.from_env(environ) == Settings()
