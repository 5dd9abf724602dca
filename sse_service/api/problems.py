"""Errors as application/problem+json (RFC 9457). The one place where an error becomes an HTTP answer.

{"type": "urn:sse-service:<code>", "title", "status", "detail", "requestId", ...}. Text of unexpected
exceptions never leaves the process: the client gets the request id, the log the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from sse_service.errors import RequestError, UnauthorizedError
from sse_service.logs import request_fields
from sse_service.problem import PROBLEM_TYPE, problem_body

__all__ = ["install", "problem", "problem_docs"]

logger = logging.getLogger("sse_service.api")

_TENANT_NAMES = frozenset({"tenant", "tenantId", "tenant_id"})


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    extra: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    request_id = (request_fields.get() or {}).get("requestId", "")
    return Response(
        problem_body(status, code, title, detail, request_id, extra),
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers=dict(headers or {}),
    )


def of_request_error(error: RequestError) -> Response:
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, UnauthorizedError):
        # RFC 6750, 3: no error code where no token was sent.
        parameters = "" if error.missing else ', error="invalid_token"'
        headers["www-authenticate"] = f'Bearer realm="sse-service"{parameters}'
    return problem(error.status, error.code, error.title, error.detail, extra=error.extra, headers=headers)


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this class
    return of_request_error(error)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    if isinstance(error.body, bytes):  # FastAPI reads as JSON only what says that it is
        detail = "the body must be JSON; send `Content-Type: application/json`"
        return problem(415, "unsupported_media_type", "Unsupported Media Type", detail)
    first: dict[str, Any] = error.errors()[0] if error.errors() else {"loc": (), "msg": "is not valid"}
    if first.get("type") == "json_invalid":
        # Its second `loc` is a position in the text.
        at = next((part for part in first["loc"] if isinstance(part, int)), 0)
        detail = f"body: is not valid JSON: {first['ctx']['error']}, at character {at + 1}"
        return problem(400, "invalid_input", "Bad Request", detail, extra={"field": "body"})
    where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "header"})
    if first.get("type") == "extra_forbidden":
        hint = "; the tenant is always the token's" if first["loc"][-1] in _TENANT_NAMES else ""
        detail = f"{where}: there is no such field in this request{hint}"
        return problem(400, "invalid_input", "Bad Request", detail, extra={"field": where})
    return problem(
        400, "invalid_input", "Bad Request", f"{where or 'body'}: {first['msg']}", extra={"field": where or "body"}
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    title = "Content Too Large" if error.status_code == 413 else HTTPStatus(error.status_code).phrase
    code = "too_large" if error.status_code == 413 else title.lower().replace(" ", "_")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        # Starlette names the methods of one route; a path may have several.
        headers["allow"] = ", ".join(sorted(_methods(request))) or headers.get("allow", "")
    return problem(error.status_code, code, title, str(error.detail), headers=headers)


def _methods(request: Request) -> set[str]:
    paths: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    found: set[str] = set()
    for path, operations in paths.items():
        if compile_path(path)[0].match(request.scope["path"]):
            found |= {method.upper() for method in operations}
    return found


def install(app: FastAPI) -> None:
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


def problem_docs(description: str) -> dict[str, Any]:
    """An error in a route's `responses`, for the OpenAPI document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}
