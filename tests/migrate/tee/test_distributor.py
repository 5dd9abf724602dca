"""From the tee's queue to its readers: in order, once, and each record only gone when every reader has it.
until phase 3 (MG6)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from migrate.control.table import ControlTable
from migrate.tee.aside import aside_to
from migrate.tee.consumers import TeeState, consumer_queue
from migrate.tee.distributor import HOLD_S, Distributor

API = "api1234567"


@pytest.fixture
def sqs(aws: None) -> Any:
    return boto3.client("sqs", region_name="ap-northeast-1")


@pytest.fixture
def state(sqs: Any) -> TeeState:
    table = ControlTable(boto3.client("dynamodb", region_name="ap-northeast-1"), "ws2sse-migration")
    table.ensure()
    return TeeState(table, API)


def put(sqs: Any, queue: str, number: int, group: str = "c1") -> None:
    sqs.send_message(
        QueueUrl=queue, MessageBody=json.dumps({"n": number}), MessageGroupId=group, MessageDeduplicationId=str(number)
    )


def drain(sqs: Any, queue: str) -> list[int]:
    found = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            found.append(json.loads(message["Body"])["n"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_every_reader_gets_every_record_in_order(sqs: Any, state: TeeState) -> None:
    """MG6: the bridge and the shadow both have all of them."""
    tee = consumer_queue(sqs, API, "tee")
    queues = {name: consumer_queue(sqs, API, name) for name in ("bridge", "shadow")}
    for name, url in queues.items():
        state.add(name, url)
    for number in range(25):
        put(sqs, tee, number)
    distributor = Distributor(sqs, tee, state.consumers)
    while distributor.once(wait_s=0):
        pass
    assert drain(sqs, queues["bridge"]) == drain(sqs, queues["shadow"]) == list(range(25))
    assert drain(sqs, tee) == []


def test_a_record_stays_until_every_reader_has_it(sqs: Any, state: TeeState, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG6: stopped between two readers, nobody misses one and nobody has one twice."""
    tee = consumer_queue(sqs, API, "tee")
    queues = {name: consumer_queue(sqs, API, name) for name in ("bridge", "shadow")}
    for name, url in queues.items():
        state.add(name, url)
    sqs.set_queue_attributes(QueueUrl=tee, Attributes={"VisibilityTimeout": "0"})
    put(sqs, tee, 1)
    distributor = Distributor(sqs, tee, state.consumers)
    send = sqs.send_message_batch

    def fails_for_shadow(**request: Any) -> Any:
        if "shadow" in request["QueueUrl"]:
            raise ConnectionError("stopped")
        return send(**request)

    monkeypatch.setattr(sqs, "send_message_batch", fails_for_shadow)
    with pytest.raises(ConnectionError):
        distributor.once(wait_s=0)
    monkeypatch.setattr(sqs, "send_message_batch", send)
    assert distributor.once(wait_s=0) == 1
    assert drain(sqs, queues["bridge"]) == drain(sqs, queues["shadow"]) == [1]


def test_a_reader_registers_once_and_keeps_its_beginning(state: TeeState) -> None:
    """MG6: starting twice does not move the time from which its records count."""
    first = state.add("shadow", "url")
    assert state.add("shadow", "url") == first
    state.remove("shadow")
    assert state.consumers() == []


def test_the_configuration_before_is_kept_once_with_its_order(state: TeeState) -> None:
    """MG6: a second start must not take the tee's own configuration for the function's."""
    own = {"Handler": "app.handler", "Environment": {"Variables": {"z": "1", "a": "2"}}}
    state.save("arn:f", own)
    state.save("arn:f", {"Handler": "ws2sse_tee.handler"})
    assert json.dumps(state.read("arn:f")) == json.dumps(own)
    state.forget("arn:f")
    assert state.read("arn:f") is None


def test_a_reader_that_sorts_itself_is_not_held_up(sqs: Any, state: TeeState) -> None:
    """MG6: with one record of a connection in hand, the shadow gets the next as well; the bridge waits for its turn."""
    tee = consumer_queue(sqs, API, "tee")
    queues = {name: consumer_queue(sqs, API, name) for name in ("bridge", "shadow")}
    state.add("bridge", queues["bridge"])
    state.add("shadow", queues["shadow"], is_ordered=False)
    for number in range(2):
        put(sqs, tee, number)
    Distributor(sqs, tee, state.consumers).once(wait_s=0)
    for name, wanted in (("bridge", 0), ("shadow", 1)):
        sqs.receive_message(QueueUrl=queues[name], MaxNumberOfMessages=1)
        assert len(sqs.receive_message(QueueUrl=queues[name]).get("Messages", [])) == wanted


