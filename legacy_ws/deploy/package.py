"""The zip that Lambda runs: legacy_ws's runtime modules and PyJWT, pure Python, the same bytes every time.
until phase 3

boto3 is not in it: AWS's Python runtimes bring it along (Lambda developer guide, "Building Lambda functions
with Python").
"""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path

from legacy_ws.errors import UsageError

__all__ = ["build_zip"]

_PACKAGE = Path(__file__).resolve().parent.parent
_NOT_AT_RUNTIME = {"cli", "deploy"}
# The first moment that a zip can express: the bytes must not depend on when they were made.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_zip() -> bytes:
    """The package as bytes. Raises: UsageError: PyJWT is not installed here."""
    files = _own_files() | _jwt_files()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16  # Lambda's user must be able to read it
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def _own_files() -> dict[str, bytes]:
    files = {}
    for path in _PACKAGE.rglob("*.py"):
        inside = path.relative_to(_PACKAGE)
        if inside.parts[0] not in _NOT_AT_RUNTIME:
            files[f"{_PACKAGE.name}/{inside.as_posix()}"] = path.read_bytes()
    return files


def _jwt_files() -> dict[str, bytes]:
    try:
        distribution = importlib.metadata.distribution("pyjwt")
    except importlib.metadata.PackageNotFoundError:
        raise UsageError("PyJWT is not installed", "install it: pip install pyjwt") from None
    files = {}
    for entry in distribution.files or []:
        path = entry.as_posix()
        # The licence travels with the code it covers.
        if (path.startswith("jwt/") and path.endswith(".py")) or entry.name.upper().startswith("LICENSE"):
            files[path] = Path(str(entry.locate())).read_bytes()
    return files
