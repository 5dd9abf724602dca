"""What the local AWS counts for the bill. until phase 3"""

import pytest

from migrate.local.usage import Usage
from migrate.local.watch import identify, operation_of


def test_messages_are_metered_in_units_of_32_kb() -> None:
    usage = Usage()
    for size in (0, 1, 32 * 1024, 32 * 1024 + 1, 128 * 1024):
        usage.message("a1", size)
    assert usage.snapshot()["websocket"]["a1"] == {
        "messages": 5,
        "message_units": 1 + 1 + 1 + 2 + 4,
        "connection_seconds": 0,
    }


def test_lambda_time_is_counted_by_memory() -> None:
    usage = Usage()
    usage.invocation("send", 2.0, 512)
    usage.invocation("send", 1.0, 1024)
    assert usage.snapshot()["lambda"] == {"send": {"invocations": 2, "gb_seconds": 2.0}}


@pytest.mark.parametrize(
    ("method", "path", "target", "operation"),
    [
        ("POST", "/", "DynamoDB_20120810.PutItem", "PutItem"),
        ("POST", "/2015-03-31/functions/chat/invocations", None, "Invoke"),
        ("GET", "/v2/apis/a1b2", None, "GET apis"),
        ("PUT", "/2015-03-31/functions/rooms1/code", None, "PUT functions"),
        ("GET", "/", None, "GET"),
    ],
)
def test_operations_have_few_names(method: str, path: str, target: str | None, operation: str) -> None:
    assert operation_of(identify(method, path, "", None), target) == operation


def test_calls_are_counted_by_service_and_operation() -> None:
    usage = Usage()
    usage.call("dynamodb", "PutItem")
    usage.call("dynamodb", "PutItem")
    usage.call("sqs", "SendMessage")
    assert usage.snapshot()["calls"] == {"dynamodb": {"PutItem": 2}, "sqs": {"SendMessage": 1}}
