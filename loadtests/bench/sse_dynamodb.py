"""Publishing with DynamoDB as the log, on the local AWS, against the bare put there; one at a time."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3

from loadtests.bench.processes import local_aws
from loadtests.bench.report import Table, percentile
from loadtests.bench.sse_peers import SERVICE, Target, serve

__all__ = ["measure_dynamodb"]

COUNT = 200
WARM_UP = 20
KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "ap-northeast-1"}


def measure_dynamodb(folder: Path) -> dict[str, Any]:
    """Milliseconds of each; prints a table."""
    with local_aws(folder) as aws:
        url = str(aws["aws_endpoint_url"])
        environ = {**KEYS, "SSE_LOG": "dynamodb", "AWS_ENDPOINT_URL": url, "SSE_TABLE_PREFIX": "bench"}
        subprocess.run(
            [sys.executable, "-m", "sse_service", "create-tables"],
            env={**os.environ, **environ, "SSE_JWT_SECRET": "x" * 32},
            capture_output=True,
            check=True,
        )
        put = _puts(url)
        with serve(SERVICE, None, folder, **environ) as target:
            publish = _publishes(target)
    table = Table("DynamoDB as the log, local AWS, one at a time", "what", "p50 ms", "p99 ms")
    for what, values in (("bare put", put), ("POST /api/events", publish)):
        table.add(what, f"{percentile(values, 0.5):.2f}", f"{percentile(values, 0.99):.2f}")
    table.show()
    return {"put_ms": put, "publish_ms": publish}


def _puts(url: str) -> list[float]:
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=KEYS["AWS_REGION"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    client.create_table(
        TableName="bench-puts",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    taken = []
    for number in range(COUNT + WARM_UP):
        began = time.perf_counter()
        client.put_item(TableName="bench-puts", Item={"k": {"S": str(number)}, "v": {"S": "x" * 200}})
        taken.append((time.perf_counter() - began) * 1e3)
    return taken[WARM_UP:]


def _publishes(target: Target) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    headers = {"authorization": f"Bearer {target.back_end}", "content-type": "application/json"}
    body = json.dumps({"events": [{"topic": "room:main", "type": "message", "data": "x" * 200}]})
    taken = []
    for _ in range(COUNT + WARM_UP):
        began = time.perf_counter()
        connection.request("POST", "/api/events", body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise RuntimeError(f"publishing was answered {answer.status}")
        taken.append((time.perf_counter() - began) * 1e3)
    connection.close()
    return taken[WARM_UP:]
