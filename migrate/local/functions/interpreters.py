"""Which interpreter runs a function. until phase 3

A function runs on the version that its Runtime names, if one is on this machine; else on our own, and its log says so.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from migrate.local.functions.runtime_site import make_site, output_of

__all__ = ["Interpreter", "Interpreters", "candidates"]

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
# The program itself: pyenv's shims depend on a HOME and a PATH that workers do not have.
_WHO = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


@dataclass(frozen=True)
class Interpreter:
    """A program that runs functions."""

    program: str
    version: str
    """`3.12` of Python, `20` of Node.js."""
    site: Path | None = None
    """Packages of AWS's Python runtime for it."""
    warning: str | None = None
    """What is not as the function asked for."""


class Interpreters:
    """Finds and remembers the interpreter of each runtime.

    Args:
        site: packages of AWS's runtime for our own version.
        sites: where those for other versions are kept; each is made when a function first needs it.
    """

    def __init__(self, site: Path, sites: Path) -> None:
        self._site = site
        self._sites = sites
        self._found: dict[str, Interpreter] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, runtime: str) -> Interpreter:
        """The interpreter for `python3.12`, `nodejs20.x`…

        Raises: FileNotFoundError: Node.js is not installed.
        """
        async with self._locks.setdefault(runtime, asyncio.Lock()):
            if runtime not in self._found:
                is_node = runtime.startswith("nodejs")
                self._found[runtime] = await (self._node(runtime) if is_node else self._python(runtime))
        return self._found[runtime]

    async def _python(self, runtime: str) -> Interpreter:
        wanted = runtime.removeprefix("python")
        if wanted == OURS:
            return Interpreter(sys.executable, OURS, self._site)
        reason = "is not installed"
        for candidate in candidates(runtime):
            version, _, program = (await output_of(str(candidate), "-I", "-S", "-c", _WHO) or "").strip().partition(" ")
            if version != wanted:
                continue
            site = await make_site(program, wanted, self._sites)
            if site is not None:
                return Interpreter(program, wanted, site)
            reason = "has no packages of AWS's runtime (is there a network?)"
            break
        warning = f"{runtime} {reason} here: running with Python {OURS}"
        return Interpreter(sys.executable, OURS, self._site, warning)

    async def _node(self, runtime: str) -> Interpreter:
        wanted = runtime.removeprefix("nodejs").removesuffix(".x")
        program = shutil.which("node")
        version = await output_of(program, "--version") if program else None
        if program is None or version is None:
            raise FileNotFoundError(f"{runtime} needs Node.js (`node` on the PATH)")
        major = version.strip().removeprefix("v").split(".")[0]
        warning = None if major == wanted else f"{runtime} is not installed here: running with Node.js {major}"
        return Interpreter(program, major, None, warning)


def candidates(runtime: str) -> list[Path]:
    """Programs called `python3.12` (or whatever): on the PATH, then those that pyenv or uv keep, the newest first.

    Both keep each version in a folder of its own, ours among them when it came from there.
    """
    found = [Path(folder) / runtime for folder in os.get_exec_path()]
    own = Path(sys.base_prefix).parent
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for versions in dict.fromkeys((own, pyenv)):
        if versions.name:  # not the root of the file system, where a Python of the system's has its siblings
            found += sorted(versions.glob(f"*/bin/{runtime}"), key=_numbers, reverse=True)
    return [path for path in dict.fromkeys(found) if os.access(path, os.X_OK)]


def _numbers(path: Path) -> list[int]:
    """3.12.10 comes after 3.12.9."""
    return [int(number) for number in re.findall(r"\d+", path.parts[-3])]
