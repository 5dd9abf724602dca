"""Deployment profiles: what stands in front never cuts a stream that could have ended by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from sse_service.app import create_app
from sse_service.cli import app
from sse_service.profiles import DEFAULT_PROFILE, JITTER, PROFILES
from sse_service.server import make_server
from sse_service.settings import Secret, Settings


@pytest.mark.parametrize("name", PROFILES)
def test_streams_end_before_the_target_cuts_them(name: str) -> None:
    """The oldest possible stream is younger than the longest response; two heartbeats fit into the idle time."""
    profile = PROFILES[name]
    if profile.longest_s:
        assert profile.max_age_s * (1 + JITTER) < profile.longest_s
    if profile.idle_s:
        assert profile.heartbeat_s * 2 <= profile.idle_s
    assert list(Settings.from_env({"SSE_PROFILE": name}).warnings()) == []


def test_the_names_are_those_of_the_design_and_ecs_is_the_default() -> None:
    assert set(PROFILES) == {"ecs", "apprunner", "apigw-rest", "lambda-url", "cloudfront", "none"}
    assert Settings().profile == DEFAULT_PROFILE == "ecs"


def test_an_explicit_setting_wins_and_is_warned_of() -> None:
    settings = Settings.from_env(
        {"SSE_PROFILE": "apprunner", "SSE_MAX_STREAM_AGE_S": "600", "SSE_HEARTBEAT_S": "90", "SSE_GRACE_S": "3"}
    )
    assert (settings.effective_max_age_s, settings.effective_heartbeat_s) == (600, 90)
    warnings = list(settings.warnings())
    assert [w.split("=")[0] for w in warnings] == ["SSE_MAX_STREAM_AGE_S", "SSE_HEARTBEAT_S"]
    assert "109 or less" in warnings[0] and "60 or less" in warnings[1]
    longer = Settings.from_env({"SSE_PROFILE": "ecs", "SSE_HEARTBEAT_S": "90", "SSE_IDLE_TIMEOUT_S": "4000"})
    assert list(longer.warnings()) == []


def test_check_config_shows_what_the_profile_comes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PROFILE", "cloudfront")
    monkeypatch.setenv("SSE_HEARTBEAT_S", "20")
    result = CliRunner().invoke(app, ["check-config", "--json"])
    assert result.exit_code == 0
    shown: dict[str, Any] = json.loads(result.stdout)["effective"]
    assert shown == {"heartbeat_s": 20, "max_age_s": 270, "idle_timeout_s": 30, "opens_per_minute": 60, "jwks_url": ""}
    assert "warning: SSE_HEARTBEAT_S=20" in result.stderr


@pytest.mark.parametrize("profile", sorted(name for name, profile in PROFILES.items() if profile.idle_s))
@pytest.mark.parametrize("idle_s", [0, 30, 400.5])
def test_a_connection_is_kept_longer_than_the_load_balancer_reuses_it(profile: str, idle_s: float) -> None:
    """Otherwise a request now and then meets a connection that is being closed: a 502, for good for an EventSource."""
    settings = Settings(
        jwt_secret=Secret("a-key-for-tests-only-0123456789abcdef"), profile=profile, idle_timeout_s=idle_s
    )
    server = make_server(create_app(settings), settings)
    assert server.config.timeout_keep_alive > max(60, settings.effective_idle_s)
