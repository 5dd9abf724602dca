"""Exports: what was cut off never counts, what was changed is found, on disk and in S3 (MG11). until phase 3"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from migrate.errors import GateClosedError, UsageError
from migrate.tables.dynamojson import canonical, decode, encode
from migrate.tables.export import DiskExport, S3Export, pages_of

from .conftest import REGION, Bench, connection

Make = Callable[..., Bench]
ITEM: dict[str, Any] = {
    "b": {"B": b"\x00\xff"},
    "bs": {"BS": [b"b", b"a"]},
    "n": {"N": "1.50"},
    "m": {"M": {"SS": {"SS": ["b", "a"]}, "l": {"L": [{"NULL": True}, {"BOOL": False}]}}},
    "t": {"S": "\u2028\n\x00é"},
}


def records(place: Path, job: str = "job") -> list[Any]:
    return [record for page in pages_of(place, job, lambda: None) for record in page.records]


def write(folder: Path, run: str, *pages: list[dict[str, Any]]) -> Path:
    export = DiskExport(folder / "exports" / "job", run)
    for page in pages:
        export.write(3, page)
    export.close()
    return folder / "exports" / "job" / f"00003-{run}.jsonl.gz"


def test_an_item_comes_back_byte_for_byte() -> None:
    back = decode(json.loads(json.dumps(encode(ITEM))))
    assert back == {**ITEM, "bs": {"BS": [b"a", b"b"]}, "m": {"M": {**ITEM["m"]["M"], "SS": {"SS": ["a", "b"]}}}}
    assert canonical(back) == canonical(ITEM)


def test_pages_come_back_the_newest_run_first(tmp_path: Path) -> None:
    write(tmp_path, "1", [{"n": 1}], [{"n": 2, "t": "\u2028\u0085"}])
    write(tmp_path, "2", [{"n": 3}])
    assert [one["n"] for one in records(tmp_path)] == [3, 1, 2]
    manifest = json.loads((tmp_path / "exports/job/MANIFEST.json").read_text())
    assert manifest["files"]["00003-1.jsonl.gz"]["records"] == 2


@pytest.mark.parametrize("tail", [b"\x1f\x8b\x08", b"rubbish", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x4b"])
def test_a_page_that_was_cut_off_does_not_count(tmp_path: Path, tail: bytes) -> None:
    """MG11: kill -9 while a page is written: nothing of that page was deleted."""
    file = write(tmp_path, "1", [{"n": 1}])
    with file.open("ab") as opened:
        opened.write(tail)
    pages = list(pages_of(tmp_path, "job", lambda: None))
    assert [one["n"] for page in pages for one in page.records] == [1]
    assert any("cut off" in page.problem for page in pages)
    (tmp_path / "exports/job/00004-9.jsonl.gz").write_bytes(tail)
    assert any("before its first page" in page.problem for page in pages_of(tmp_path, "job", lambda: None))


def test_what_was_changed_or_lost_is_found(tmp_path: Path) -> None:
    file = write(tmp_path, "1", [{"n": 1}], [{"n": 2}])
    data = file.read_bytes()
    for changed in (data[:-5], data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        file.write_bytes(changed)
        with pytest.raises(GateClosedError, match="digest"):
            records(tmp_path)
    file.unlink()
    with pytest.raises(GateClosedError, match="missing"):
        records(tmp_path)
    with pytest.raises(UsageError, match="no export"):
        records(tmp_path, "another")


def test_s3(dynamodb: Any) -> None:
    s3 = boto3.client("s3", REGION)
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
    S3Export(s3, "s3://kept/a/exports/job", "1").write(0, [{"n": 1}])
    newer = S3Export(s3, "s3://kept/a/exports/job", "2")
    newer.write(0, [{"n": 2}])
    newer.write(1, [{"n": 3}])
    found = [record["n"] for page in pages_of("s3://kept/a", "job", lambda: s3) for record in page.records]
    assert sorted(found[:2]) == [2, 3]
    assert found[2] == 1
    name = s3.list_objects_v2(Bucket="kept")["Contents"][0]["Key"]
    meta = s3.head_object(Bucket="kept", Key=name)["Metadata"]
    s3.put_object(Bucket="kept", Key=name, Body=b"other", Metadata=meta)
    with pytest.raises(GateClosedError, match="digest"):
        list(pages_of("s3://kept/a", "job", lambda: s3))


def test_nothing_is_deleted_when_the_export_cannot_be_written(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG11: a full disk ends the sweep before the first deletion."""
    table = bench(key="id")
    table.put({"id": {"S": connection("gone")}})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DiskExport, "write", full)
    with pytest.raises(OSError, match="space"):
        table.sweep()
    assert len(table.items()) == 1
