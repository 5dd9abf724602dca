"""Settings of the chat page and the widget; part of Settings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from sse_service.variables import variable as _env

__all__ = ["PageSettings"]


@dataclass(frozen=True)
class PageSettings:
    """docs/guides/pages.md says what they do."""

    pages: int = _env("SSE_PAGES", 1, "1: serve the chat page at /chat and the widget; 0: neither", low=0, high=1)
    pages_websocket_url: str = _env(
        "SSE_PAGES_WEBSOCKET_URL", "", "WebSocket API with the same rooms that the page may switch to; empty: none"
    )
    pages_websocket_rooms: tuple[str, ...] = _env(
        "SSE_PAGES_WEBSOCKET_ROOMS", ("main",), "rooms that are on it as well, separated by commas"
    )

    def page_problems(self) -> Iterator[str]:
        url = self.pages_websocket_url
        if not url:
            return
        try:
            parts = urlsplit(url)
            is_right = parts.scheme in ("ws", "wss") and bool(parts.hostname) and not parts.query and parts.port != 0
        except ValueError:
            is_right = False
        # It becomes a part of the page's Content-Security-Policy: nothing in it may end a directive.
        if not is_right or any(character in url for character in " ;,'\"") or not url.isascii():
            yield f"SSE_PAGES_WEBSOCKET_URL={url!r}: must be ws://host/stage or wss://host/stage, without a query"
