"""Connections and messages, from the tables, CloudWatch and the service's metrics. until phase 3 (MG18)"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest

from migrate.config.load import Config
from migrate.config.model import Feature, Sse
from migrate.dashboard.model import Finding
from migrate.dashboard.sources import Source, look
from migrate.dashboard.traffic import LegacyConnections, LegacyMessages, Service
from migrate.errors import MigrateError
from sse_service.metrics import Metrics
from sse_service.virtual.metrics import VirtualMetrics

from .dashboard_support import SETTINGS, World


def rows(dynamodb: Any, count: int) -> None:
    dynamodb.create_table(
        TableName="connections", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
    )  # fmt: skip
    for number in range(count):
        dynamodb.put_item(TableName="connections", Item={"connectionId": {"S": f"c{number}"}})


def test_connections_of_the_tables(world: World) -> None:
    looks = LegacyConnections(world.clients)
    assert "ResourceNotFoundException" in look(Source("x", 1, looks.look)).why
    rows(world.dynamodb, 3)
    assert looks.look().parts["connections"] == [{"stack": "legacy", "feature": "*", "open": 3}]
    alone = LegacyConnections(world.with_(features=(Feature(name="chat"),)))
    assert alone.look().parts["connections"][0]["feature"] == "chat"
    assert LegacyConnections(world.with_(tables=())).look().state == "absent"


def test_messages_from_cloudwatch_without_the_minute_that_is_not_over(world: World) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    client = boto3.client("cloudwatch", "eu-west-1")
    dimensions = [{"Name": "ApiId", "Value": "abc"}, {"Name": "Stage", "Value": "prod"}]
    for at, count in ((minute - timedelta(minutes=2), 600.0), (minute, 60.0)):
        client.put_metric_data(
            Namespace="AWS/ApiGateway",
            MetricData=[{"MetricName": "MessageCount", "Dimensions": dimensions, "Timestamp": at, "Value": count}],
        )
    now = minute.timestamp() + 30
    points = LegacyMessages(world.clients, lambda: now).measured().parts["deliveries"]["legacy"]
    # Of a minute that nothing was sent in there is no sum; one that may still come is not known.
    begin = int(minute.timestamp())
    quiet = dict.fromkeys(range(begin - 240, begin - 120), 0.0)
    assert points == {**quiet, **dict.fromkeys(range(begin - 120, begin - 60), 10.0)}


class Instance:
    """What a process of the service says of itself; several behind one address."""

    def __init__(self, started: float, streams: int) -> None:
        self.started, self.streams, self.delivered = started, streams, 0

    def text(self) -> str:
        metrics = Metrics()
        VirtualMetrics(metrics.registry).messages.labels("down").inc(self.delivered)
        metrics.open_streams.set(self.streams)
        metrics.deliveries.inc(self.delivered)
        lines = metrics.exposition().decode().splitlines()
        own = [line for line in lines if not line.startswith("process_start_time_seconds ")]
        return "\n".join([*own, f"process_start_time_seconds {self.started}", ""])


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    answers: list[Any] = []
    clock = [1000.0]
    config = Config(replace(SETTINGS, sse=Sse(url="http://sse")), world.config.path)
    made = Service(config, lambda: clock[0])
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    monkeypatch.setattr(made, "_http", httpx.Client(transport=transport))

    def ask(answer: Any, after: float = 1.0) -> Finding:
        clock[0] += after
        answers.append(answer if isinstance(answer, httpx.Response) else httpx.Response(200, text=answer.text()))
        return made.look()

    yield ask
    made.close()


def test_streams_and_deliveries_of_several_instances(service: Any) -> None:
    """Behind a load balancer each answer is another instance's: those that answered lately are added up."""
    one, two = Instance(1.0, 5), Instance(2.0, 7)
    assert service(one).parts["connections"] == [
        {"stack": "sse", "feature": "*", "open": 5}, {"stack": "virtual", "feature": "*", "open": 0},
    ]  # fmt: skip
    found = service(two)
    assert found.parts["connections"][0]["open"] == 12 and "2 instances" in found.why
    assert "deliveries" not in found.parts
    one.delivered, two.delivered = 10, 20
    assert service(one).parts["deliveries"]["sse"][1003] == 10.0
    # Events of streams and frames of virtual connections; twenty of each in two seconds, and ten.
    assert service(two).parts["deliveries"]["sse"][1004] == 30.0
    assert service(two, 20.0).parts["connections"][0]["open"] == 7


def test_an_instance_that_was_started_again_counts_from_nothing(service: Any) -> None:
    service(Instance(1.0, 5))
    again = Instance(1.0, 5)
    again.delivered = 100
    service(again)
    assert "deliveries" not in service(Instance(1.0, 5)).parts


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(503), "HTTP 503"),
        (httpx.Response(200, text="<html>"), "metrics are not"),
        (httpx.Response(200, text="up 1\n"), "not the service's"),
    ],
)
def test_what_is_no_page_of_metrics(service: Any, answer: httpx.Response, said: str) -> None:
    with pytest.raises(MigrateError, match=said):
        service(answer)


def test_a_service_that_is_not_there_or_not_named(world: World) -> None:
    away = Service(Config(replace(SETTINGS, sse=Sse(url="http://127.0.0.1:1")), world.config.path))
    found = look(Source("sse-metrics", 1, away.look))
    away.close()
    assert found.state == "away" and "does not answer (ConnectError)" in found.why
    nameless = Service(world.config)
    assert nameless.look().state == "absent"
    nameless.close()
