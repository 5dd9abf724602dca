"""What the gates count: requests of the service, the error budget, users. until phase 3"""

from __future__ import annotations

from typing import Any

import pytest

from migrate.config.model import Sse, Table
from migrate.cutover.budget import Share, Window
from migrate.cutover.gates import State, budget_gate
from migrate.cutover.users import connected_users
from migrate.service_metrics import Counts, read_counts

from .cutover_support import World


def test_counters_of_several_instances_are_told_apart() -> None:
    window = Window(60)
    assert window.add(0, Counts("a", 1000, 900, 1)) == Share(0, 0, "in the last 0 s")
    assert window.add(1, Counts("b", 10, 9, 1)).total == 0
    share = window.add(2, Counts("a", 1100, 901, 1))
    assert (share.total, share.failed) == (100, 1)
    assert window.add(90, Counts("a", 1200, 901, 1)).total == 0  # what came before has left the window


def test_what_metrics_say() -> None:
    text = (
        "# TYPE sse_http_requests_total counter\nprocess_start_time_seconds 1.79e+09\n"
        'sse_http_requests_total{method="GET",status="200"} 10.0\n'
        'sse_http_requests_total{method="GET",status="500"} 2.0\n'
        'sse_virtual_failures_total{kind="timeout"} 3.0\nsse_virtual_failures_created{kind="timeout"} 1.7e+09\n'
        "sse_publish_failures_total 1.0\nsse_open_streams 5.0\nsse_virtual_streams 6.0\n"
    )
    assert read_counts(text) == Counts("1.79e+09", 12, 6, 11, virtual=6)


@pytest.mark.parametrize(
    ("share", "state"),
    [
        (Share(0, 0, ""), State.OPEN),
        (Share(10, 1, ""), State.OPEN),
        (Share(10, 3, ""), State.SHUT),
        (Share(1000, 2, ""), State.SHUT),
        (Share(10000, 2, ""), State.OPEN),
        ("away", State.SHUT),
    ],
)
def test_the_error_budget(share: Share | str, state: State) -> None:
    assert budget_gate(share, 0.001).state is state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello world\n<html> text</html>\n",
        "up 1\n",
        # An exporter of something else has a start, too.
        "process_start_time_seconds 1.79e+09\nhttp_requests_total 5\n",
        "process_start_time_seconds 1.79e+09\nsse_open_streams NaN\n",
        "process_start_time_seconds x\nsse_open_streams 1\n",
    ],
)
def test_what_is_no_metrics_of_the_service_says_nothing(text: str) -> None:
    """A page of some proxy, answered with 200, was "0 of 0 requests failed", and the gate was open."""
    assert read_counts(text) is None


@pytest.mark.integration
def test_the_gate_is_shut_where_metrics_say_nothing(world: World) -> None:
    world.verdict()
    world.metrics.text = "<!doctype html>\n<title>please sign in</title>\nhello world\n"
    code, _, stderr = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert (code, world.percents()) == (3, {})
    assert "error-budget" in stderr


def test_users_are_counted_where_the_user_is_the_key() -> None:
    """DynamoDB refuses a projection that names an attribute twice: "Two document paths overlap with each other"."""
    asked: list[dict[str, Any]] = []

    class Client:
        def scan(self, **arguments: Any) -> dict[str, Any]:
            asked.append(arguments)
            return {"Items": [{"userId": {"S": "ann"}}]}

    class Stack:
        tables = (Table(name="people", role="connections", key="userId", user="userId", tenant="userId"),)
        sse = Sse(default_tenant="demo")

        def client(self, _: str) -> Client:
            return Client()

    assert list(connected_users(Stack())) == [("ann", "ann")]  # type: ignore[arg-type]  # what it needs of a Config
    names = asked[0]["ExpressionAttributeNames"]
    assert sorted(names.values()) == ["userId"]
    assert set(asked[0]["ProjectionExpression"].split(", ")) == set(names)
