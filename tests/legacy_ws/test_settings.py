"""legacy_ws.settings. until phase 3"""

from __future__ import annotations

import pytest

from legacy_ws.auth_settings import AuthSettings
from legacy_ws.errors import ConfigurationError
from legacy_ws.settings import Settings


def test_defaults_keep_a_row_longer_than_any_connection() -> None:
    """Fault 3: API Gateway keeps a connection up to two hours."""
    assert Settings.from_env({}).connection_ttl_s > 2 * 3600
    with pytest.raises(ConfigurationError, match="LEGACY_WS_CONNECTION_TTL_S"):
        Settings.from_env({"LEGACY_WS_CONNECTION_TTL_S": "3600"})


def test_values_come_from_the_environment() -> None:
    settings = Settings.from_env(
        {
            "LEGACY_WS_CONNECTIONS_TABLE": "c",
            "LEGACY_WS_MANAGEMENT_URL": "https://example.org/prod/",
            "LEGACY_WS_MAX_MESSAGE_BYTES": "100",
        }
    )
    assert settings.connections_table == "c"
    assert settings.management_url == "https://example.org/prod"
    assert settings.max_message_bytes == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEGACY_WS_MAX_MESSAGE_BYTES", "many"),
        ("LEGACY_WS_MAX_MESSAGE_BYTES", "0"),
        ("LEGACY_WS_FANOUT_WORKERS", "1000"),
        ("LEGACY_WS_MANAGEMENT_URL", "example.org"),
    ],
)
def test_wrong_values_are_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({name: value})
    assert caught.value.name == name


def test_the_secret_is_long_enough_and_never_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AuthSettings.from_env({"LEGACY_WS_JWT_SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "k" * 32 not in repr(AuthSettings.from_env({"LEGACY_WS_JWT_SECRET": "k" * 32}))
