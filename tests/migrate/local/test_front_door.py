"""The one aws_endpoint_url: what passes through it, what it answers itself (migrate.local.front_door). until phase 3"""

import json
import urllib.error
import urllib.request

import botocore.exceptions
import pytest
from local_aws_support import RunningLocalAws, wait_for, zipped

pytestmark = pytest.mark.integration


def fetch(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def test_dynamodb_passes_through(local_aws: RunningLocalAws) -> None:
    dynamodb = local_aws.client("dynamodb")
    dynamodb.create_table(
        TableName="through",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="through", Item={"k": {"S": "ü"}})
    assert dynamodb.get_item(TableName="through", Key={"k": {"S": "ü"}})["Item"] == {"k": {"S": "ü"}}
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(TableName="through", Item={"k": {"S": "ü"}}, ConditionExpression="attribute_not_exists(k)")


def test_s3_streams_both_ways_and_presigned_addresses_work(local_aws: RunningLocalAws) -> None:
    s3 = local_aws.client("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="through", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    body = bytes(range(256)) * 20_000
    s3.put_object(Bucket="through", Key="a b/ü+%25.bin", Body=body, ContentType="image/png")
    answer = s3.get_object(Bucket="through", Key="a b/ü+%25.bin")
    assert answer["ContentType"] == "image/png"
    assert answer["Body"].read() == body
    assert s3.head_object(Bucket="through", Key="a b/ü+%25.bin")["ContentLength"] == len(body)
    part = s3.get_object(Bucket="through", Key="a b/ü+%25.bin", Range="bytes=1-3")
    assert (part["ResponseMetadata"]["HTTPStatusCode"], part["Body"].read()) == (206, b"\x01\x02\x03")
    where = {"Bucket": "through", "Key": "up load"}
    put = s3.generate_presigned_url("put_object", Params=where)
    assert put.startswith(local_aws.ready["aws_endpoint_url"])
    assert fetch(put, "PUT", b"hello")[0] == 200
    assert fetch(s3.generate_presigned_url("get_object", Params=where))[1] == b"hello"
    s3.put_object(Bucket="through", Key="gz", Body=b"not really gzip", ContentEncoding="gzip")
    assert s3.get_object(Bucket="through", Key="gz")["Body"].read() == b"not really gzip"
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="through", Key="missing")


def test_addresses_presigned_by_a_function_work(local_aws: RunningLocalAws) -> None:
    """DC5: uploads go to addresses that a handler signs with its execution role's credentials."""
    code = """
import boto3
from botocore.config import Config
def handler(event, context):
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    return s3.generate_presigned_url("put_object", Params={"Bucket": "uploads", "Key": event})
"""
    local_aws.create("signs", code)
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    address, _ = local_aws.invoke("signs", "a key")
    assert "X-Amz-Security-Token" in address
    assert fetch(address, "PUT", b"image")[0] == 200
    assert s3.get_object(Bucket="uploads", Key="a key")["Body"].read() == b"image"
    assert fetch(address.replace("a%20key", "other"), "PUT", b"image")[0] == 403


def test_queue_addresses_lead_through_the_front_door(local_aws: RunningLocalAws) -> None:
    url = local_aws.client("sqs").create_queue(QueueName="address")["QueueUrl"]
    assert url == f"{local_aws.ready['aws_endpoint_url']}/000000000000/address"


def test_invoke_is_ours_and_shaped_for_boto3(local_aws: RunningLocalAws) -> None:
    client = local_aws.client("lambda")
    local_aws.create("invoked", "def handler(event, context):\n    return [event, str(context.client_context)]")
    answer = client.invoke(FunctionName="invoked", Payload=b"[1]")
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert json.loads(answer["Payload"].read()) == [[1], "None"]
    assert client.invoke(FunctionName="invoked", InvocationType="DryRun")["StatusCode"] == 204
    large = json.dumps("x" * 6_300_000)
    for options, error in (
        ({"FunctionName": "nobody"}, client.exceptions.ResourceNotFoundException),
        ({"FunctionName": "nobody", "InvocationType": "Event"}, client.exceptions.ResourceNotFoundException),
        ({"FunctionName": "invoked", "Payload": b"{no json"}, client.exceptions.InvalidRequestContentException),
        ({"FunctionName": "invoked", "Payload": large}, client.exceptions.RequestTooLargeException),
    ):
        with pytest.raises(error):
            client.invoke(**options)


def test_code_location_leads_through_the_front_door(local_aws: RunningLocalAws) -> None:
    local_aws.create("located", "def handler(event, context):\n    return 1")
    location = local_aws.client("lambda").get_function(FunctionName="located")["Code"]["Location"]
    port = local_aws.ready["aws_endpoint_url"].rsplit(":", 1)[1]
    assert location.startswith(f"http://localhost:{port}/")
    status, body, _ = fetch(location.replace("localhost", "127.0.0.1"))
    assert (status, body[:2]) == (200, b"PK")
    assert body == zipped({"app.py": "def handler(event, context):\n    return 1"}) or len(body) > 100


def test_websocket_endpoints_name_our_gateway(local_aws: RunningLocalAws) -> None:
    client = local_aws.client("apigatewayv2")
    created = client.create_api(Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    expected = f"{local_aws.ready['gateway_url']}/{created['ApiId']}"
    assert created["ApiEndpoint"] == expected
    assert client.get_api(ApiId=created["ApiId"])["ApiEndpoint"] == expected
    assert expected in [api["ApiEndpoint"] for api in client.get_apis()["Items"]]
    assert client.update_api(ApiId=created["ApiId"], Name="other")["ApiEndpoint"] == expected
    http = client.create_api(Name="http", ProtocolType="HTTP")
    assert "execute-api" in http["ApiEndpoint"]


def test_endpoints_of_ministack_itself_are_closed(local_aws: RunningLocalAws) -> None:
    base = local_aws.ready["aws_endpoint_url"]
    for method, path in (
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("POST", "/%5fministack/reset"),
    ):
        status, body, _ = fetch(base + path, method, b"" if method == "POST" else None)
        assert (status, json.loads(body)["__type"]) == (404, "UnknownOperationException")
    assert fetch(base + "/_ministack/health")[0] == 200


def test_http_apis_of_the_control_plane_run_on_our_execution(local_aws: RunningLocalAws) -> None:
    """Whatever MiniStack itself invokes goes through our Lambda execution: here an HTTP API."""
    code = "def handler(event, context):\n    return {'statusCode': 418, 'body': event['rawPath']}"
    local_aws.create("behind-http", code)
    client = local_aws.client("apigatewayv2")
    arn = "arn:aws:lambda:ap-northeast-1:000000000000:function:behind-http"
    api = client.create_api(Name="tea", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    client.create_route(ApiId=api, RouteKey="GET /pot", Target=f"integrations/{integration}")
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    host = {"Host": f"{api}.execute-api.localhost"}
    status, body, _ = fetch(local_aws.ready["aws_endpoint_url"] + "/pot", headers=host)
    assert (status, body) == (418, b"/pot")
    assert any(m.startswith("INIT_START") for m in _messages(local_aws, "behind-http"))


def _messages(local_aws: RunningLocalAws, name: str) -> list[str]:
    found: list[str] = wait_for(lambda: local_aws.messages(name))
    return found


def test_unknown_service_errors_come_back_as_they_are(local_aws: RunningLocalAws) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        local_aws.client("sqs").get_queue_url(QueueName="nowhere")
    assert "NonExistentQueue" in refused.value.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(local_aws: RunningLocalAws, headers: dict[str, str], status: int) -> None:
    """A page open in a browser cannot read what is rehearsed here, nor by a name that resolves to 127.0.0.1."""
    url = local_aws.ready["aws_endpoint_url"] + "/_ministack/health"
    assert fetch(url, headers=headers)[0] == status
