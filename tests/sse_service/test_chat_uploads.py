"""DC5: files in messages, put into S3 by the client itself within what the signed policy allows."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest

from sse_service.chat.uploads import Uploads
from sse_service.settings import Settings

UPLOADS, SEND = "/api/chat/uploads", "/api/chat/send"
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


@pytest.fixture
def bucket_settings(settings: Settings, moto_url: str) -> Settings:
    s3 = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    s3.create_bucket(Bucket="uploads-of-tests")
    return settings.replace(uploads_bucket="uploads-of-tests", aws_endpoint_url=moto_url, region="us-east-1")


@pytest.fixture
def objects(moto_url: str) -> Callable[[], set[str]]:
    def names() -> set[str]:
        s3 = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
        return {item["Key"] for item in s3.list_objects_v2(Bucket="uploads-of-tests").get("Contents", [])}

    return names


async def put(given: dict[str, Any], content: bytes) -> httpx.Response:
    """As a browser's form does: the fields, then the file."""
    async with httpx.AsyncClient() as browser:
        return await browser.post(given["url"], data=given["fields"], files={"file": ("a.png", content)})


async def test_dc5_an_image_goes_from_one_user_to_the_other(start_service: Any, bucket_settings: Settings) -> None:
    service = await start_service(bucket_settings)
    answer = await service.post(UPLOADS, "ann", {"contentType": "image/png", "size": len(PNG)})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert (await put(given, PNG)).is_success
    async with service.stream("bob") as bob:
        attachment = {"uploadId": given["uploadId"], "name": "점심.png"}
        sent = await service.post(SEND, "ann", {"with": "bob", "message": "", "attachment": attachment})
        assert sent.status_code == 201, sent.text
        frame = (await bob.frame("message")).json
        assert frame["attachment"] == {"contentType": "image/png", "size": len(PNG), "name": "점심.png"}
        assert given["uploadId"] not in json.dumps(frame)
    history = (await service.get("/chat/history?with=ann", "bob")).json()["messages"]
    assert history[0]["attachment"] == frame["attachment"]
    path = f"/api/chat/messages/{frame['messageId']}/attachment"
    name = "conversationId=direct%3Aann%23bob"
    found = (await service.get(f"{path}?{name}", "bob")).json()
    query = parse_qs(urlsplit(found["url"]).query)
    assert query["response-content-disposition"][0].startswith("attachment; filename=")
    assert 0 < int(query["X-Amz-Expires"][0]) == found["expiresIn"] <= 300
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(found["url"])).content == PNG
    assert (await service.get(f"{path}?{name}", "eve")).status_code == 403


async def test_the_policy_binds_key_type_size_and_time(start_api: Any, bucket_settings: Settings) -> None:
    """What S3 enforces is in the signed policy: S3 API reference, "POST Policy"."""
    api = await start_api(bucket_settings.replace(uploads_max_bytes=5000, uploads_expires_s=60))
    given = (await api.post(UPLOADS, "ann/../eve", {"contentType": "image/png", "size": 1234}, "t/1")).json()
    policy = json.loads(base64.b64decode(given["fields"]["policy"]))
    conditions = policy["conditions"]
    assert ["content-length-range", 1, 1234] in conditions
    assert {"Content-Type": "image/png"} in conditions
    assert {"bucket": "uploads-of-tests"} in conditions
    key = given["fields"]["key"]
    assert {"key": key} in conditions
    assert key == f"uploads/t%2F1/ann%2F%2E%2E%2Feve/{given['uploadId']}"
    assert policy["expiration"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 61))
    without = (await api.post(UPLOADS, "ann", {"contentType": "image/png"})).json()
    limit = json.loads(base64.b64decode(without["fields"]["policy"]))["conditions"]
    assert ["content-length-range", 1, 5000] in limit and without["maxBytes"] == 5000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"contentType": "text/html"}, 400),
        ({"contentType": "image/svg+xml"}, 400),
        ({"contentType": "image/png", "size": 0}, 400),
        ({"contentType": "image/png", "size": -5}, 400),
        ({"contentType": "image/png", "size": 11 << 20}, 413),
    ],
    ids=repr,
)
async def test_types_and_sizes_are_refused_before_anything_is_signed(
    start_api: Any, bucket_settings: Settings, body: object, status: int
) -> None:
    api = await start_api(bucket_settings)
    assert (await api.post(UPLOADS, "ann", body)).status_code == status