def waiting(sqs: Any, queue: str) -> int:
    name = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name])


class Refusing:
    """An SQS client whose queues of some readers refuse."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs
        self.exceptions = sqs.exceptions
        self.refuses = ""
        self.too_large: set[str] = set()
        self.tried = 0

    def send_message_batch(self, **request: Any) -> Any:
        if self.refuses and self.refuses in request["QueueUrl"]:
            self.tried += 1
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessageBatch")
        large = [one for one in request["Entries"] if one["MessageBody"] in self.too_large]
        request["Entries"] = [one for one in request["Entries"] if one not in large]
        answer = self._sqs.send_message_batch(**request) if request["Entries"] else {}
        failed = [{"Id": one["Id"], "SenderFault": True, "Code": "InvalidParameterValue"} for one in large]
        return {**answer, "Failed": failed}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)


def test_one_reader_that_refuses_holds_up_nobody_for_long(sqs: Any, state: TeeState, tmp_path: Path) -> None:
    """The readers behind it in the list got nothing any more, and the queue stood still for ever."""
    client = Refusing(sqs)
    tee = consumer_queue(sqs, API, "tee")
    queues = {name: consumer_queue(sqs, API, name) for name in ("bridge", "shadow")}
    for name, url in queues.items():
        state.add(name, url)
    sqs.set_queue_attributes(QueueUrl=tee, Attributes={"VisibilityTimeout": "0"})
    client.refuses = "bridge"  # the first of the list
    now = 0.0
    counted: dict[str, int] = {}
    distributor = Distributor(
        client, tee, state.consumers, aside_to(tmp_path, "p", lambda name, count: counted.update({name: count})),
        clock=lambda: now,
    )  # fmt: skip
    put(sqs, tee, 1)
    with pytest.raises(ClientError):
        distributor.once(wait_s=0)
    assert waiting(sqs, queues["shadow"]) == 1
    # For so long what it refuses stays.
    now = HOLD_S - 1
    with pytest.raises(ClientError):
        distributor.once(wait_s=0)
    now = HOLD_S + 1
    put(sqs, tee, 2)
    assert distributor.once(wait_s=0) == 2
    assert drain(sqs, queues["shadow"]) == [1, 2]
    assert counted == {"bridge": 2}
    path = tmp_path / "p-refused-by-bridge.jsonl"
    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [json.loads(one["body"])["n"] for one in kept] == [1, 2]
    assert "AccessDenied" in kept[0]["reason"]
    assert path.stat().st_mode & 0o077 == 0
    # It takes records again; the next refusal has its time again.
    client.refuses = ""
    put(sqs, tee, 3)
    assert distributor.once(wait_s=0) == 1
    assert drain(sqs, queues["bridge"]) == [3]
    client.refuses = "bridge"
    put(sqs, tee, 4)
    with pytest.raises(ClientError):
        distributor.once(wait_s=0)


def test_a_record_that_a_queue_will_never_take_is_put_aside_at_once(sqs: Any, state: TeeState, tmp_path: Path) -> None:
    client = Refusing(sqs)
    tee, bridge = consumer_queue(sqs, API, "tee"), consumer_queue(sqs, API, "bridge")
    state.add("bridge", bridge)
    client.too_large = {json.dumps({"n": 2})}
    for number in (1, 2, 3):
        put(sqs, tee, number)
    assert Distributor(client, tee, state.consumers, aside_to(tmp_path, "p")).once(wait_s=0) == 3
    assert drain(sqs, bridge) == [1, 3]
    [line] = (tmp_path / "p-refused-by-bridge.jsonl").read_text(encoding="utf-8").splitlines()
    assert "InvalidParameterValue" in json.loads(line)["reason"]


def test_what_cannot_be_put_aside_stays_in_the_queue(sqs: Any, state: TeeState, tmp_path: Path) -> None:
    """A full disk."""
    client = Refusing(sqs)
    tee, bridge = consumer_queue(sqs, API, "tee"), consumer_queue(sqs, API, "bridge")
    state.add("bridge", bridge)
    sqs.set_queue_attributes(QueueUrl=tee, Attributes={"VisibilityTimeout": "0"})
    client.too_large = {json.dumps({"n": 1})}
    put(sqs, tee, 1)
    with pytest.raises(OSError, match="No such file"):
        Distributor(client, tee, state.consumers, aside_to(tmp_path / "gone", "p")).once(wait_s=0)
    assert drain(sqs, tee) == [1]
