"""Routes of the page: `/chat`, its files, what it has to know, and who its token is."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from sse_service.api.identity import authenticate
from sse_service.pages.files import ASSETS, Asset, content_security_policy, page_config, read_assets
from sse_service.settings import Settings

__all__ = ["page_router"]

SAFE = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-cache"}
PUBLIC = {
    # The widget is used on other sites' pages; the files are the same for everybody.
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}


def page_router(settings: Settings, drop_in_path: str) -> APIRouter:
    """drop_in_path: where the drop-in client connects; empty: it is not offered."""
    router = APIRouter(include_in_schema=False)
    assets = read_assets()
    index = assets.pop("index.html")
    page_headers = {
        **SAFE,
        "content-security-policy": content_security_policy(settings),
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "x-frame-options": "DENY",
    }
    config = page_config(settings, drop_in_path)

    @router.get("/chat")
    async def chat(request: Request) -> Response:
        return _answer(request, index, page_headers)

    @router.get(f"{ASSETS}{{name}}")
    async def asset(name: str, request: Request) -> Response:
        found = assets.get(name)
        return Response(status_code=404) if found is None else _answer(request, found, {**SAFE, **PUBLIC})

    @router.get("/chat/widget.js")
    async def widget(request: Request) -> Response:
        return _answer(request, assets["widget-loader.js"], {**SAFE, **PUBLIC})

    @router.get("/chat/config.json")
    async def configuration() -> Response:
        return JSONResponse(config, headers={**SAFE, **PUBLIC})

    @router.get("/chat/me")
    async def me(request: Request) -> Response:
        who = authenticate(request)
        answer = {"user": who.user, "tenant": who.tenant, "expiresAt": who.expires_at}
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    return router


def _answer(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    headers = {**headers, "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.kind, headers=headers)
