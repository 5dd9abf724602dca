"""The packages that AWS's Python runtime ships, for one version of Python. until phase 3

A worker sees its own zip, its layers and this folder, not our environment: a package that is missing from the zip is
missing here as it is on AWS. Python's standard runtimes ship the runtime client, boto3 and what boto3 needs (AWS Lambda
developer guide, "Building Lambda functions with Python", "Runtime-included SDK versions").

For the version of our own environment the folder holds links into it. The runtime client has a compiled part, so every
other version gets a folder of its own with the same releases, checked against the hashes of the project's lock file.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import sys
from pathlib import Path

__all__ = ["build_runtime_site", "make_site", "output_of", "requirements"]

log = logging.getLogger(__name__)

_DISTRIBUTIONS = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"),
)
_LOCK_FILE = Path(__file__).parents[3] / "requirements.lock"
_PROBE_S = 10.0
_MAKE_S = 60.0
# A laptop without a network must not wait for it for long; both are uv's own settings and yield to the user's.
_UV_PATIENCE = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}
_LOADS = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib.util, runtime_client, simplejson
assert all(importlib.util.find_spec(name) for name in ("awslambdaric", "boto3", "botocore"))
"""


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


async def make_site(program: str, version: str, parent: Path) -> Path | None:
    """The folder with the packages for `program`, a Python `version`; made below `parent` unless it is there.

    Returns None when it cannot be made: no installer, no network, no package for this version. The folder appears
    under its name only when complete.
    """
    wanted = requirements(_LOCK_FILE)
    site = parent / f"python{version}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if site.exists() and await _loads(program, site):
        return site
    partial = parent / f".{site.name}.{os.getpid()}"
    listed = parent / f"{partial.name}.txt"
    await asyncio.get_running_loop().run_in_executor(None, _prepare, parent, version, listed, wanted)
    try:
        async with asyncio.timeout(_MAKE_S):
            for command in _installers(program, version, partial, listed, "--hash=" in wanted):
                shutil.rmtree(partial, ignore_errors=True)
                if await output_of(*command, seconds=_MAKE_S, more=_UV_PATIENCE) is None:
                    continue
                shutil.rmtree(partial / "bin", ignore_errors=True)
                if await _loads(program, partial):
                    partial.rename(site)
                    return site
    except TimeoutError:
        log.warning("the packages of AWS's runtime for Python %s were not there after %.0f s", version, _MAKE_S)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        listed.unlink(missing_ok=True)
    return None


def _prepare(parent: Path, version: str, listed: Path, wanted: str) -> None:
    """Make room: what is there for this version is of other releases, or of an attempt that was cut off."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"*python{version}-*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    listed.write_text(wanted, encoding="utf-8")


def requirements(lock_file: Path) -> str:
    """What to install, in pip's format: the releases of the lock file with their hashes, or without one the releases
    that our environment has.
    """
    try:
        lines = lock_file.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        lines = []
    taken: list[str] = []
    names: set[str] = set()
    name = ""
    for line in lines:
        if not line.startswith((" ", "#")):
            name = line.partition("==")[0].partition("[")[0].strip().lower()
        if name in _DISTRIBUTIONS:
            names.add(name)
            taken.append(line)
    if names == set(_DISTRIBUTIONS):
        return "".join(taken)
    return "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in _DISTRIBUTIONS)


def _installers(program: str, version: str, target: Path, listed: Path, hashes: bool) -> list[tuple[str, ...]]:
    """Commands that fill `target`, the quickest first: uv from its cache, uv, pip. Only built packages are taken."""
    what = ("-r", str(listed), "--target", str(target), "--no-deps", *(["--require-hashes"] if hashes else []))
    commands: list[tuple[str, ...]] = []
    beside_us = Path(sys.executable).with_name("uv")
    uv = str(beside_us) if beside_us.exists() else shutil.which("uv")
    if uv is not None:
        install = (uv, "pip", "install", "--quiet", "--python", program, "--no-build", *what)
        commands += [(*install, "--offline"), install]
    if importlib.util.find_spec("pip") is not None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile", "--retries", "1")
        commands.append((*pip, "--only-binary=:all:", "--implementation", "cp", "--python-version", version, *what))
    return commands


async def _loads(program: str, site: Path) -> bool:
    """Whether the interpreter can use the packages, above all the compiled part of the runtime client."""
    return await output_of(program, "-I", "-S", "-c", _LOADS, str(site)) is not None


async def output_of(*argv: str, seconds: float = _PROBE_S, more: dict[str, str] | None = None) -> str | None:
    """A program's standard output, or None when it cannot be started, fails or takes too long.

    Args:
        more: environment variables that count unless they are set.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**(more or {}), **os.environ},
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(seconds):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        log.debug("%s: %s", argv[0], stderr.decode("utf-8", "replace")[-2000:])
        return None
    return stdout.decode("utf-8", "replace")
