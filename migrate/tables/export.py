"""What is deleted, written where it survives before it is deleted. until phase 3 (MG11)

    {records}/exports/{job}/{segment}-{run}.jsonl.gz     a gzip member for every page: a cut file is readable to its
                                                         last whole page
    {records}/exports/{job}/MANIFEST.json                sha256, bytes and records of every file, as far as they count

On disk both are flushed with fsync before `write` returns; nothing behind what the manifest says was ever deleted.
In S3 every page is an object of its own, with its sha256 as checksum and in its metadata.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from migrate.errors import GateClosedError, UsageError

__all__ = ["DiskExport", "Export", "NoExportError", "Page", "S3Export", "export_of", "pages_of"]

MANIFEST = "MANIFEST.json"


class NoExportError(UsageError):
    """There is none of that name here."""


class Export(Protocol):
    """Where one run's records go."""

    def write(self, segment: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep a page of records for good. Raises: OSError, ClientError: it is not kept."""

    def close(self) -> None:
        """No more is written."""


@dataclass(frozen=True)
class Page:
    """Records of one page, verified.

    Args:
        source: file or object.
        problem: why what follows in that file does not count; then there are no records.
    """

    source: str
    records: tuple[dict[str, Any], ...] = ()
    problem: str = ""


def packed(records: Sequence[Mapping[str, Any]]) -> bytes:
    """One gzip member."""
    text = "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records)
    return gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=6, mtime=0)


def unpacked(data: bytes) -> tuple[dict[str, Any], ...]:
    """The records of whole members."""
    text = gzip.decompress(data).decode("utf-8", "surrogatepass")
    # Not splitlines: U+2028 and the like are no ends of lines here.
    return tuple(json.loads(line) for line in text.split("\n") if line)


class DiskExport:
    """Files of one run in a directory.

    Args:
        directory: of the job; made if it is missing.
        run: name of this run; sorts by time.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self.directory = directory
        self._run = run
        self._lock = threading.Lock()
        self._files: dict[int, tuple[IO[bytes], Any, dict[str, Any]]] = {}
        # People's rows, and functions with their environment: for their owner's eyes.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(directory.parent)

    def write(self, segment: int, records: Sequence[Mapping[str, Any]]) -> None:
        data = packed(records)
        with self._lock:
            known = segment in self._files
            if not known:
                opened = (self.directory / f"{segment:05d}-{self._run}.jsonl.gz").open("xb")
                host = socket.gethostname()
                self._files[segment] = (
                    opened,
                    hashlib.sha256(),
                    {"host": host, "bytes": 0, "records": 0, "sha256": ""},
                )
            file, digest, facts = self._files[segment]
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if not known:
                _sync_directory(self.directory)
            digest.update(data)
            facts["bytes"] += len(data)
            facts["records"] += len(records)
            facts["sha256"] = digest.hexdigest()
            _note(self.directory, {f"{segment:05d}-{self._run}.jsonl.gz": facts})

    def close(self) -> None:
        with self._lock:
            for file, _, _ in self._files.values():
                file.close()
            self._files.clear()


class S3Export:
    """Objects of one run below a prefix.

    Args:
        s3: boto3 client.
        place: s3://BUCKET/PREFIX of the job.
    """

    def __init__(self, s3: Any, place: str, run: str) -> None:
        self._s3, self._run = s3, run
        self._bucket, self._prefix = _split(place)
        self._lock = threading.Lock()
        self._numbers: dict[int, int] = {}

    def write(self, segment: int, records: Sequence[Mapping[str, Any]]) -> None:
        data = packed(records)
        with self._lock:
            number = self._numbers[segment] = self._numbers.get(segment, -1) + 1
        sha256 = hashlib.sha256(data)
        self._s3.put_object(
            Bucket=self._bucket,
            Key=f"{self._prefix}/{segment:05d}-{self._run}-{number:07d}.jsonl.gz",
            Body=data,
            ChecksumSHA256=base64.b64encode(sha256.digest()).decode("ascii"),
            Metadata={"sha256": sha256.hexdigest(), "records": str(len(records))},
        )

    def close(self) -> None:
        """Every object is whole already."""


def export_of(records: Path | str, job: str, run: str, s3: Any) -> Export:
    """The export of a job; `s3` makes the client, where one is needed."""
    if isinstance(records, str):
        return S3Export(s3(), f"{records}/exports/{job}", run)
    return DiskExport(records / "exports" / job, run)


def pages_of(records: Path | str, job: str, s3: Any) -> Iterator[Page]:
    """The pages of a job's export, those of the newest run first, each verified.

    Raises: NoExportError. GateClosedError: a file is not what the manifest says.
    """
    yield from (
        _s3_pages(s3(), f"{records}/exports/{job}")
        if isinstance(records, str)
        else _disk_pages(records / "exports" / job)
    )


def _disk_pages(directory: Path) -> Iterator[Page]:
    manifest = _manifest(directory)
    files = sorted(directory.glob("*.jsonl.gz"), key=lambda file: file.name.partition("-")[2], reverse=True)
    if not files and not manifest:
        raise NoExportError(f"there is no export in {directory}", "an export is on the machine that made it, or in S3")
    for name in manifest:
        if not (directory / name).exists():
            raise GateClosedError(f"{directory / name} is missing, and the manifest has it", "find it, then try again")
    for file in files:
        facts = manifest.get(file.name)
        if facts is None:
            yield Page(file.name, problem="cut off before its first page counted; nothing of it was deleted")
            continue
        size = file.stat().st_size
        if size < facts["bytes"] or _sha256(file, facts["bytes"]) != facts["sha256"]:
            raise GateClosedError(f"{file} is not what was written: its digest differs", "restore it from a backup")
        for member in _members(file, facts["bytes"]):
            yield Page(file.name, member)
        if size > facts["bytes"]:
            yield Page(file.name, problem="its last page was cut off; nothing of that page was deleted")


def _members(file: Path, length: int) -> Iterator[tuple[dict[str, Any], ...]]:
    """Records of a file in handfuls, of its first `length` bytes."""
    with file.open("rb") as raw:
        limited: Any = _Limited(raw, length)
        opened = gzip.GzipFile(fileobj=limited, mode="rb")
        handful = []
        for line in opened:
            handful.append(json.loads(line.decode("utf-8", "surrogatepass")))
            if len(handful) == 500:
                yield tuple(handful)
                handful = []
        if handful:
            yield tuple(handful)


class _Limited:
    """The first bytes of a file."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        self._left -= len(data)
        return data

    def seekable(self) -> bool:
        return False


def _s3_pages(s3: Any, place: str) -> Iterator[Page]:
    bucket, prefix = _split(place)
    names = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        names += [one["Key"] for one in page.get("Contents", ()) if one["Key"].endswith(".jsonl.gz")]
    if not names:
        raise NoExportError(f"there is no export below {place}", "check project.records and the job's name")
    for name in sorted(names, key=lambda one: one.rpartition("/")[2].partition("-")[2], reverse=True):
        answer = s3.get_object(Bucket=bucket, Key=name)
        data = answer["Body"].read()
        if hashlib.sha256(data).hexdigest() != answer["Metadata"].get("sha256"):
            raise GateClosedError(f"s3://{bucket}/{name} is not what was written: its digest differs", None)
        yield Page(name, unpacked(data))


def _split(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


def _sha256(file: Path, length: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while length > 0 and (data := opened.read(min(length, 1 << 20))):
            digest.update(data)
            length -= len(data)
    return digest.hexdigest()


def _manifest(directory: Path) -> dict[str, dict[str, Any]]:
    try:
        read = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    files: dict[str, dict[str, Any]] = read["files"]
    return files


def _note(directory: Path, changed: Mapping[str, Mapping[str, Any]]) -> None:
    """Change the manifest in one step; several processes may share the directory."""
    with (directory / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = {**_manifest(directory), **changed}
        new = directory / f".{MANIFEST}.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump({"schema": 1, "files": files}, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        new.replace(directory / MANIFEST)
        _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
