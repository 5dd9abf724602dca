"""What is worked on for a client: agent_run, library_process (WL8). until phase 3"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal

from legacy_ws.apps.layers import services
from legacy_ws.apps.layers.caller import caller_of, id_field, own_id_field
from legacy_ws.apps.layers.schema import MAX_DOCUMENT_BYTES, MAX_DOCUMENTS
from legacy_ws.errors import ClientInputError
from legacy_ws.frames import bad_request, required_field, text_field
from legacy_ws.router import Call

__all__ = ["agent_run", "library_process"]

_MAX_DEPTH = 32


def agent_run(call: Call) -> dict[str, object]:
    """{"type": "agent_run", "agent_id": str, "input": object | str, "run_id"?: str}: the run's progress goes to every
    connection of the user.
    """
    me = caller_of(call)
    agent_id, given = id_field(me.frame, "agent_id"), _input(me.frame)
    run_id = own_id_field(me.frame, "run_id")
    me.hand_over("agent_run", run_id, {"agent_id": agent_id, "input": given})
    return {"type": "agent_run_response", "run_id": run_id, "status": "accepted"}


def library_process(call: Call) -> dict[str, object]:
    """{"type": "library_process", "library_id": str, "documents": [str], "job_id"?: str}: the job's progress goes to
    every connection of the tenant.
    """
    me = caller_of(call)
    library_id, documents = id_field(me.frame, "library_id"), _documents(me.frame)
    job_id = own_id_field(me.frame, "job_id")
    me.hand_over("library_processing", job_id, {"library_id": library_id, "documents": documents})
    return {"type": "library_process_response", "job_id": job_id, "status": "accepted"}


def _input(frame: Mapping[str, object]) -> object:
    given = _plain(required_field(frame, "input"), 0)
    if not isinstance(given, dict | str):
        raise bad_request('"input" must be an object or text.')
    try:
        size = len(json.dumps(given, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise bad_request('"input" is not valid Unicode text.') from None
    limit = services.settings().max_message_bytes
    if size > limit:
        raise ClientInputError("message_too_long", f'"input" is longer than {limit} bytes of JSON.')
    return given


def _documents(frame: Mapping[str, object]) -> list[str]:
    given = required_field(frame, "documents")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_DOCUMENTS:
        raise bad_request(f'"documents" must be a list of 1 to {MAX_DOCUMENTS} texts.')
    # Of a hundred, the client is told which one. `None` would count as absent, which an entry cannot be.
    entries = {f"documents[{index}]": False if one is None else one for index, one in enumerate(given)}
    return [text_field(entries, name, max_bytes=MAX_DOCUMENT_BYTES) for name in entries]


def _plain(value: object, depth: int) -> object:
    """A value of a frame as every JSON parser has it: numbers with a fraction as floats.

    A Decimal with a large exponent would otherwise become a number of as many digits.
    """
    if depth > _MAX_DEPTH:
        raise bad_request('"input" is nested too deeply.')
    match value:
        case Decimal():
            number = float(value)
            if not math.isfinite(number):
                raise bad_request('"input" holds a number that is too large.')
            return number
        case dict():
            return {name: _plain(item, depth + 1) for name, item in value.items()}
        case list():
            return [_plain(item, depth + 1) for item in value]
        case _:
            return value
