"""Addresses of a stage. until phase 3

Pure. Source: API Gateway developer guide, "Invoke WebSocket APIs" and "Use @connections commands in your
backend service".
"""

from __future__ import annotations

from urllib.parse import urlsplit

from legacy_ws.errors import UsageError

__all__ = ["is_aws", "management_url", "websocket_url"]

_HTTP = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_AWS_DOMAINS = ("amazonaws.com", "amazonaws.com.cn", "api.aws")


def is_aws(endpoint_url: str) -> bool:
    """Is this address AWS itself, and not a local AWS?"""
    host = urlsplit(endpoint_url).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in _AWS_DOMAINS)


def websocket_url(api_endpoint: str, stage: str) -> str:
    """Where clients connect: the API's endpoint as the control plane returns it, and the stage."""
    return f"{api_endpoint.rstrip('/')}/{stage}"


def management_url(api_endpoint: str, stage: str) -> str:
    """Where `@connections` answers: `wss://HOST -> https://HOST/STAGE`, `ws://HOST:PORT/API ->
    http://HOST:PORT/STAGE`.

    Raises: UsageError: `api_endpoint` is no such address.
    """
    parts = urlsplit(api_endpoint)
    scheme = _HTTP.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise UsageError(f"{api_endpoint!r} is no WebSocket address", "pass --management-url")
    return f"{scheme}://{parts.netloc}/{stage}"
