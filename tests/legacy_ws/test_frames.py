"""legacy_ws.frames: what hostile clients send. until phase 3"""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_ws.errors import ClientInputError
from legacy_ws.frames import decode, encode, error_frame, text_field, whole_number_field


@pytest.mark.parametrize(
    "body",
    [None, "", "nope", "{", "[]", '"text"', "5", "null", '{"a":NaN}', '{"a":Infinity}', "[" * 100_000, "9" * 5000],
)
def test_anything_but_a_json_object_is_a_bad_request(body: str | None) -> None:
    with pytest.raises(ClientInputError) as caught:
        decode(body)
    assert caught.value.code == "bad_request"


@given(st.text())
def test_no_text_makes_decode_crash(body: str) -> None:
    with contextlib.suppress(ClientInputError):
        assert isinstance(decode(body), dict)


def test_fractions_stay_exact_both_ways() -> None:
    frame = decode('{"timestamp":1718700020.123456}')
    assert frame["timestamp"] == Decimal("1718700020.123456")
    assert encode(frame) == b'{"timestamp":1718700020.123456}'
    assert encode({"n": Decimal(5), "t": "こん"}) == '{"n":5,"t":"こん"}'.encode()


@pytest.mark.parametrize("value", [5, True, ["x"], {"x": 1}, "", "   ", "\ud800"])
def test_text_fields_are_checked(value: object) -> None:
    with pytest.raises(ClientInputError) as caught:
        text_field({"message": value}, "message", max_bytes=10)
    assert caught.value.code == "bad_request"


def test_text_is_measured_in_bytes_and_null_counts_as_absent() -> None:
    assert text_field({"message": "x" * 10}, "message", max_bytes=10) == "x" * 10
    with pytest.raises(ClientInputError) as caught:
        text_field({"message": "こ" * 4}, "message", max_bytes=10)
    assert caught.value.code == "message_too_long"
    assert text_field({"roomId": None}, "roomId", max_bytes=10, default="main") == "main"
    with pytest.raises(ClientInputError, match="missing"):
        text_field({}, "message", max_bytes=10)


@pytest.mark.parametrize("value", [0, 101, -1, True, "5", Decimal("5.5"), Decimal("5.0"), [], 10**30])
def test_whole_numbers_are_checked(value: object) -> None:
    with pytest.raises(ClientInputError):
        whole_number_field({"limit": value}, "limit", low=1, high=100, default=50)
    assert whole_number_field({}, "limit", low=1, high=100, default=50) == 50


def test_error_frames_have_exactly_the_agreed_fields() -> None:
    assert error_frame("internal", "Sorry.", "r-1") == {
        "type": "error",
        "code": "internal",
        "message": "Sorry.",
        "requestId": "r-1",
    }
