"""Pages of other origins; a refused preflight is a problem like every other error."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from sse_service.api.problems import problem

__all__ = ["Cors"]


class Cors(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        # Starlette's text names what is disallowed: origin, method, headers.
        text = bytes(response.body).decode()
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return problem(400, "cors_refused", "Bad Request", text, headers=headers)
