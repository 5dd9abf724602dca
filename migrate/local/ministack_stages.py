"""Settings of a stage that are deleted one by one. until phase 3

DeleteAccessLogSettings and DeleteRouteSettings (API Gateway V2 API reference: `DELETE /v2/apis/{api}/stages/{stage}/
accesslogsettings` and `.../routesettings/{route key}`): MiniStack takes both for DeleteStage, and the stage is gone.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

__all__ = ["expected", "keeps_stages"]

_SETTINGS = re.compile(r"/v2/apis/([^/]+)/stages/([^/]+)/(accesslogsettings|routesettings/([^/]+))/?")
_NO_CONTENT: tuple[int, dict[str, str], bytes] = (204, {}, b"")

Handler = Callable[..., Awaitable[Any]]


def expected(gateway: object) -> str | None:
    """What of MiniStack is not as in the pinned version, or None."""
    missing = (
        name for name in ("handle_request", "_get_stage", "_update_stage", "_stages") if not hasattr(gateway, name)
    )
    return next((f"apigateway.{name}" for name in missing), None)


def keeps_stages(gateway: Any) -> Handler:
    """`apigateway.handle_request` that knows the two calls."""
    original: Handler = gateway.handle_request

    async def handle(method: str, path: str, headers: object, body: object, query_params: object) -> Any:
        match = _SETTINGS.fullmatch(path) if method == "DELETE" else None
        if match is None:
            return await original(method, path, headers, body, query_params)
        api, stage = match[1], unquote(match[2])
        answer = gateway._get_stage(api, stage)
        if answer[0] >= 400:
            return answer
        if match[4] is None:
            gateway._update_stage(api, stage, {"accessLogSettings": None})
        else:
            settings = dict(gateway._stages[api][stage].get("routeSettings") or {})
            settings.pop(unquote(match[4]), None)
            gateway._update_stage(api, stage, {"routeSettings": settings})
        return _NO_CONTENT

    return handle
