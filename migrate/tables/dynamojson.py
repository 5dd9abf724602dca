"""DynamoDB's JSON as text and back, byte for byte. Pure. until phase 3"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

__all__ = ["canonical", "decode", "digest", "encode"]


def encode(value: Any) -> Any:
    """With bytes as base64 text; sets in order."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, dict):
        return {
            key: sorted(encode(one) for one in inner)
            if key in {"SS", "NS", "BS"} and isinstance(inner, list)
            else encode(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [encode(one) for one in value]
    return value


def decode(item: dict[str, Any]) -> dict[str, Any]:
    """An item that was encoded."""
    return {name: _value(value) for name, value in item.items()}


def _value(value: dict[str, Any]) -> dict[str, Any]:
    ((kind, inner),) = value.items()
    if kind == "B":
        return {kind: base64.b64decode(inner)}
    if kind == "BS":
        return {kind: [base64.b64decode(one) for one in inner]}
    if kind == "M":
        return {kind: decode(inner)}
    if kind == "L":
        return {kind: [_value(one) for one in inner]}
    return value


def canonical(value: Any) -> bytes:
    """The one text of a value."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def digest(value: Any) -> str:
    """sha256 of the canonical text."""
    return hashlib.sha256(canonical(value)).hexdigest()
