"""A team's Lambda packages: read, and looked at for what the local AWS can run. until phase 3

AWS Lambda developer guide, "Working with .zip file archives" (Python) and "Deploy Node.js Lambda functions with .zip
file archives": a package is a zip whose root holds the handler's module.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from migrate.archives import CANNOT_UNPACK
from migrate.errors import UsageError

__all__ = ["Package", "handler_of", "read_package", "read_packages", "runtime_of"]

MOST_BYTES = 50_000_000
"""Of a zip that CreateFunction takes directly (Lambda quotes 50 MB)."""
MOST_UNZIPPED = 250 << 20
"""Of all that is in it (Lambda developer guide, "Lambda quotas": 250 MB unzipped). A small zip may hold much more."""
LOOKED_AT_BYTES = 1_000_000
_SKIPPED = {"__pycache__", ".git", ".venv", ".DS_Store"}
# Where other people's code is: what it could call says nothing of what this function calls.
_FOREIGN = {"node_modules", "site-packages", "boto3", "botocore", "python"}
_CODE = {".py", ".js", ".mjs", ".cjs"}
_PYTHON = re.compile(r"""\b(?:client|resource)\(\s*["']([a-z0-9-]+)["']""")
_NODE = re.compile(r"""["']@aws-sdk/client-([a-z0-9-]+)["']""")
_PYTHON_HANDLER = re.compile(r"^(?:async\s+)?def\s+(lambda_handler|handler|main)\s*\(", re.MULTILINE)
_NODE_HANDLER = re.compile(r"\bexports\.(\w+)\s*=|^export\s+(?:const|async\s+function|function)\s+(\w+)", re.MULTILINE)
_USUAL = ("handler", "lambda_handler", "main")


@dataclass(frozen=True)
class Package:
    """One function's package.

    Args:
        code: the zip.
        sources: text of the team's own code, by path in the zip.
    """

    path: str
    code: bytes
    sources: Mapping[str, str]

    @property
    def services(self) -> tuple[str, ...]:
        """AWS services that the code names, as its SDK calls them."""
        found = {
            name for text in self.sources.values() for pattern in (_PYTHON, _NODE) for name in pattern.findall(text)
        }
        return tuple(sorted(found))


def read_packages(given: list[str]) -> dict[str, Package]:
    """Packages by function, from `NAME=PATH`. Raises: UsageError."""
    found: dict[str, Package] = {}
    for one in given:
        name, is_pair, path = one.partition("=")
        if not is_pair or not name or not path:
            raise UsageError(f"--package {one} is not NAME=PATH", "the function's name, and its zip or directory")
        if name in found:
            raise UsageError(f"--package names {name} twice", "give each function one package")
        found[name] = read_package(Path(path))
    return found


def read_package(path: Path) -> Package:
    """A zip, or a directory that becomes one. Raises: UsageError: it is neither, or too large."""
    try:
        if not path.is_dir():
            # Before it is read: it may be a disk's image, or have no end.
            _check_size(path, path.stat().st_size, MOST_BYTES)
            if not path.is_file():
                raise UsageError(f"{path} is no file", "give what you upload to Lambda, or its directory")
        code = _zipped(path) if path.is_dir() else path.read_bytes()
        _check_size(path, len(code), MOST_BYTES)
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            _check_size(path, sum(entry.file_size for entry in archive.infolist()), MOST_UNZIPPED, " unzipped")
            sources = dict(_sources(archive))
    except FileNotFoundError:
        raise UsageError(f"there is no package {path}", "a zip, or a directory with what the zip would hold") from None
    except zipfile.BadZipFile:
        raise UsageError(f"{path} is no zip", "give what you upload to Lambda, or its directory") from None
    except CANNOT_UNPACK:
        raise UsageError(f"{path} cannot be unpacked", "give what you upload to Lambda, or its directory") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a zip or a directory") from None
    return Package(str(path), code, sources)


def _check_size(path: Path, size: int, most: int, what: str = "") -> None:
    if size > most:
        raise UsageError(
            f"{path} is {size / 1e6:,.0f} MB{what}, and a package may have {most / 1e6:.0f} MB",
            "leave out what the function does not need",
        )


def runtime_of(package: Package) -> str:
    """The runtime that the code speaks for; "" when nothing does."""
    kinds = {PurePosixPath(name).suffix for name in package.sources}
    if ".py" in kinds:
        return f"python{sys.version_info.major}.{sys.version_info.minor}"
    return "nodejs20.x" if kinds & {".js", ".mjs", ".cjs"} else ""


def handler_of(package: Package, runtime: str) -> str:
    """The only thing in the package's root that looks like a handler; "" when none or several do."""
    pattern = _PYTHON_HANDLER if runtime.startswith("python") else _NODE_HANDLER
    endings = {".py"} if runtime.startswith("python") else {".js", ".mjs", ".cjs"}
    found = []
    for name, text in package.sources.items():
        path = PurePosixPath(name)
        if len(path.parts) == 1 and path.suffix in endings:
            names = {
                next(filter(None, match)) if isinstance(match, tuple) else match for match in pattern.findall(text)
            }
            found += [f"{path.stem}.{one}" for one in _USUAL if one in names][:1]
    return found[0] if len(found) == 1 else ""


def _zipped(folder: Path) -> bytes:
    buffer, size = io.BytesIO(), 0
    # Not strict: builds that are the same every time have files of 1970.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not _SKIPPED & set(name.parts):
                size += path.stat().st_size
                _check_size(folder, size, MOST_UNZIPPED, " or more unzipped")
                archive.write(path, name.as_posix())
    return buffer.getvalue()


def _sources(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        if path.suffix in _CODE and not _FOREIGN & set(path.parts) and entry.file_size <= LOOKED_AT_BYTES:
            yield entry.filename, archive.read(entry).decode("utf-8", errors="replace")
