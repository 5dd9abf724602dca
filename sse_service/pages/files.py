"""What the page consists of, and the headers it is served with. Read once, when the service starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlsplit

from sse_service.settings import Settings

__all__ = ["ASSETS", "Asset", "content_security_policy", "page_config", "read_assets"]

KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
CLIENT = "sse-websocket.js"
ASSETS = "/chat/assets/"


@dataclass(frozen=True, slots=True)
class Asset:
    """kind: its media type. tag: an ETag, so that a browser asks and is answered 304."""

    content: bytes
    kind: str
    tag: str


def read_assets() -> dict[str, Asset]:
    """By file name; the drop-in client is one of them."""
    found = {item.name: item.read_bytes() for item in (files("sse_service") / "pages" / "static").iterdir()}
    found[CLIENT] = (files("sse_service") / "client" / "dist" / CLIENT).read_bytes()
    return {
        name: Asset(content, KINDS[name[name.rindex(".") :]], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        for name, content in found.items()
    }


def page_config(settings: Settings, drop_in_path: str) -> dict[str, object]:
    """What the page has to know, and everybody may: {"transports": [...], "dropIn": {...} | None, ...}."""
    websocket = settings.pages_websocket_url
    transports = ["sse", *(["drop-in"] if drop_in_path else []), *(["websocket"] if websocket else [])]
    return {
        "transports": transports,
        "dropIn": {"path": drop_in_path} if drop_in_path else None,
        "websocket": {"url": websocket, "rooms": list(settings.pages_websocket_rooms)} if websocket else None,
        "uploads": {"types": list(settings.uploads_types), "maxBytes": settings.uploads_max_bytes}
        if settings.uploads_bucket
        else None,
        "developmentSignIn": bool(settings.dev_auth),
        "heartbeatMs": int(settings.effective_heartbeat_s * 1000),
    }


def content_security_policy(settings: Settings) -> str:
    """Everything from this service; files from the bucket, and the WebSocket API where one is named.

    Source: Content Security Policy Level 3. `require-trusted-types-for` makes a browser refuse text as markup.
    """
    bucket, websocket = " ".join(_bucket_origins(settings)), ""
    if settings.pages_websocket_url:
        parts = urlsplit(settings.pages_websocket_url)
        websocket = f"{parts.scheme}://{parts.netloc}"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(f"img-src 'self' blob: {bucket}".split()),
            " ".join(f"connect-src 'self' {websocket} {bucket}".split()),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _bucket_origins(settings: Settings) -> list[str]:
    """Where presigned addresses lead: botocore takes either host, by region and age of the bucket."""
    bucket = settings.uploads_bucket
    if not bucket:
        return []
    if settings.aws_endpoint_url:
        parts = urlsplit(settings.aws_endpoint_url)
        return [f"{parts.scheme}://{parts.netloc}"]
    return [f"https://{bucket}.s3.{settings.region}.amazonaws.com", f"https://{bucket}.s3.amazonaws.com"]
