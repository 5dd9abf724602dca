"""Which interpreter runs a function, and the packages that AWS's runtime ships with it. until phase 3

A worker sees its own zip, its layers and this folder of links, not our environment: a package that is missing from
the zip is missing here as it is on AWS. Python's standard runtimes ship the runtime client, boto3 and what boto3
needs (AWS Lambda developer guide, "Building Lambda functions with Python", "Runtime-included SDK versions").
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Interpreter", "Interpreters", "build_runtime_site"]

_DISTRIBUTIONS = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"),
)
_PROBE_S = 10.0


def build_runtime_site(folder: Path) -> Path:
    """Fill `folder` with links to the packages of AWS's Python runtime, as installed in our environment."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in _DISTRIBUTIONS:
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return folder


@dataclass(frozen=True)
class Interpreter:
    """A program that runs functions, and what is not as the function asked for (or None)."""

    program: str
    version: str
    """`3.12` of Python, `20` of Node.js."""
    warning: str | None = None


class Interpreters:
    """Finds and remembers the interpreter of each runtime."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._found: dict[str, Interpreter] = {}

    async def find(self, runtime: str) -> Interpreter:
        """The interpreter for `python3.12`, `nodejs20.x`…

        Raises: FileNotFoundError: Node.js is not installed.
        """
        if runtime not in self._found:
            is_node = runtime.startswith("nodejs")
            self._found[runtime] = await (self._node(runtime) if is_node else self._python(runtime))
        return self._found[runtime]

    async def _python(self, runtime: str) -> Interpreter:
        wanted = runtime.removeprefix("python")
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        if wanted == ours:
            return Interpreter(sys.executable, ours)
        program = shutil.which(runtime)
        if program is not None:
            # The compiled parts of the runtime client exist for the Python version of our environment only.
            probe = "import sys; sys.path.insert(0, sys.argv[1]); import runtime_client, simplejson, boto3"
            if await _output(program, "-I", "-S", "-c", probe, str(self._site)) is not None:
                return Interpreter(program, wanted)
        reason = "is not installed" if program is None else "cannot load AWS's runtime client"
        return Interpreter(sys.executable, ours, f"{runtime} {reason} here: running with Python {ours}")

    async def _node(self, runtime: str) -> Interpreter:
        wanted = runtime.removeprefix("nodejs").removesuffix(".x")
        program = shutil.which("node")
        version = await _output(program, "--version") if program else None
        if program is None or version is None:
            raise FileNotFoundError(f"{runtime} needs Node.js (`node` on the PATH)")
        major = version.strip().removeprefix("v").split(".")[0]
        warning = None if major == wanted else f"{runtime} is not installed here: running with Node.js {major}"
        return Interpreter(program, major, warning)


async def _output(*argv: str) -> str | None:
    """A program's standard output, or None when it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_PROBE_S):
            stdout, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return stdout.decode("utf-8", "replace") if process.returncode == 0 else None
