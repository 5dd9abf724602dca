"""The tee inside a Lambda: it copies what passes and never changes what the application does. until phase 3"""

import json
from typing import Any

import pytest


def test_the_answer_of_the_application_is_passed_on(tee: Any, management: str, message_event: Any) -> None:
    """MG6: nothing changes for the legacy stack."""
    module, _ = tee
    answer = module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)
    assert answer == {"statusCode": 200, "body": "the application's answer"}


def test_a_record_holds_what_entered_and_every_post_with_its_outcome(
    tee: Any, management: str, message_event: Any
) -> None:
    """MG6: the frame, and per payload who got it and who was gone."""
    module, queue = tee
    module.handler(message_event(endpoint=management, to=["a", "gone-b", "c"], text="hi"), None)
    [record] = queue.records()
    assert record["route_key"] == "sendMessage"
    assert (record["user"], record["tenant"]) == ("alice", "demo")
    assert json.loads(record["body"])["text"] == "hi"
    [post] = record["posts"]
    assert (post["data"], post["ok"], post["gone"], post["failed"]) == ("hi", ["a", "c"], ["gone-b"], [])
    assert queue.sent[0]["MessageGroupId"] == "sender"
    assert queue.sent[0]["MessageDeduplicationId"] == "r-1-1"
    assert (record["part"], record["parts"]) == (1, 1)


def test_no_token_is_copied(tee: Any, management: str, message_event: Any) -> None:
    """Fault 13 of the documents: tokens in query strings and headers stay out of every copy."""
    module, queue = tee
    module.handler(message_event(endpoint=management, to=[], text="hi"), None)
    assert "abc" not in queue.sent[0]["MessageBody"]
    assert "secretClaim" not in queue.sent[0]["MessageBody"]


def test_an_exception_of_the_application_is_raised_and_recorded(tee: Any, message_event: Any) -> None:
    """MG6: a failing handler fails exactly as before."""
    module, queue = tee
    with pytest.raises(ValueError, match="the application's own"):
        module.handler(message_event(fail=True), None)
    assert queue.records()[0]["failed"] is True


def test_what_is_no_gateway_event_passes_untouched(tee: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG6: a scheduled ping of the function is none of the tee's business."""
    module, queue = tee
    seen: list[Any] = []

    def application(event: Any, context: Any) -> str:
        seen.append(event)
        return "pong"

    monkeypatch.setattr(module, "_application", application)
    assert module.handler({"warm": True}, None) == "pong"
    assert seen == [{"warm": True}]
    assert queue.sent == []


def test_invocations_by_another_api_are_not_copied(
    tee: Any, management: str, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: a function that two APIs call copies for the one whose tee it has."""
    module, queue = tee
    monkeypatch.setenv("WS2SSE_TEE_API_ID", "another")
    assert module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)["statusCode"] == 200
    assert queue.sent == []
    monkeypatch.setenv("WS2SSE_TEE_API_ID", "api")
    module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)
    assert len(queue.sent) == 1


@pytest.mark.parametrize("context", ["text", None, 7, {"apiId": "api", "authorizer": "text"}])
def test_an_event_of_an_unknown_shape_reaches_the_application(
    tee: Any, monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    """MG6: fails open, whatever the event looks like."""
    module, queue = tee
    monkeypatch.setattr(module, "_application", lambda event, context: "the answer")
    assert module.handler({"requestContext": context}, None) == "the answer"
    assert queue.sent == []


def test_an_invocation_of_the_api_that_cannot_be_read_is_counted(
    tee: Any, management: str, message_event: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """MG6: an authorizer's context of a shape nobody expected passes to the application, and is no silent gap."""
    module, queue = tee
    event = message_event(endpoint=management, to=[], text="hi")
    event["requestContext"]["authorizer"] = "not an object"
    assert module.handler(event, None)["statusCode"] == 200
    assert "was not copied" in capsys.readouterr().out
    module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)
    assert queue.records()[0]["dropped_before"] == 1


def test_records_of_a_worker_are_numbered(tee: Any, management: str, message_event: Any) -> None:
    """MG6: whoever reads them sees that one is missing."""
    module, queue = tee
    for _ in range(3):
        module.handler(message_event(endpoint=management, to=[], text="hi"), None)
    assert [(record["env"], record["n"], record["waiting"]) for record in queue.records()] == [
        (module._worker, number, 0) for number in (1, 2, 3)
    ]


def test_a_message_says_how_many_wait_behind_it(tee: Any, management: str, message_event: Any) -> None:
    """MG6: a worker that ends with something unsent is known by its last message."""
    module, queue = tee
    queue.broken = True
    for _ in range(2):
        module.handler(message_event(endpoint=management, to=[], text="hi"), None)
    queue.broken = False
    module.handler(message_event(endpoint=management, to=[], text="hi"), None)
    assert [record["waiting"] for record in queue.records()] == [1, 0, 0]


def test_a_function_that_only_answers_is_copied(
    tee: Any, management: str, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: posts of a function that a queue feeds, which has no connection of its own."""
    module, queue = tee
    monkeypatch.setenv("WS2SSE_TEE_ROLE", "answer")
    monkeypatch.setenv("WS2SSE_TEE_API_ID", "api")
    event = {"Records": [], "body": json.dumps({"endpoint": management, "to": ["b", "gone-c"], "text": "chunk"})}

    class Context:
        aws_request_id = "lambda-1"

        def get_remaining_time_in_millis(self) -> int:
            return 5000

    module.handler(event, Context())
    [record] = queue.records()
    assert (record["event_type"], record["request_id"], record["api_id"]) == ("ANSWER", "lambda-1", "api")
    assert record["body"] is None
    assert (record["posts"][0]["ok"], record["posts"][0]["gone"]) == (["b"], ["gone-c"])
    assert queue.sent[0]["MessageGroupId"] == "b"
    event["body"] = json.dumps({"endpoint": management, "to": [], "text": "none"})
    module.handler(event, Context())
    assert len(queue.sent) == 1  # nothing was posted: nothing to copy


def test_the_names_of_user_and_tenant_are_settings(
    tee: Any, management: str, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: an authorizer may call the user an address, and know no tenants."""
    module, queue = tee
    monkeypatch.setenv("WS2SSE_TEE_USER", "email")
    event = message_event(endpoint=management, to=[], text="hi")
    event["requestContext"]["authorizer"] = {"email": "a@example.com", "userId": "u"}
    module.handler(event, None)
    assert (queue.records()[0]["user"], queue.records()[0]["tenant"]) == ("a@example.com", None)
