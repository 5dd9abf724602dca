"""legacy_ws.apps.direct.addresses and .times: rooms that never collide, times that sort (fault 18). until phase 3"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legacy_ws.apps.direct.addresses import address_field, room_of
from legacy_ws.apps.direct.times import EARLIEST, LATEST, iso_time, time_field
from legacy_ws.errors import ClientInputError

# Much of what could confuse: the separator, the escape, its digits, case, what sorts around them.
ADDRESSES = st.text(st.sampled_from("#%235aAbB@$&é한😀"), min_size=1, max_size=8) | st.emails()


@given(a=ADDRESSES, b=ADDRESSES, c=ADDRESSES, d=ADDRESSES)
@example("a#", "b", "a", "#b")
@example("a%23", "b", "a#", "b")
@example("a#b", "c", "a", "b#c")
@example("Ann@x.org", "bob@x.org", "ann@x.org", "bob@x.org")
@example("a%", "b", "a%25", "b")
def test_two_pairs_share_a_room_only_when_they_are_the_same_pair(a: str, b: str, c: str, d: str) -> None:
    """Fault 18"""
    assert (room_of(a, b) == room_of(c, d)) == (sorted((a, b)) == sorted((c, d)))


@given(a=ADDRESSES, b=ADDRESSES)
def test_the_order_of_the_two_does_not_matter_and_both_can_be_told_again(a: str, b: str) -> None:
    room = room_of(a, b)
    assert room == room_of(b, a)
    decoded = [half.replace("%23", "#").replace("%25", "%") for half in room.split("#")]
    assert sorted(decoded) == sorted((a, b))


def test_a_room_looks_as_the_document_has_it() -> None:
    assert room_of("bob@example.com", "ann@example.com") == "ann@example.com#bob@example.com"
    assert room_of("Bob@example.com", "ann@example.com") == "Bob@example.com#ann@example.com"
    assert room_of("a#1@example.com", "50%@example.com") == "50%25@example.com#a%231@example.com"
    assert room_of("ann@example.com", "ann@example.com") == "ann@example.com#ann@example.com"


def test_the_longest_room_fits_into_a_key() -> None:
    """DynamoDB: a partition key has at most 2,048 bytes."""
    longest = address_field({"to": "#" * 318 + "@x"}, "to")
    assert len(room_of(longest, longest).encode()) <= 2048


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (None, "bad_request"),
        ("", "bad_request"),
        ("   ", "bad_request"),
        (5, "bad_request"),
        (["a@b"], "bad_request"),
        ("ann", "bad_request"),
        ("@", "bad_request"),
        ("ann@", "bad_request"),
        ("@example.com", "bad_request"),
        ("a@b@c", "bad_request"),
        (" ann@example.com", "bad_request"),
        ("ann@example.com\n", "bad_request"),
        ("an\u0000n@example.com", "bad_request"),
        ("an\u0085n@example.com", "bad_request"),
        ("an\u007fn@example.com", "bad_request"),
        ("a\ud800@example.com", "bad_request"),
        ("a" * 309 + "@example.com", "message_too_long"),
        ("한" * 103 + "@example.com", "message_too_long"),
    ],
)
def test_what_is_no_address_is_refused(address: object, code: str) -> None:
    with pytest.raises(ClientInputError) as caught:
        address_field({"to": address}, "to")
    assert caught.value.code == code


@pytest.mark.parametrize("address", ["a@b", "a" * 308 + "@example.com", "한글@예시.kr", "a#b%c+d@example.com"])
def test_addresses_are_taken_as_they_are(address: str) -> None:
    assert address_field({"to": address}, "to") == address


@given(st.lists(st.integers(-62135596800_000000, 253402300799_999999), min_size=2, max_size=2))
@example([0, 1])
@example([999_999, 1_000_000])
def test_times_sort_as_text_like_the_times_they_mean(moments: list[int]) -> None:
    one, other = map(iso_time, moments)
    assert (one < other) == (moments[0] < moments[1])
    assert len(one) == len(EARLIEST)
    assert EARLIEST <= one <= LATEST
    assert time_field({"before": one}, "before") == one


def test_a_time_is_iso_8601_in_utc_with_exactly_microseconds() -> None:
    at = datetime(2026, 11, 22, 3, 15, 52, 123456, tzinfo=UTC)
    assert iso_time(round(at.timestamp() * 1_000_000)) == "2026-11-22T03:15:52.123456Z"
    assert iso_time(1718691220123000) == "2024-06-18T06:13:40.123000Z"


@pytest.mark.parametrize(
    "value",
    [
        5,
        True,
        "",
        "yesterday",
        "2026-11-22T03:15:52Z",
        "2026-11-22T03:15:52.123456",
        "2026-11-22T03:15:52.123456+00:00",
        "2026-11-22 03:15:52.123456Z",
        "2026-02-30T03:15:52.123456Z",
        "0000-01-01T00:00:00.000000Z",
        "2026-11-22T03:15:52.123456Z\n",
        "٢٠٢٦-11-22T03:15:52.123456Z",
    ],
)
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(ClientInputError, match="before"):
        time_field({"before": value}, "before")


def test_the_time_of_a_browser_is_one() -> None:
    """`new Date().toISOString()` has three digits; other writers of such a table may have used it."""
    assert time_field({"before": "2026-11-22T03:15:52.123Z"}, "before") == "2026-11-22T03:15:52.123Z"
    assert time_field({}, "before") is None
    assert time_field({"before": None}, "before") is None
