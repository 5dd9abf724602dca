"""Files in a temporary directory, rewritten. until phase 3"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from migrate.codemod.model import Options
from migrate.codemod.names import SEND_URL, STREAM_URL
from migrate.codemod.run import FileRewrite, Rewriter
from migrate.scan.identity import StackIdentity

OURS = StackIdentity(frozenset({"abc123"}), ("chat.example.com",))
Rewrite = Callable[..., FileRewrite]


@pytest.fixture
def rewrite(tmp_path: Path) -> Rewrite:
    """Rewrites one file, checks that a second run changes nothing, and gives the result."""

    def run(
        name: str, text: str | bytes, *, to: str = "dropin", assume: bool = False, module: str | None = None
    ) -> FileRewrite:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode())
        options = Options(to, assume, module, STREAM_URL, SEND_URL)
        done = Rewriter(tmp_path, OURS, options).rewrite(path)
        assert done.problem is None
        path.write_bytes(done.after)
        again = Rewriter(tmp_path, OURS, options).rewrite(path)
        assert again.after == done.after, "a second run must change nothing"
        return done

    return run


def kinds(done: FileRewrite) -> list[str]:
    """What was done, in the order of the text."""
    return [change.kind for change in done.changes]


def added(done: FileRewrite) -> list[str]:
    """Lines that only the new text has."""
    old = done.text_before.splitlines()
    return [line for line in done.text_after.splitlines() if line not in old]
