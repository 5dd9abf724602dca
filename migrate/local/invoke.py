"""Lambda's Invoke API: an HTTP request to our execution, its result (or refusal) to an HTTP answer. until phase 3

Source: AWS Lambda API reference, "Invoke": headers X-Amz-Invocation-Type, X-Amz-Log-Type, X-Amz-Client-Context,
answer headers X-Amz-Function-Error, X-Amz-Log-Result, X-Amz-Executed-Version; errors with x-amzn-ErrorType.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid

from aiohttp import web

from migrate.local.functions import LocalFunctions
from migrate.local.functions.reference import ACCOUNT, FunctionRef, parse_reference
from migrate.local.functions.runtime_api import MAX_PAYLOAD_BYTES
from migrate.local.ports import FunctionNotFoundError, TooManyRequestsError
from migrate.local.watch import Call

__all__ = ["answer_invoke"]

MAX_EVENT_BYTES = 1024 * 1024
"""Largest payload of an asynchronous invocation (1 MB since 2025)."""


async def answer_invoke(
    functions: LocalFunctions, request: web.BaseRequest, call: Call, function: str, region: str
) -> web.Response:
    """Answer one Invoke call."""
    ref = parse_reference(
        function,
        account=call.account or ACCOUNT,
        region=call.region or region,
        qualifier=request.query.get("Qualifier"),
    )
    if ref is None:
        return _refusal(400, "InvalidParameterValueException", f"Not the name of a function: {function}")
    kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    limit = MAX_EVENT_BYTES if kind == "Event" else MAX_PAYLOAD_BYTES
    payload = b""
    async for chunk in request.content.iter_any():
        payload += chunk
        if len(payload) > limit:
            return _refusal(
                413, "RequestTooLargeException", f"Request must be smaller than {limit} bytes for the Invoke operation"
            )
    try:
        json.loads(payload or b"{}")
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        return _refusal(400, "InvalidRequestContentException", message)
    try:
        if kind == "RequestResponse":
            return await _synchronous(functions, request, ref, payload or b"{}")
        config = await functions.check(ref)
        version = {"X-Amz-Executed-Version": config.version if config else "$LATEST"}
        if kind == "DryRun":
            return web.Response(status=204, headers=_request_id() | version)
        if kind != "Event":
            return _refusal(400, "InvalidParameterValueException", f"Unknown invocation type: {kind}")
        functions.enqueue(ref, payload or b"{}")
        return web.Response(status=202, headers=_request_id() | version)
    except FunctionNotFoundError:
        return _refusal(404, "ResourceNotFoundException", f"Function not found: {ref.arn}", Type="User")
    except TooManyRequestsError as error:
        return _refusal(429, "TooManyRequestsException", "Rate Exceeded.", Reason=error.reason, retryAfterSeconds="1")


async def _synchronous(
    functions: LocalFunctions, request: web.BaseRequest, ref: FunctionRef, payload: bytes
) -> web.Response:
    context = request.headers.get("X-Amz-Client-Context")
    try:
        client_context = base64.b64decode(context, validate=True).decode() if context else None
    except (binascii.Error, UnicodeDecodeError):
        client_context = None
    if client_context is not None:
        # It becomes a header of the Runtime API: one line.
        client_context = " ".join(client_context.splitlines())
    wants_tail = request.headers.get("X-Amz-Log-Type") == "Tail"
    config, result = await functions.run(
        ref,
        payload,
        timeout_s=None,
        log_tail=wants_tail,
        client_context=client_context,
        trace_id=request.headers.get("X-Amzn-Trace-Id"),
    )
    headers = _request_id() | {"X-Amz-Executed-Version": config.version if config else "$LATEST"}
    if result.function_error:
        headers["X-Amz-Function-Error"] = result.function_error
    if wants_tail:
        headers["X-Amz-Log-Result"] = base64.b64encode(result.log_tail).decode()
    return web.Response(body=result.payload or b"null", headers=headers, content_type="application/json")


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _refusal(status: int, code: str, message: str, **more: str) -> web.Response:
    body = json.dumps({"Type": "User", "Message": message, "message": message} | more).encode()
    headers = _request_id() | {"x-amzn-ErrorType": code}
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