async def test_only_ones_own_uploads_that_are_there_can_be_attached(
    start_api: Any, bucket_settings: Settings, objects: Callable[[], set[str]]
) -> None:
    api = await start_api(bucket_settings)
    given = (await api.post(UPLOADS, "ann", {"contentType": "image/png"})).json()

    async def attach(user: str, upload_id: str, tenant: str = "demo") -> int:
        body = {"with": "bob", "message": "look", "attachment": {"uploadId": upload_id}}
        return int((await api.post(SEND, user, body, tenant)).status_code)

    assert await attach("ann", given["uploadId"]) == 409  # nothing there yet
    await put(given, PNG)
    assert given["fields"]["key"] in objects()
    assert await attach("eve", given["uploadId"]) == 409
    assert await attach("ann", given["uploadId"], "other") == 409
    for nonsense in ("../" + given["uploadId"], given["uploadId"].upper(), "x"):
        assert await attach("ann", nonsense) == 400
    assert await attach("ann", given["uploadId"]) == 201
    events = [event for event in await api.events("demo") if event.type == "message"]
    assert len(events) == 1


async def test_a_bucket_that_takes_anything_does_not_reach_a_message(
    start_api: Any, bucket_settings: Settings, moto_url: str
) -> None:
    """Type and size are looked at again when a message refers to the file."""
    api = await start_api(bucket_settings)
    given = (await api.post(UPLOADS, "ann", {"contentType": "image/png"})).json()
    s3 = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    key = given["fields"]["key"]
    s3.put_object(Bucket="uploads-of-tests", Key=key, Body=b"<script>", ContentType="text/html")
    body = {"with": "bob", "message": "x", "attachment": {"uploadId": given["uploadId"]}}
    assert (await api.post(SEND, "ann", body)).status_code == 400


async def test_a_message_with_a_file_keeps_it_in_the_table(
    start_api: Any, dynamo_tables: Settings, bucket_settings: Settings
) -> None:
    settings = dynamo_tables.replace(uploads_bucket=bucket_settings.uploads_bucket, region="us-east-1")
    from sse_service.adapters.dynamodb import Dynamo

    dynamo = Dynamo(settings)
    await dynamo.connect()
    await dynamo.create_tables()
    await dynamo.close()
    api = await start_api(settings)
    given = (await api.post(UPLOADS, "ann", {"contentType": "image/png"})).json()
    await put(given, PNG)
    await api.room("c", "ann", "bob")
    body = {"conversationId": "c", "message": "x", "attachment": {"uploadId": given["uploadId"], "name": "a.png"}}
    sent = (await api.post(SEND, "ann", body)).json()
    rows = (await api.get("/api/chat/history?conversationId=c", "bob")).json()["messages"]
    assert rows[0]["attachment"] == {"contentType": "image/png", "size": len(PNG), "name": "a.png"}
    path = f"/api/chat/messages/{sent['messageId']}/attachment?conversationId=c"
    assert given["uploadId"] in (await api.get(path, "bob")).json()["url"]


async def test_without_a_bucket_it_says_so(memory_api: Any) -> None:
    answer = await memory_api.post(UPLOADS, "ann", {"contentType": "image/png"})
    assert answer.status_code == 404 and "SSE_UPLOADS_BUCKET" in answer.json()["detail"]
    body = {"with": "bob", "message": "x", "attachment": {"uploadId": "0" * 32}}
    assert (await memory_api.post(SEND, "ann", body)).status_code == 404


def test_names_cannot_reach_into_somebody_elses_folder() -> None:
    uploads = Uploads(None, types=(), max_bytes=1, expires_s=1, prefix="p/")
    names = [".", "..", "a/b", "a", "b", "a%2Fb", "한", ""]
    keys = {uploads._key(tenant, owner, "id") for tenant in names for owner in names}
    assert len(keys) == len(names) ** 2
    assert all(key.count("/") == 3 and "/../" not in key and "/./" not in key for key in keys)
