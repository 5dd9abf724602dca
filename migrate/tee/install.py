"""Put the tee onto deployed Lambdas, and take it off again: configuration only, no code is touched. until phase 3

Both directions can run twice and be stopped at any point: the original handler is kept in the function's own
environment (WS2SSE_TEE_HANDLER), written by the same call that redirects it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["InstalledTee", "functions_of_api", "install_tee", "is_installed", "remove_tee"]

LAYER_NAME = "ws2sse-tee"
QUEUE_NAME = "ws2sse-tee.fifo"
POLICY_NAME = "ws2sse-tee"
HANDLER = "ws2sse_tee.handler"
# How long records a dead bridge had received stay hidden from the next one, seconds. A batch that takes longer is seen
# twice, which is harmless: publishing is idempotent by key.
VISIBILITY_S = 10
RETENTION_S = 14 * 24 * 3600
# The waiter's own second between two looks would be most of the time this takes.
_OFTEN = {"Delay": 0.1, "MaxAttempts": 600}
_FUNCTION_IN_URI = re.compile(r"functions/(arn:[^/]+)/invocations")


@dataclass(frozen=True)
class InstalledTee:
    """Where the records go and which functions send them."""

    queue_url: str
    functions: tuple[str, ...]


def functions_of_api(apigatewayv2: Any, api_id: str) -> list[str]:
    """ARNs of the Lambdas behind an API's routes (not its authorizers), sorted."""
    arns: set[str] = set()
    for page in apigatewayv2.get_paginator("get_integrations").paginate(ApiId=api_id):
        for integration in page["Items"]:
            match = _FUNCTION_IN_URI.search(integration.get("IntegrationUri", ""))
            if match:
                arns.add(match.group(1))
    return sorted(arns)


def is_installed(lambda_: Any, name: str) -> bool:
    """Whether the function's handler is the tee's."""
    return bool(lambda_.get_function_configuration(FunctionName=name)["Handler"] == HANDLER)


def layer_zip() -> bytes:
    """The layer's archive; the same bytes every time, so that an unchanged tee publishes no new version."""
    source = Path(__file__).parent / "layer" / "ws2sse_tee.py"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("python/ws2sse_tee.py", date_time=(1980, 1, 1, 0, 0, 0))
        info.external_attr = 0o644 << 16
        archive.writestr(info, source.read_bytes())
    return buffer.getvalue()


def install_tee(client: Callable[[str], Any], functions: Iterable[str]) -> InstalledTee:
    """Create the queue and the layer where they are missing, and redirect the functions' handlers.

    Args:
        client: makes a boto3 client of a service.
        functions: ARNs or names of Python functions.
    """
    lambda_, sqs, iam = client("lambda"), client("sqs"), client("iam")
    queue_url = sqs.create_queue(
        QueueName=QUEUE_NAME,
        Attributes={
            "FifoQueue": "true",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "VisibilityTimeout": str(VISIBILITY_S),
            "MessageRetentionPeriod": str(RETENTION_S),
        },
    )["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    layer_arn = _ensure_layer(lambda_)
    names = tuple(functions)
    for name in names:
        configuration = lambda_.get_function_configuration(FunctionName=name)
        _allow(iam, configuration["Role"], queue_arn)
        _redirect(lambda_, configuration, layer_arn, queue_url)
    # Lambda applies a change in the background: all of them at the same time.
    for name in names:
        _wait_updated(lambda_, name)
    return InstalledTee(queue_url=queue_url, functions=names)


def remove_tee(client: Callable[[str], Any], functions: Iterable[str]) -> list[str]:
    """Give the functions their own handler, layers and environment back; returns those that were changed."""
    lambda_, iam = client("lambda"), client("iam")
    changed = []
    for name in functions:
        configuration = lambda_.get_function_configuration(FunctionName=name)
        variables = dict(configuration.get("Environment", {}).get("Variables", {}))
        original = variables.pop("WS2SSE_TEE_HANDLER", None)
        if original is None:
            continue
        variables.pop("WS2SSE_TEE_QUEUE_URL", None)
        lambda_.update_function_configuration(
            FunctionName=name,
            Handler=original,
            Layers=_layers_without_tee(configuration),
            Environment={"Variables": variables},
        )
        _disallow(iam, configuration["Role"])
        changed.append(name)
    for name in changed:
        _wait_updated(lambda_, name)
    return changed


def _disallow(iam: Any, role_arn: str) -> None:
    try:
        iam.delete_role_policy(RoleName=role_arn.rsplit("/", 1)[-1], PolicyName=POLICY_NAME)
    except iam.exceptions.NoSuchEntityException:
        return  # functions may share a role: it was taken away with the first of them


def _redirect(lambda_: Any, configuration: dict[str, Any], layer_arn: str, queue_url: str) -> None:
    variables = dict(configuration.get("Environment", {}).get("Variables", {}))
    layers = [*_layers_without_tee(configuration), layer_arn]
    wanted = {
        **variables,
        "WS2SSE_TEE_HANDLER": (
            variables.get("WS2SSE_TEE_HANDLER", configuration["Handler"])
            if configuration["Handler"] == HANDLER
            else configuration["Handler"]
        ),
        "WS2SSE_TEE_QUEUE_URL": queue_url,
    }
    unchanged = (
        configuration["Handler"] == HANDLER
        and variables == wanted
        and [layer["Arn"] for layer in configuration.get("Layers", [])] == layers
    )
    if unchanged:
        return
    _wait_updated(lambda_, configuration["FunctionName"])
    lambda_.update_function_configuration(
        FunctionName=configuration["FunctionName"],
        Handler=HANDLER,
        Layers=layers,
        Environment={"Variables": wanted},
    )


def _layers_without_tee(configuration: dict[str, Any]) -> list[str]:
    return [layer["Arn"] for layer in configuration.get("Layers", []) if f":layer:{LAYER_NAME}:" not in layer["Arn"]]


def _ensure_layer(lambda_: Any) -> str:
    archive = layer_zip()
    description = f"sha256 {hashlib.sha256(archive).hexdigest()}"
    for page in lambda_.get_paginator("list_layer_versions").paginate(LayerName=LAYER_NAME):
        for version in page["LayerVersions"]:
            if version.get("Description") == description:
                return str(version["LayerVersionArn"])
    published = lambda_.publish_layer_version(
        LayerName=LAYER_NAME,
        Description=description,
        Content={"ZipFile": archive},
        CompatibleRuntimes=["python3.11", "python3.12", "python3.13"],
    )
    return str(published["LayerVersionArn"])


def _allow(iam: Any, role_arn: str, queue_arn: str) -> None:
    iam.put_role_policy(
        RoleName=role_arn.rsplit("/", 1)[-1],
        PolicyName=POLICY_NAME,
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn}],
            }
        ),
    )


def _wait_updated(lambda_: Any, name: str) -> None:
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=_OFTEN)
