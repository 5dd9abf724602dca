"""The runbook quotes what commands say: a message that is worded anew has to be found there, too. until phase 3"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = (ROOT / "docs" / "what-if.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "migrate").rglob("*.py")))

# Parts of messages without names and figures, as people search for them at 3 am.
QUOTED = (
    "everybody is back on WebSocket, from",
    "/metrics does not answer",
    "nobody is moved",
    "new WebSocket connections are refused",
    "new connections are let in",
    "deliveries differ in content",
    "deliveries judged",
    "more samples are needed",
    "the capture is incomplete: the tee lost",
    "deliveries could not be judged",
    "records lost before they came",
    "records the tee could not send",
    "the tee is off",
    "functions without the tee",
    "the tee is on",
    "tee: on",
    "seconds behind",
    "the shadow instance is busy",
    "messages the SSE service refused",
    "records that could not be read",
    "gaps in the event log",
    "is being worked on by",
    "wait for it; if that process died, its lock ends at",
    "meanwhile; nothing is changed",
    "try again; what was done is kept",
    "stays throttled",
    "looking again",
    "for the shared state",
    "no permission for the table",
    "there as exported",
    "without their item",
    "connections are not known",
    "is missing, and the manifest has it",
    "is not what was written: its digest differs",
    "has changed since",
    "is new since",
    "older than a day",
    "is still used",
    "carries traffic again",
    "the plan is for account",
    "was changed after it was written",
    "policies that name resources by unique id have to be looked at",
    "are already up (pid",
    "they did not end cleanly the last time",
)


@pytest.mark.parametrize("words", QUOTED)
def test_what_the_runbook_quotes_is_said(words: str) -> None:
    """Both have it: the page, and some module (a message may be broken over two literals)."""
    assert words in RUNBOOK
    joined = re.sub(r'"\s*\n\s*f?"', "", SOURCES)
    assert words in joined
