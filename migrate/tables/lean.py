"""GetConnection without the SDK's layers: a sweep asks it for every row, and the layers are most of what that costs.

Credentials, proxies and certificates are those of every other call, found as botocore finds them. Signature Version 4
has the service name execute-api (API Gateway developer guide, "Use @connections commands"). until phase 3
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from botocore import exceptions as botocore_errors
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from urllib3 import exceptions as errors

from migrate.tables.signing import Signer

__all__ = ["LeanManagement"]

CONNECT_S, READ_S = 5.0, 30.0
_PORTS = {"http": 80, "https": 443}


class LeanManagement:
    """What a boto3 client of `apigatewaymanagementapi` answers to `get_connection`; nothing is tried twice but what was
    sent to a connection that the other side had closed.

    Args:
        url: of the @connections API, with its stage.
        credentials: botocore's; refreshed as they expire.
        connections: kept open at most.
    """

    def __init__(self, url: str, region: str, credentials: Any, connections: int) -> None:
        if credentials is None:
            raise botocore_errors.NoCredentialsError
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        host = parts.netloc if parts.port != _PORTS.get(parts.scheme) else parts.netloc.rpartition(":")[0]
        self._signer = Signer(host, "execute-api", region, credentials)
        self._path = quote(f"{parts.path}/@connections/", safe="/~@%")
        proxy = get_environ_proxies(url).get(parts.scheme)
        # A proxy in the clear is asked for the whole address (RFC 9112, section 3.2.2).
        self._origin = f"{parts.scheme}://{host}" if proxy and parts.scheme == "http" else ""
        self._pool = _pool(self._url, proxy, connections)

    def get_connection(self, ConnectionId: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        """The connection's facts.

        Raises: ClientError: as boto3 would. BotoCoreError: no answer.
        """
        path = self._path + quote(ConnectionId, safe="")
        try:
            try:
                answer = self._get(path)
            except errors.ProtocolError:
                answer = self._get(path)
        except errors.HTTPError as error:
            raise _said(self._url, error) from error
        if answer.status == 200:
            facts: dict[str, Any] = json.loads(answer.data)
            return facts
        code = (answer.headers.get("x-amzn-ErrorType") or "").partition(":")[0]
        raise botocore_errors.ClientError(
            {
                "Error": {"Code": code, "Message": ""},
                "ResponseMetadata": {
                    "HTTPStatusCode": answer.status,
                    "RequestId": "",
                    "HostId": "",
                    "HTTPHeaders": {},
                    "RetryAttempts": 0,
                },
            },
            "GetConnection",
        )

    def _get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self._pool.urlopen(
            "GET", self._origin + path, headers=self._signer.headers(path),
            retries=False, redirect=False, assert_same_host=False,
        )  # fmt: skip


def _pool(url: str, proxy: str | None, connections: int) -> urllib3.HTTPConnectionPool:
    options: dict[str, Any] = {"maxsize": connections, "timeout": urllib3.Timeout(connect=CONNECT_S, read=READ_S)}
    if url.startswith("https:"):
        chosen = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
        options |= {"cert_reqs": "CERT_REQUIRED", "ca_certs": get_cert_path(chosen)}
    manager = urllib3.proxy_from_url(proxy, **options) if proxy else urllib3.PoolManager(**options)
    return manager.connection_from_url(url)


def _said(url: str, error: errors.HTTPError) -> botocore_errors.BotoCoreError:
    """As botocore would say it."""
    if isinstance(error, errors.ProxyError):
        return botocore_errors.ProxyConnectionError(proxy_url="", error=error)
    if isinstance(error, errors.SSLError):
        return botocore_errors.SSLError(endpoint_url=url, error=error)
    if isinstance(error, errors.NewConnectionError):
        return botocore_errors.EndpointConnectionError(endpoint_url=url, error=error)
    if isinstance(error, errors.ConnectTimeoutError):
        return botocore_errors.ConnectTimeoutError(endpoint_url=url, error=error)
    if isinstance(error, errors.ReadTimeoutError):
        return botocore_errors.ReadTimeoutError(endpoint_url=url, error=error)
    return botocore_errors.HTTPClientError(error=error)
