"""Which calls change what (migrate.local.watch): pure. until phase 3"""

import json

import pytest

from migrate.local.watch import (
    Deployment,
    api_id_of,
    deployment_of,
    identify,
    invoked_function,
    rewrite_endpoints,
)


def call(method: str, path: str, service: str = "apigateway"):
    header = f"AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host"
    return identify(method, path, "", header)


def test_service_account_and_region_come_from_the_signature() -> None:
    found = call("POST", "/", "dynamodb")
    assert (found.service, found.account, found.region) == ("dynamodb", "123456789012", "eu-west-1")
    presigned = identify("GET", "/b/k", "X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request", None)
    assert (presigned.service, presigned.account) == ("s3", None)
    assert identify("GET", "/v2/apis/abc", "", None).service == "apigateway"
    assert identify("GET", "/b/k", "", "Bearer x").service == ""


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/2015-03-31/functions/chat/invocations", "chat"),
        ("POST", "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations", "arn:aws:lambda"),
        ("GET", "/2015-03-31/functions/chat/invocations", None),
        ("POST", "/2015-03-31/functions/chat/versions", None),
    ],
)
def test_invoke_calls(method: str, path: str, name: str | None) -> None:
    assert invoked_function(call(method, path, "lambda")) == name


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/2015-03-31/functions/chat/code", "chat"),
        ("PUT", "/2017-10-31/functions/chat:live/concurrency", "chat"),
        ("DELETE", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Ar%3A0%3Afunction%3Achat%3A1", "chat"),
        ("POST", "/2015-03-31/functions", ""),
        ("GET", "/2015-03-31/functions/chat", None),
    ],
)
def test_function_changes(method: str, path: str, name: str | None) -> None:
    assert call(method, path, "lambda").changes_function == name


def test_api_changes() -> None:
    assert call("POST", "/v2/apis").changes_api
    assert not call("GET", "/v2/apis").changes_api
    assert not call("POST", "/v2/apis", "s3").changes_api
    assert api_id_of(call("POST", "/v2/apis"), b'{"apiId": "new1"}') == "new1"
    assert api_id_of(call("DELETE", "/v2/apis/abc/routes/r"), b"") == "abc"
    assert api_id_of(call("POST", "/v2/tags/x"), b"not json") is None


@pytest.mark.parametrize(
    ("method", "path", "asked", "answer", "expected"),
    [
        ("POST", "/v2/apis/a/deployments", {"stageName": "prod"}, {"deploymentId": "d"}, Deployment("a", "prod", "d")),
        ("POST", "/v2/apis/a/deployments", {}, {"deploymentId": "d"}, Deployment("a", None, "d")),
        ("POST", "/v2/apis/a/stages", {"stageName": "prod", "deploymentId": "d"}, {}, Deployment("a", "prod", "d")),
        ("PATCH", "/v2/apis/a/stages/my%20stage", {"deploymentId": "d"}, {}, Deployment("a", "my stage", "d")),
        ("PATCH", "/v2/apis/a/stages/prod", {"autoDeploy": True}, {}, None),
        ("POST", "/v2/apis/a/routes", {"deploymentId": "d"}, {"deploymentId": "d"}, None),
        ("POST", "/v2/apis", {}, {"deploymentId": "d"}, None),
    ],
)
def test_deployments(method: str, path: str, asked: object, answer: object, expected: Deployment | None) -> None:
    assert deployment_of(call(method, path), json.dumps(asked).encode(), json.dumps(answer).encode()) == expected


def test_endpoints_of_websocket_apis_are_rewritten() -> None:
    socket = {"apiId": "a1", "protocolType": "WEBSOCKET", "apiEndpoint": "http://a1.execute-api.localhost:1"}
    plain = {"apiId": "h1", "protocolType": "HTTP", "apiEndpoint": "http://h1.execute-api.localhost:1"}
    one = json.loads(rewrite_endpoints(call("GET", "/v2/apis/a1"), json.dumps(socket).encode(), "ws://h:2"))
    assert one["apiEndpoint"] == "ws://h:2/a1"
    both = rewrite_endpoints(call("GET", "/v2/apis"), json.dumps({"items": [socket, plain]}).encode(), "ws://h:2")
    assert [api["apiEndpoint"] for api in json.loads(both)["items"]] == ["ws://h:2/a1", plain["apiEndpoint"]]
    assert rewrite_endpoints(call("GET", "/v2/apis/h1"), b"not json", "ws://h:2") == b"not json"


def test_websocket_addresses_in_stack_outputs_are_rewritten() -> None:
    text = b"<V>wss://abc.execute-api.eu-west-1.amazonaws.com/prod</V><V>https://abc.execute-api.localhost:1/prod</V>"
    found = rewrite_endpoints(call("POST", "/", "cloudformation"), text, "ws://h:2")
    assert found == b"<V>ws://h:2/abc/prod</V><V>https://abc.execute-api.localhost:1/prod</V>"
