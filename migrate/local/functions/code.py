"""Code and layers of functions, unpacked once by their hash in the state folder. until phase 3"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from migrate.archives import CANNOT_UNPACK
from migrate.local.functions.configuration import FunctionConfig
from migrate.local.functions.control_plane import ControlPlane
from migrate.local.functions.reference import FunctionRef

__all__ = ["CodeMismatchError", "CodeStore", "unpack"]

KEPT = 60
"""Unpacked archives that survive a start; older ones are deleted."""


class CodeMismatchError(Exception):
    """The control plane's zip is not the one its CodeSha256 names."""


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack a zip with the permissions and symbolic links in it; nothing may land outside of `folder`.

    Links come last, so that no file is written over one, and are looked at when all are there: each alone may lead to
    a place inside, and together out of it. Raises: zipfile.BadZipFile.
    """
    try:
        _unpack(archive, folder)
    except CANNOT_UNPACK as error:
        raise zipfile.BadZipFile(f"it cannot be unpacked: {error}") from error


def _unpack(archive: bytes, folder: Path) -> None:
    root = folder.resolve()
    links = []
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        for info in content.infolist():
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                links.append((Path(info.filename), content.read(info).decode()))
                continue
            # extract() itself removes "..", drive letters and leading slashes.
            path = Path(content.extract(info, root))
            if not info.is_dir() and mode & 0o777:
                path.chmod(mode & 0o777)
    for name, target in links:
        _link(name, target, root)
    for name, _ in links:
        _check(root / name, name, root)


def _link(name: Path, target: str, root: Path) -> None:
    place = root / name
    if ".." in name.parts or name.is_absolute():
        raise zipfile.BadZipFile(f"the link {name} leads out of the archive")
    _check(place.parent, name, root)
    _check(place.parent / target, name, root)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    except (FileExistsError, NotADirectoryError):
        raise zipfile.BadZipFile(f"{name} is there twice") from None


def _check(place: Path, name: Path, root: Path) -> None:
    try:
        found = place.resolve()
    except (OSError, RuntimeError):  # a circle
        raise zipfile.BadZipFile(f"the link {name} leads nowhere") from None
    if not found.is_relative_to(root):
        raise zipfile.BadZipFile(f"the link {name} leads out of the archive")


class CodeStore:
    """Folders with the code of functions and layers, by hash."""

    def __init__(self, folder: Path, control_plane: ControlPlane) -> None:
        self._folder = folder
        self._control_plane = control_plane
        self._locks: dict[str, asyncio.Lock] = {}
        self._layers: dict[str, Path] = {}

    def start(self) -> None:
        """Make the folder and delete all but the most recently used archives."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = sorted(self._folder.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
        for index, old in enumerate(known):
            if index >= KEPT or old.name.startswith("."):
                shutil.rmtree(old, ignore_errors=True)

    async def code(self, ref: FunctionRef, config: FunctionConfig) -> Path:
        """The folder with a function's code.

        Raises: CodeMismatchError, ControlPlaneError, zipfile.BadZipFile.
        """
        return await self._get(config.code_key, lambda: self._control_plane.code(ref, config.version))

    async def layer(self, arn: str) -> Path:
        """The folder with a layer's content; a layer version never changes."""
        if arn not in self._layers:
            sha256, archive = await self._control_plane.layer(arn)

            async def fetched() -> bytes:
                return archive

            self._layers[arn] = await self._get(base64.b64decode(sha256).hex(), fetched)
        return self._layers[arn]

    async def _get(self, key: str, fetch: Callable[[], Awaitable[bytes]]) -> Path:
        folder = self._folder / key
        async with self._locks.setdefault(key, asyncio.Lock()):
            if folder.exists():
                os.utime(folder)
                return folder
            archive = await fetch()
            if hashlib.sha256(archive).hexdigest() != key:
                raise CodeMismatchError(f"the code fetched is not the one with SHA-256 {key}")
            await asyncio.get_running_loop().run_in_executor(None, _unpack_at, archive, folder)
        return folder


def _unpack_at(archive: bytes, folder: Path) -> None:
    """Unpack beside the place and move: a folder with the final name is complete."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    unpack(archive, partial)
    partial.rename(folder)
