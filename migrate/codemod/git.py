"""Whether a rewrite can be taken back with git. until phase 3"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["foreign_changes", "repository_of"]


def repository_of(path: Path) -> Path | None:
    """The root of the repository that a path is in, or None."""
    start = path.absolute() if path.is_dir() else path.absolute().parent
    done = _git(start, "rev-parse", "--show-toplevel")
    return Path(done.decode().rstrip("\n")) if done is not None else None


def foreign_changes(root: Path, to_write: Iterable[Path], rewritten: Callable[[Path, bytes], bytes]) -> list[str]:
    """Changes that are not committed and not ours.

    A file is ours when it is what the committed one becomes by rewriting: what an interrupted run has written so far
    does not keep the next one from going on.

    Args:
        to_write: files about to be written; one that git does not know could not be taken back.
        rewritten: what the bytes of a file become.
    """
    status = _git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames") or b""
    wanted = {path.resolve() for path in to_write}
    found = []
    for entry in status.split(b"\0"):
        if not entry:
            continue
        state, name = entry[:2].decode(), entry[3:].decode("utf-8", "surrogateescape")
        path = root / name
        if state == "??":
            if path.resolve() in wanted:
                found.append(name)
            continue
        committed = _git(root, "show", f"HEAD:{name}") if state == " M" else None
        if committed is None or not _same(path, committed, rewritten):
            found.append(name)
    return found


def _same(path: Path, committed: bytes, rewritten: Callable[[Path, bytes], bytes]) -> bool:
    try:
        return path.read_bytes() == rewritten(path, committed)
    except (OSError, ValueError):
        return False


def _git(directory: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
