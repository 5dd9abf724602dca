"""Where the client is, and a Node.js to run it."""

from __future__ import annotations

import shutil
from pathlib import Path

import playwright

CLIENT = Path(__file__).parents[3] / "sse_service" / "client"


def node() -> str:
    """Node.js of this machine, or the one Playwright brings along."""
    found = shutil.which("node")
    if found:
        return found
    beside = Path(playwright.__file__).parent / "driver" / "node"
    assert beside.exists(), "no Node.js on PATH, and none in Playwright's package"
    return str(beside)
