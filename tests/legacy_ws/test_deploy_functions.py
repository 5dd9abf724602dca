"""legacy_ws.deploy.functions and .steps: waiting for AWS. until phase 3"""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from legacy_ws.deploy.functions import create_function, wait_active
from legacy_ws.deploy.steps import wait_until
from legacy_ws.errors import StepFailedError

NOT_YET = "The role defined for the function cannot be assumed by Lambda."


@pytest.fixture
def client() -> Any:
    return boto3.client("lambda")


def test_a_role_that_lambda_does_not_know_yet_is_waited_for(client: Any) -> None:
    """IAM is eventually consistent."""
    naps: list[float] = []
    with Stubber(client) as stub:
        for _ in range(3):
            stub.add_client_error("create_function", "InvalidParameterValueException", NOT_YET, 400)
        stub.add_response("create_function", {"FunctionArn": "arn:aws:lambda:ap-northeast-1:123456789012:function:x"})
        created = create_function(client, b"zip", sleep=naps.append, FunctionName="x", Role="r" * 20)
    assert created["FunctionArn"].endswith(":x")
    assert naps == [0.5, 1.0, 2.0]


def test_another_refusal_is_not_waited_out(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("create_function", "InvalidParameterValueException", "Unknown runtime", 400)
        with pytest.raises(client.exceptions.InvalidParameterValueException):
            create_function(client, b"zip", sleep=lambda _: None, FunctionName="x", Role="r" * 20)


def test_a_role_that_never_comes_ends_the_waiting(client: Any) -> None:
    with Stubber(client) as stub:
        for _ in range(30):
            stub.add_client_error("create_function", "InvalidParameterValueException", NOT_YET, 400)
        with pytest.raises(client.exceptions.InvalidParameterValueException):
            create_function(client, b"zip", sleep=lambda _: None, FunctionName="x", Role="r" * 20)


def test_active_means_active_and_not_being_updated(client: Any) -> None:
    states = [
        {"State": "Pending", "LastUpdateStatus": "InProgress"},
        {"State": "Active", "LastUpdateStatus": "InProgress"},
        {"State": "Active", "LastUpdateStatus": "Successful"},
    ]
    with Stubber(client) as stub:
        for state in states:
            stub.add_response("get_function_configuration", state)
        wait_active(client, "x", sleep=lambda _: None)
        stub.assert_no_pending_responses()


def test_a_function_that_failed_says_why(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_response("get_function_configuration", {"State": "Failed", "StateReason": "no such image"})
        with pytest.raises(StepFailedError, match="no such image"):
            wait_active(client, "x", sleep=lambda _: None)


def test_waiting_ends() -> None:
    naps: list[float] = []
    with pytest.raises(StepFailedError, match="not ready after 10 s"):
        wait_until(lambda: False, "table x", timeout_s=10, sleep=naps.append)
    assert 10 <= sum(naps) < 15
