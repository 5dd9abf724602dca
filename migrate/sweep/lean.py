"""GetConnection without the SDK's layers: a sweep asks it for every row, and the layers are most of what that costs.

Signed and sent by botocore's own parts, so that credentials, proxies and certificates are those of every other call
(Signature Version 4 with the service name execute-api; API Gateway developer guide, "Use @connections commands").
until phase 3
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

__all__ = ["LeanManagement"]

TIMEOUT_S = (5.0, 30.0)


class LeanManagement:
    """What a boto3 client of `apigatewaymanagementapi` answers to `get_connection`; nothing is tried twice.

    Args:
        url: of the @connections API, with its stage.
        credentials: botocore's; refreshed as they expire.
        connections: kept open at most.
    """

    def __init__(self, url: str, region: str, credentials: Any, connections: int) -> None:
        if credentials is None:
            raise NoCredentialsError
        self._url, self._region, self._credentials = url.rstrip("/"), region, credentials
        self._session = URLLib3Session(
            verify=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
            proxies=get_environ_proxies(url),
            timeout=TIMEOUT_S,
            max_pool_connections=connections,
        )

    def get_connection(self, ConnectionId: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        """The connection's facts.

        Raises: ClientError: as boto3 would. BotoCoreError: no answer.
        """
        request = AWSRequest("GET", f"{self._url}/@connections/{quote(ConnectionId, safe='')}")
        SigV4Auth(self._credentials.get_frozen_credentials(), "execute-api", self._region).add_auth(request)
        answer = self._session.send(request.prepare())
        body = answer.content
        if answer.status_code == 200:
            facts: dict[str, Any] = json.loads(body)
            return facts
        code = (answer.headers.get("x-amzn-ErrorType") or "").partition(":")[0]
        raise ClientError(
            {
                "Error": {"Code": code, "Message": ""},
                "ResponseMetadata": {
                    "HTTPStatusCode": answer.status_code,
                    "RequestId": "",
                    "HostId": "",
                    "HTTPHeaders": {},
                    "RetryAttempts": 0,
                },
            },
            "GetConnection",
        )
