"""Uploads in an S3 bucket. Signing needs no request; the client then speaks to S3 alone."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from sse_service.errors import StartupError, UnavailableError
from sse_service.ports import PresignedPost, StoredObject
from sse_service.settings import Settings

__all__ = ["S3Uploads"]


class S3Uploads:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = settings.uploads_bucket
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def start(self) -> None:
        if self._client is not None:
            return
        endpoint = self._settings.aws_endpoint_url
        config = AioConfig(
            connect_timeout=2,
            read_timeout=3,
            retries={"mode": "standard", "max_attempts": 2},
            signature_version="s3v4",
            # AWS's own names a bucket in the host; what stands in for it need not resolve such hosts.
            s3={"addressing_style": "path" if endpoint else "virtual"},
        )
        try:
            self._client = await self._stack.enter_async_context(
                get_session().create_client(
                    "s3", region_name=self._settings.region, endpoint_url=endpoint or None, config=config
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise StartupError(
                f"no S3 client: {error}", "check AWS_REGION, AWS_ENDPOINT_URL and the credentials"
            ) from None

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def presign_post(self, key: str, content_type: str, max_bytes: int, expires_s: int) -> PresignedPost:
        try:
            made = await self._ready().generate_presigned_post(
                Bucket=self._bucket,
                Key=key,
                Fields={"Content-Type": content_type},
                # botocore adds bucket and key; what is not in the policy cannot be in the form.
                Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                ExpiresIn=expires_s,
            )
        except BotoCoreError as error:
            raise UnavailableError("uploads cannot be signed at this moment") from error
        return PresignedPost(made["url"], made["fields"])

    async def head(self, key: str) -> StoredObject | None:
        try:
            found = await self._ready().head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return None
            raise UnavailableError("the store of uploads did not take the request") from error
        except BotoCoreError as error:
            raise UnavailableError("the store of uploads is out of reach") from error
        return StoredObject(found.get("ContentType", ""), int(found["ContentLength"]))

    async def presign_get(self, key: str, content_type: str, name: str, expires_s: int) -> str:
        try:
            address: str = await self._ready().generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    # Never shown in place: a file of a user must not become a page of the bucket's host.
                    "ResponseContentDisposition": _download(name),
                    "ResponseContentType": content_type,
                },
                ExpiresIn=expires_s,
            )
        except BotoCoreError as error:
            raise UnavailableError("uploads cannot be signed at this moment") from error
        return address

    def _ready(self) -> Any:
        if self._client is None:
            raise UnavailableError("the store of uploads is not connected")
        return self._client


def _download(name: str) -> str:
    """Content-Disposition with a name of any script (RFC 6266, 4.3; RFC 8187, 3.2)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
