"""The few calls that Lambda execution makes to the control plane, without an SDK. until phase 3

MiniStack reads account, region and service from the Credential of a SigV4 header and checks no signature (unless
told to), so a plain header is enough, and the process needs neither botocore nor threads for it.
Bodies and answers: AWS API references of Lambda (GetFunction, GetLayerVersionByArn, GetFunctionEventInvokeConfig),
CloudWatch Logs (PutLogEvents), SQS (SendMessage, JSON protocol), SNS (Publish), EventBridge (PutEvents).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from migrate.local.functions.reference import FunctionRef
from migrate.local.ports import FunctionNotFoundError

__all__ = ["ControlPlane", "ControlPlaneError"]


class ControlPlaneError(Exception):
    """The control plane did not answer, or refused (`code` is AWS's error code or empty)."""

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class ControlPlane:
    """A client of the control plane at `url`, for any account and region."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=20), timeout=aiohttp.ClientTimeout(total=30)
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def function(self, ref: FunctionRef) -> dict[str, Any]:
        """GetFunction's answer. Raises: FunctionNotFoundError, ControlPlaneError."""
        path = f"/2015-03-31/functions/{quote(ref.name)}"
        if ref.qualifier:
            path += "?" + urlencode({"Qualifier": ref.qualifier})
        try:
            return await self._json("GET", path, "lambda", ref.account, ref.region)
        except ControlPlaneError as error:
            if error.status == 404:
                raise FunctionNotFoundError(ref.arn) from error
            raise

    async def code(self, ref: FunctionRef, version: str) -> bytes:
        """The zip of one version."""
        name = ref.name if version == "$LATEST" else f"{ref.name}:{version}"
        path = f"/_ministack/lambda-code/{ref.account}/{ref.region}/{quote(name)}"
        return await self._call("GET", path, "lambda", ref.account, ref.region)

    async def layer(self, arn: str) -> tuple[str, bytes]:
        """CodeSha256 (base64) and zip of a layer version."""
        _, _, _, region, account, *_ = arn.split(":")
        query = urlencode({"find": "LayerVersion", "Arn": arn})
        answer = await self._json("GET", f"/2018-10-31/layers?{query}", "lambda", account, region)
        location = urlsplit(answer["Content"]["Location"])
        return answer["Content"]["CodeSha256"], await self._call("GET", location.path, "lambda", account, region)

    async def event_invoke_config(self, ref: FunctionRef) -> dict[str, Any]:
        """GetFunctionEventInvokeConfig's answer, or {} where none is set."""
        path = f"/2019-09-25/functions/{quote(ref.name)}/event-invoke-config"
        if ref.qualifier:
            path += "?" + urlencode({"Qualifier": ref.qualifier})
        try:
            return await self._json("GET", path, "lambda", ref.account, ref.region)
        except ControlPlaneError as error:
            if error.status == 404:
                return {}
            raise

    async def logs(self, action: str, body: Mapping[str, Any], *, account: str, region: str) -> None:
        """One call of CloudWatch Logs (`CreateLogGroup`, `CreateLogStream`, `PutLogEvents`)."""
        await self._target(f"Logs_20140328.{action}", "1.1", body, "logs", account, region)

    async def send(self, arn: str, message: str) -> None:
        """Deliver a message to an SQS queue or an SNS topic.

        Raises: ControlPlaneError: also for a target of another kind.
        """
        _, _, service, region, account, *resource = arn.split(":")
        if service == "sqs":
            body = {"QueueUrl": f"{self._url}/{account}/{resource[-1]}", "MessageBody": message}
            await self._target("AmazonSQS.SendMessage", "1.0", body, "sqs", account, region)
        elif service == "sns":
            form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": arn, "Message": message}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            await self._call("POST", "/", "sns", account, region, urlencode(form).encode(), headers)
        else:
            raise ControlPlaneError(f"cannot deliver to {arn}: only SQS, SNS and Lambda")

    async def _target(
        self, target: str, version: str, body: Mapping[str, Any], service: str, account: str, region: str
    ) -> None:
        headers = {"X-Amz-Target": target, "Content-Type": f"application/x-amz-json-{version}"}
        await self._call("POST", "/", service, account, region, json.dumps(body).encode(), headers)

    async def _json(self, method: str, path: str, service: str, account: str, region: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._call(method, path, service, account, region))
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        service: str,
        account: str,
        region: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        if self._session is None:
            raise ControlPlaneError("not started")
        credential = f"{account}/20260101/{region}/{service}/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=local"
        try:
            async with self._session.request(
                method, self._url + path, data=body, headers={"Authorization": signed, **(headers or {})}
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControlPlaneError(f"the control plane did not answer {method} {path}: {error}") from error
        if response.status >= 300:
            raise ControlPlaneError(
                f"{method} {path} answered {response.status}", status=response.status, code=_code(answer)
            )
        return answer


def _code(answer: bytes) -> str:
    """AWS's error code of a JSON error: `__type` or `Code`, without the prefix."""
    try:
        detail = json.loads(answer)
    except ValueError:
        return ""
    fields: Sequence[str] = ("__type", "Code", "code")
    found = next((str(detail[f]) for f in fields if isinstance(detail, dict) and detail.get(f)), "")
    return found.rsplit("#", 1)[-1]
