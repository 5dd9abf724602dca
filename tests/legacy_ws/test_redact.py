"""legacy_ws.redact: fault 13, tokens end up in logs. until phase 3"""

from __future__ import annotations

import jwt
import pytest

from legacy_ws.redact import REDACTED, redact, redact_text

TOKEN = jwt.encode({"sub": "u"}, "k" * 32)


@pytest.mark.parametrize(
    "text",
    [
        f"wss://host/prod?token={TOKEN}&userName=alice",
        f"Authorization: Bearer {TOKEN}",
        f"'authorization': 'Bearer {TOKEN}'",
        f'{{"access_token": "{TOKEN}"}}',
        f"token%3D{TOKEN}",
        f"bad token {TOKEN}.",
        TOKEN.rpartition(".")[0] + ".",  # alg none: an empty signature
    ],
)
def test_no_part_of_a_token_is_left(text: str) -> None:
    clean = redact_text(text)
    assert REDACTED in clean
    for part in TOKEN.split("."):
        assert part not in clean


@pytest.mark.parametrize(
    "text", ["?token=opaque-123&x=1", "password: hunter2", "X-Amz-Signature=abcdef", "secret='s3cr3t'"]
)
def test_opaque_secrets_go_too(text: str) -> None:
    clean = redact_text(text)
    assert not any(secret in clean for secret in ("opaque-123", "hunter2", "abcdef", "s3cr3t"))


def test_values_under_secret_names_go_whatever_they_are() -> None:
    record = {"jwtSecret": "x y z", "nested": [{"Authorization": "whatever"}], "count": 3, "token": None}
    assert redact(record) == {
        "jwtSecret": REDACTED,
        "nested": [{"Authorization": REDACTED}],
        "count": 3,
        "token": None,
    }


def test_ordinary_text_stays() -> None:
    assert redact_text("connection L0SM9cOFvHcCIhw= is gone") == "connection L0SM9cOFvHcCIhw= is gone"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["eyJ", "a", "token", "bearer ", "token ", "eyJ.", "-", '"secret"'])
def test_hostile_text_is_read_in_linear_time(unit: str) -> None:
    """Half a megabyte of it; reading runs again from each position would take minutes."""
    redact_text(unit * (500_000 // len(unit)))
