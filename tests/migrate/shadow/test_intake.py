"""Records in the order in which they happened, each once, and gone only when said so. until phase 3 (MG6)"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import boto3
import pytest

from migrate.shadow import intake
from migrate.shadow.faults import Faults
from migrate.shadow.intake import Intake
from migrate.tee.consumers import consumer_queue


@pytest.fixture
def queue(aws: None, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    monkeypatch.setattr(intake, "HOLD_S", 0.0)
    monkeypatch.setattr(intake, "LONG_POLL_S", 0)
    sqs = boto3.client("sqs", region_name="ap-northeast-1")
    return sqs, consumer_queue(sqs, "api", "shadow")


def put(sqs: Any, url: str, name: str, posted_at: float, connection: str = "c1") -> None:
    body = {
        "v": 1, "request_id": name, "api_id": "api", "stage": "prod", "route_key": "say", "event_type": "MESSAGE",
        "connection_id": connection, "connected_at": 1, "user": "ann", "tenant": "demo", "at": 1.0, "body": "{}",
        "base64": False, "failed": False, "dropped_before": 0, "env": "w", "n": 1,
        "posts": [{"data": "x", "base64": False, "at": posted_at, "ok": ["c1"], "gone": [], "failed": []}],
    }  # fmt: skip
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body), MessageGroupId=connection, MessageDeduplicationId=name)


def names(found: list[intake.Taken]) -> list[str]:
    return [taken.record.request_id for taken in found]


def test_in_the_order_of_what_was_posted(queue: tuple[Any, str]) -> None:
    """MG6: a slow Lambda's record comes late, though its message was first."""
    sqs, url = queue
    put(sqs, url, "second", 2.0, "c1")
    put(sqs, url, "first", 1.0, "c2")
    one = Intake(sqs, url, Faults())
    asyncio.run(one.fill())
    assert names(one.due()) == ["first", "second"]


def test_a_record_is_in_the_queue_until_it_is_done(queue: tuple[Any, str]) -> None:
    """MG6: whoever is killed with it in hand leaves it to the next; seen again meanwhile, it is one."""
    sqs, url = queue
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    put(sqs, url, "r", 1.0)
    one = Intake(sqs, url, Faults())
    asyncio.run(one.fill())
    in_hand = one.due()
    asyncio.run(one.fill())
    assert (names(in_hand), one.due(), one.received, len(one)) == (["r"], [], 1, 1)
    asyncio.run(one.done(in_hand))
    assert len(one) == 0
    assert sqs.receive_message(QueueUrl=url).get("Messages", []) == []


def test_what_cannot_be_read_is_counted_and_holds_nothing_up(queue: tuple[Any, str]) -> None:
    """MG6: a record of a newer tee, or of nobody."""
    sqs, url = queue
    sqs.send_message(QueueUrl=url, MessageBody="{", MessageGroupId="g", MessageDeduplicationId="1")
    put(sqs, url, "r", 1.0)
    one = Intake(sqs, url, Faults())
    asyncio.run(one.fill())
    assert (one.malformed, names(one.due())) == (1, ["r"])
