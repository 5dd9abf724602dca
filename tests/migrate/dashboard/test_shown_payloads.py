"""What is shown of frames: no secret, and whatever a sender made of them. until phase 3 (MG18)"""

from __future__ import annotations

import json
from typing import Any

from migrate.compare.recorded import Offence
from migrate.dashboard.findings import mismatch
from migrate.dashboard.model import Board, Finding

NOW = 1_700_000_000.0


def offence(legacy: str, sse: str, **fields: tuple[Any, Any]) -> Offence:
    return Offence(
        kind="changed", stack="sse", blame="sse", feature="chat", tenant="t", recipient="ann", sender="ben",
        stream="c1", message_id="m1", cause=None, at=NOW, detail="", legacy=legacy, sse=sse, fields=fields,
    )  # fmt: skip


def test_secrets_are_hidden_in_payloads_and_in_what_differs() -> None:
    """A field that differs is shown with both of its values: under its name, in a list."""
    frames = [json.dumps({"token": value, "auth_tokens": [value], "private": {"pin": value}, "n": 1})
              for value in ("hush-one", "hush-two")]  # fmt: skip
    shown = mismatch(offence(*frames, token=("hush-one", "hush-two"), text=("a", "b"), tokens=(3, 4)))
    assert "hush" not in json.dumps(shown)
    assert shown["fields"] == {"token": ["***", "***"], "text": ["a", "b"], "tokens": [3, 4]}
    assert shown["legacy"]["n"] == 1


def test_a_frame_may_be_as_deep_as_its_sender_likes() -> None:
    deep = "[" * 900 + "]" * 900
    shown = mismatch(offence(f'{{"a":{deep}}}', deep, a=(json.loads(deep), None)))
    [change, _] = Board(["records"]).take("records", Finding(items={"mismatches": [shown]}), NOW)
    assert change.section == "mismatches" and len(json.dumps(change.items)) < 2000
