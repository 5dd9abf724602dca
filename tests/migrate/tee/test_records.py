"""What the tee sent, read back. until phase 3"""

import base64
import json

import pytest

from migrate.tee.records import MalformedRecordError, parse_record


def raw(**changes: object) -> dict[str, object]:
    return {
        "v": 1,
        "request_id": "r",
        "api_id": "api",
        "stage": "prod",
        "route_key": "sendMessage",
        "event_type": "MESSAGE",
        "connection_id": "c",
        "connected_at": 1,
        "user": "alice",
        "tenant": None,
        "at": 1.5,
        "body": "{}",
        "base64": False,
        "failed": False,
        "dropped_before": 2,
        "posts": [{"data": "x", "base64": False, "at": 1.25, "ok": ["a"], "gone": [], "failed": ["b"]}],
        **changes,
    }


def test_a_record_is_read() -> None:
    """Every field comes back with its type."""
    record = parse_record(json.dumps(raw()))
    assert (record.user, record.tenant, record.at, record.dropped_before) == ("alice", None, 1.5, 2)
    assert (record.posts[0].ok, record.posts[0].failed) == (("a",), ("b",))
    assert record.truncated is False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json", "not JSON"),
        ("[]", "not an object"),
        (json.dumps(raw(v=2)), "version 2"),
        (json.dumps({**raw(), "posts": [{"data": "x"}]}), "base64"),
        (json.dumps({k: v for k, v in raw().items() if k != "at"}), "'at'"),
        (
            json.dumps(raw(posts=[{"data": "", "base64": False, "at": 1, "ok": "a", "gone": [], "failed": []}])),
            "list",
        ),
    ],
)
def test_a_record_that_cannot_be_read_says_why(text: str, reason: str) -> None:
    """A record of a newer tee, or a broken one, is an error with its reason and no crash."""
    with pytest.raises(MalformedRecordError, match=reason):
        parse_record(text)


def test_a_packed_payload_is_unpacked() -> None:
    """MG6: a payload that JSON would blow up comes as the base64 of its UTF-8."""
    packed = base64.b64encode("日本".encode()).decode()
    post = {"data": packed, "packed": True, "base64": False, "at": 1, "ok": [], "gone": [], "failed": []}
    record = parse_record(json.dumps(raw(body=packed, body_packed=True, posts=[post], part=2, parts=3)))
    assert (record.body, record.posts[0].data) == ("日本", "日本")
    assert (record.part, record.parts) == (2, 3)


def test_a_record_of_a_tee_without_parts_is_one_part() -> None:
    """MG6: records that were in the queue before an update of the tee are still read."""
    record = parse_record(json.dumps(raw()))
    assert (record.part, record.parts) == (1, 1)


@pytest.mark.parametrize("data", ["no base64!", "/////w=="])
def test_a_packed_payload_that_is_broken_is_malformed(data: str) -> None:
    """MG6: put aside with a reason, not a crash."""
    post = {"data": data, "packed": True, "base64": False, "at": 1, "ok": [], "gone": [], "failed": []}
    with pytest.raises(MalformedRecordError):
        parse_record(json.dumps(raw(posts=[post])))
