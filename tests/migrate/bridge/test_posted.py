"""Who has been posted what survives a kill, and no two tenants share a file (MG8). until phase 3"""

from __future__ import annotations

from pathlib import Path

import pytest

from migrate.bridge.posted import PostedFile
from migrate.bridge.process import posted_path


def test_what_was_posted_is_known_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "posted.jsonl"
    first = PostedFile(path)
    first.add("e1/0", "c1")
    first.add("e1/0", "c2")
    first.add("e2/0", "c1")
    # Not closed: a killed process closes nothing.
    again = PostedFile(path)
    assert again.done("e1/0") == {"c1", "c2"}
    assert again.done("e2/0") == {"c1"}
    assert again.done("e3/0") == frozenset()
    assert path.stat().st_mode & 0o077 == 0
    first.close()
    again.close()


def test_a_cursor_that_moved_forgets_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "posted.jsonl"
    posted = PostedFile(path)
    posted.add("e1/0", "c1")
    posted.clear()
    assert posted.done("e1/0") == frozenset()
    posted.add("e2/0", "c1")
    posted.close()
    again = PostedFile(path)
    assert again.done("e1/0") == frozenset()
    assert again.done("e2/0") == {"c1"}
    again.close()


@pytest.mark.parametrize("half", ['["e1/0", "c', '["e1/0", "c2"]'])
def test_a_line_cut_off_by_a_kill_does_not_swallow_the_next_one(tmp_path: Path, half: str) -> None:
    """Two kills: what was posted between them was posted again."""
    path = tmp_path / "posted.jsonl"
    path.write_text(f'["e1/0", "c1"]\n{half}', encoding="ascii")
    between = PostedFile(path)
    between.add("e1/0", "c3")
    between.close()
    after = PostedFile(path)
    assert {"c1", "c3"} <= after.done("e1/0")
    after.close()


def test_a_damaged_file_keeps_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "posted.jsonl"
    path.write_bytes(b'\xff\xfe\x00\n5\n[1]\n{"a": 1}\n["e1/0", "c1", "x"]\n["e1/0", "c1"]\n')
    posted = PostedFile(path)
    assert posted.done("e1/0") == {"c1"}
    posted.close()


def test_tenants_have_a_file_each_whatever_they_are_called(tmp_path: Path) -> None:
    """A tenant called like the hexadecimal digits of another's name shared its file: each forgot the other's posts."""
    names = ["é", "c3a9", "acme", "Acme", "a/../b", "", ".", "x" * 5000, "y" * 300, "\ud800"]
    paths = [posted_path(tmp_path, "bridge", name) for name in names]
    assert len({str(path).casefold() for path in paths}) == len(names)
    for path in paths:
        assert path.parent == tmp_path
        PostedFile(path).close()
