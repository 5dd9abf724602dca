"""legacy_ws.deploy.apps.layers and the adapters of the hand-off in legacy_ws.aws. until phase 3"""

from __future__ import annotations

import importlib
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, NoCredentialsError
from botocore.stub import Stubber

from legacy_ws import aws
from legacy_ws.apps.layers.schema import OWN_ROUTES
from legacy_ws.deploy.apps import APPS, LAYERS, app_named
from legacy_ws.deploy.policies import function_policy
from legacy_ws.deploy.spec import StackNames
from legacy_ws.errors import HandOffError

NAMES = StackNames("layers", "ap-northeast-1", "123456789012")
FUNCTIONS = {function.name: function for function in LAYERS.functions}


def test_layers_is_an_application_of_its_own() -> None:
    assert APPS["layers"] is LAYERS is app_named(None, "layers")
    assert LAYERS.route_selection == "$request.body.type"
    assert LAYERS.auth == "jwt"


def test_every_handler_exists() -> None:
    for function in LAYERS.functions:
        module, _, name = function.handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), function.name


def test_the_routes_are_those_of_the_document() -> None:
    """WL1: connect, disconnect, default, chat, ping."""
    routes = {key: function.name for function in LAYERS.functions for key in function.routes}
    assert routes == {
        "$connect": "connect",
        "$disconnect": "disconnect",
        "$default": "default",
        "chat": "chat",
        "ping": "ping",
    }
    assert set(OWN_ROUTES) == {key for key in routes if not key.startswith("$")}


def test_the_queue_keeps_order_and_hides_a_message_long_enough() -> None:
    """Lambda developer guide: visibility of at least six times the consumer's timeout."""
    (queue,) = LAYERS.queues
    assert queue.fifo
    (consumer,) = [function for function in LAYERS.functions if function.consumes == queue.name]
    assert queue.visibility_s >= 6 * consumer.timeout_s


def test_api_gateway_waits_for_every_route() -> None:
    assert all(function.timeout_s <= 29 for function in LAYERS.functions if function.routes)


def test_no_function_may_do_more_than_its_own_work() -> None:
    table, rows = "table/layers-websocket-connections", "dynamodb"
    manage = ("execute-api:ManageConnections", "abc123/prod/POST/@connections/*")
    indexes = {(f"{rows}:Query", f"{table}/index/{name}") for name in ("UserIndex", "TenantIndex")}
    find = {(f"{rows}:Query", table), *indexes}
    serve = {manage, (f"{rows}:DeleteItem", table), (f"{rows}:UpdateItem", table)}
    close = ("execute-api:ManageConnections", "abc123/prod/DELETE/@connections/*")
    hand_over = ("lambda:InvokeFunction", "function:layers-processing")
    take = {(f"sqs:{action}Message", "layers-answers.fifo") for action in ("Delete", "Receive")}
    take.add(("sqs:GetQueueAttributes", "layers-answers.fifo"))
    allowed = {function.name: permissions(function.name) for function in LAYERS.functions}
    assert allowed == {
        "authorizer": set(),
        "connect": {(f"{rows}:PutItem", table)},
        "disconnect": {(f"{rows}:DeleteItem", table)},
        "default": {*serve, *find, hand_over, close},
        "chat": {*serve, *find, hand_over},
        "ping": serve,
        "processing": {("sqs:SendMessage", "layers-answers.fifo")},
        "answer": {manage, *find, (f"{rows}:DeleteItem", table), *take},
    }


def permissions(name: str) -> set[tuple[str, str]]:
    document: Any = function_policy(LAYERS, FUNCTIONS[name], NAMES, "abc123", "prod")
    found = set()
    for statement in document["Statement"]:
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            for action in statement["Action"]:
                if not action.startswith("logs:"):
                    found.add((action, resource.split(":", 5)[-1]))
    return found


@pytest.fixture
def function() -> Any:
    return boto3.client("lambda")


@pytest.fixture
def sqs() -> Any:
    return boto3.client("sqs")


def test_a_job_is_handed_over_and_not_waited_for(function: Any) -> None:
    """Lambda API reference, `Invoke`: 202 for InvocationType=Event."""
    sent = {"FunctionName": "layers-processing", "InvocationType": "Event", "Payload": b"{}"}
    with Stubber(function) as stub:
        stub.add_response("invoke", {"StatusCode": 202}, sent)
        aws.AsyncFunction(function, "layers-processing").hand_over(b"{}")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status"),
    [("TooManyRequestsException", 429), ("AccessDeniedException", 403), ("ResourceNotFoundException", 404), ("", 500)],
)
def test_a_job_that_lambda_refuses_is_an_error_of_ours(function: Any, code: str, status: int) -> None:
    with Stubber(function) as stub:
        stub.add_client_error("invoke", code, "arn:aws:iam::123 may not", http_status_code=status)
        with pytest.raises(HandOffError) as caught:
            aws.AsyncFunction(function, "layers-processing").hand_over(b"{}")
    assert caught.value.reason == (code or "unknown")
    assert "arn:aws:iam" not in str(caught.value)


def test_a_job_that_was_run_instead_of_queued_is_said_so(function: Any) -> None:
    with Stubber(function) as stub:
        stub.add_response("invoke", {"StatusCode": 200})
        with pytest.raises(HandOffError, match="status 200"):
            aws.AsyncFunction(function, "layers-processing").hand_over(b"{}")


@pytest.mark.parametrize("error", [ConnectTimeoutError(endpoint_url="https://x"), NoCredentialsError()])
def test_a_service_that_does_not_answer_is_an_error_of_ours(error: Exception) -> None:
    class Client:
        def invoke(self, **arguments: object) -> None:
            raise error

        send_message = invoke

    with pytest.raises(HandOffError):
        aws.AsyncFunction(Client(), "f").hand_over(b"{}")
    with pytest.raises(HandOffError):
        aws.FifoQueue(Client(), "https://sqs/q.fifo").send("{}", group="g", deduplication="d")


def test_a_message_that_the_queue_refuses_is_an_error_of_ours(sqs: Any) -> None:
    sent = {
        "QueueUrl": "https://sqs/q.fifo",
        "MessageBody": "{}",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "d",
    }
    with Stubber(sqs) as stub:
        stub.add_response("send_message", {"MessageId": "1"}, sent)
        stub.add_client_error("send_message", "AWS.SimpleQueueService.NonExistentQueue", http_status_code=400)
        queue = aws.FifoQueue(sqs, "https://sqs/q.fifo")
        queue.send("{}", group="g", deduplication="d")
        with pytest.raises(HandOffError) as caught:
            queue.send("{}", group="g", deduplication="d")
    assert caught.value.reason == "AWS.SimpleQueueService.NonExistentQueue"
