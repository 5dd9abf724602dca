"""JSON frames: reading what clients send, writing what they get. until phase 3

Pure. Limits: a WebSocket message of API Gateway is at most 128 KB (developer guide, "Quotas for configuring
and running a WebSocket API"). A frame of a client's is at most 32 KB of it, which API Gateway sees to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from legacy_ws.errors import ClientInputError

__all__ = [
    "MAX_FRAME_BYTES",
    "bad_request",
    "decode",
    "encode",
    "error_frame",
    "required_field",
    "text_field",
    "whole_number_field",
]

MAX_FRAME_BYTES = 128 * 1024


def encode(frame: Mapping[str, object]) -> bytes:
    """Compact UTF-8 JSON. Decimals (DynamoDB's numbers) become JSON numbers."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"), default=_number).encode("utf-8")


def decode(body: str | None) -> dict[str, object]:
    """The JSON object in one frame; numbers with a fraction become Decimal, so that times stay exact.

    Raises: ClientInputError (bad_request): no text, no JSON, nested too deeply, or not an object.
    """
    if not body:
        raise bad_request("The frame is empty or no text.")
    try:
        frame = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, ArithmeticError):
        raise bad_request("The frame is not valid JSON.") from None
    if not isinstance(frame, dict):
        raise bad_request("The frame is not a JSON object.")
    return frame


def error_frame(code: str, message: str, request_id: str) -> dict[str, object]:
    """What a client is told about an error: a code, a sentence, a request id. Never an exception's text."""
    return {"type": "error", "code": code, "message": message, "requestId": request_id}


def required_field(frame: Mapping[str, object], name: str) -> object:
    """Field `name` of a frame, of whatever type; null counts as absent. Raises: ClientInputError: missing."""
    value = frame.get(name)
    if value is None:
        raise bad_request(f'"{name}" is missing.')
    return value


def text_field(frame: Mapping[str, object], name: str, *, max_bytes: int, default: str | None = None) -> str:
    """Text `name` of a frame, not empty, at most `max_bytes` of UTF-8; null counts as absent.

    Raises: ClientInputError: missing without a default, wrong type, empty, not encodable, or too long.
    """
    value = frame.get(name)
    if value is None:
        if default is None:
            raise bad_request(f'"{name}" is missing.')
        return default
    if not isinstance(value, str):
        raise bad_request(f'"{name}" is not text.')
    if not value.strip():
        raise bad_request(f'"{name}" is empty.')
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate ("\\ud800") is JSON but no text
        raise bad_request(f'"{name}" is not valid Unicode text.') from None
    if size > max_bytes:
        raise ClientInputError("message_too_long", f'"{name}" is longer than {max_bytes} bytes of UTF-8.')
    return value


def whole_number_field(frame: Mapping[str, object], name: str, *, low: int, high: int, default: int) -> int:
    """Whole number `name` of a frame within [low, high]; null counts as absent.

    Raises: ClientInputError (bad_request): not a whole number, or outside.
    """
    value = frame.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad_request(f'"{name}" must be a whole number from {low} to {high}.')
    return value


def bad_request(message: str) -> ClientInputError:
    """A ClientInputError with the code `bad_request`."""
    return ClientInputError("bad_request", message)


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _refuse_constant(name: str) -> object:
    raise ValueError(name)
