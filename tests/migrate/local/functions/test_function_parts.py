"""The pure parts of Lambda execution: names, configuration, environment, log readers, messages, archives.
until phase 3
"""

import base64
import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from migrate.local.functions import service
from migrate.local.functions.code import unpack
from migrate.local.functions.configuration import UnsupportedRuntimeError, environment, parse_function
from migrate.local.functions.logs import FrameReader, LineReader, PlatformBudget
from migrate.local.functions.messages import exit_reason, iso, report, timed_out, with_request_id
from migrate.local.functions.reference import FunctionRef, parse_reference
from migrate.local.functions.service import LocalFunctions

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:chat"
ANSWER = {
    "Configuration": {
        "FunctionName": "chat",
        "FunctionArn": ARN,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Timeout": 7,
        "MemorySize": 256,
        "CodeSha256": base64.b64encode(b"\x01" * 32).decode(),
        "Version": "$LATEST",
        "Environment": {"Variables": {"A": "1", "AWS_REGION": "nowhere", "LANG": "C"}},
        "Layers": [{"Arn": "arn:aws:lambda:eu-west-1:123456789012:layer:l:1"}],
        "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "/mine"},
    },
    "Concurrency": {"ReservedConcurrentExecutions": 3},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chat", FunctionRef("000000000000", "r", "chat")),
        ("chat:live", FunctionRef("000000000000", "r", "chat", "live")),
        ("chat:$LATEST", FunctionRef("000000000000", "r", "chat", "$LATEST")),
        ("123456789012:function:chat", FunctionRef("123456789012", "r", "chat")),
        (ARN, FunctionRef("123456789012", "eu-west-1", "chat")),
        (ARN + ":7", FunctionRef("123456789012", "eu-west-1", "chat", "7")),
        ("", None),
        ("a b", None),
        ("arn:aws:sqs:eu-west-1:123456789012:chat", None),
        ("x" * 65, None),
    ],
)
def test_function_names(text: str, expected: FunctionRef | None) -> None:
    assert parse_reference(text, account="000000000000", region="r") == expected


def test_qualifier_of_the_query_and_of_the_name() -> None:
    assert parse_reference("chat", account="0", region="r", qualifier="7") == FunctionRef("0", "r", "chat", "7")
    assert parse_reference("chat:8", account="0", region="r", qualifier="7") is None


def test_fingerprint_changes_with_what_needs_new_workers_only() -> None:
    config = parse_function(ANSWER)
    assert (config.timeout_s, config.memory_mb, config.reserved_concurrency, config.log_group) == (7.0, 256, 3, "/mine")
    assert parse_function(ANSWER | {"Concurrency": {}}).fingerprint == config.fingerprint
    changed = ANSWER | {"Configuration": ANSWER["Configuration"] | {"Timeout": 8}}
    assert parse_function(changed).fingerprint != config.fingerprint
    qualified = ANSWER | {"Configuration": ANSWER["Configuration"] | {"FunctionArn": ARN + ":live"}}
    assert parse_function(qualified).arn == ARN


def test_images_and_other_runtimes_are_refused() -> None:
    for change in ({"Runtime": "java21"}, {"PackageType": "Image"}):
        with pytest.raises(UnsupportedRuntimeError):
            parse_function({"Configuration": ANSWER["Configuration"] | change})


def test_reserved_variables_win_and_the_others_do_not() -> None:
    result = environment(
        parse_function(ANSWER),
        region="eu-west-1",
        runtime_api="127.0.0.1:9",
        log_stream="s",
        task_root=Path("/code"),
        runtime_dir=Path("/runtime"),
        layer_dirs=(Path("/layer"),),
        home=Path("/none"),
        endpoint_url="http://127.0.0.1:1",
        ca_bundle=None,
    )
    assert (result["AWS_REGION"], result["LANG"], result["A"]) == ("eu-west-1", "C", "1")
    assert result["AWS_ACCESS_KEY_ID"] == "123456789012"
    assert (result["AWS_LAMBDA_LOG_FORMAT"], result["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "DEBUG")
    assert "AWS_CA_BUNDLE" not in result


def test_lines_arrive_in_pieces() -> None:
    reader = LineReader()
    assert reader.feed(b"on") == []
    assert reader.feed(b"e\n\ntw\xc3") == ["one"]
    assert reader.feed(b"\xbc\rthree\nfour") == ["twü\nthree"]
    assert reader.end() == ["four"]
    assert reader.end() == []


def test_frames_arrive_in_pieces_and_garbage_is_kept() -> None:
    reader = FrameReader()
    frame = b"\xa5\x5a\x00\x03" + (5).to_bytes(4, "big") + (0).to_bytes(8, "big") + b"a\nb\n\n"
    assert reader.feed(frame[:7]) == []
    assert reader.feed(frame[7:] + frame) == ["a\nb", "a\nb"]
    assert reader.feed(b"this is no frame at all") == ["this is no frame at all"]
    assert reader.feed(b"\xa5\x5a\x00\x03\xff\xff\xff\xff" + b"\0" * 8) != []
    assert reader.feed(frame) == ["a\nb"]


def test_platform_budget_fills_up_again() -> None:
    budget = PlatformBudget(burst=2, per_s=1.0)
    assert [budget.take(10.0) for _ in range(3)] == [True, True, False]
    assert budget.take(11.5)
    assert not budget.take(11.6)
    assert budget.left_out == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "Runtime exited without providing a reason"),
        (3, "Runtime exited with error: exit status 3"),
        (-9, "Runtime exited with error: signal: killed"),
        (-11, "Runtime exited with error: signal: segmentation fault"),
        (-99, "Runtime exited with error: signal: 99"),
    ],
)
def test_how_a_runtime_ended(status: int, words: str) -> None:
    assert exit_reason(status) == words


def test_words_of_reports() -> None:
    assert iso(1718700020.1234) == "2024-06-18T08:40:20.123Z"
    line = report("r", duration_ms=1.234, memory_mb=128, used_mb=40, init_ms=None, error="timeout")
    assert line == (
        "REPORT RequestId: r\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 40 MB\tStatus: timeout\t"
    )
    assert timed_out("r", 3, 0.0)[1] == "1970-01-01T00:00:00.000Z r Task timed out after 3.00 seconds"
    assert with_request_id(b'{"requestId": ""}', "r") == b'{"requestId": "r"}'
    assert with_request_id(b"no json", "r") == b"no json"


def archive(*entries: tuple[str, str, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, text)
    return buffer.getvalue()


def test_archive_keeps_permissions_and_links(tmp_path: Path) -> None:
    link = stat.S_IFLNK | 0o777
    unpack(archive(("bin/run", "x", stat.S_IFREG | 0o755), ("lib/run", "../bin/run", link)), tmp_path)
    assert (tmp_path / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "lib/run").read_text() == "x"


def test_archive_cannot_write_outside(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    unpack(archive(("../evil", "x", 0), ("/evil", "x", 0)), folder)
    assert [p.name for p in tmp_path.iterdir()] == ["inside"]
    for name, target in (("a", "../../etc"), ("../b", "x"), ("c", "/etc/passwd")):
        with pytest.raises(zipfile.BadZipFile):
            unpack(archive((name, target, stat.S_IFLNK | 0o777)), folder)


@pytest.mark.parametrize(
    "links",
    [
        # The way to the second leads over the first, to a place that is not as deep as its name says.
        [("p/q/r", "../../"), ("p/q/r/t", "../..")],
        # What the first leads over is another thing once the second is there.
        [("a/l", "x/../.."), ("a/x", "..")],
    ],
)
def test_links_cannot_lead_out_together(tmp_path: Path, links: list[tuple[str, str]]) -> None:
    folder = tmp_path / "outer" / "inside"
    folder.mkdir(parents=True)
    entries = [(name, target, stat.S_IFLNK | 0o777) for name, target in links]
    with pytest.raises(zipfile.BadZipFile):
        unpack(archive(*entries, ("t/evil", "x", 0)), folder)
    assert not [path for path in tmp_path.rglob("evil") if not path.resolve().is_relative_to(folder)]


def test_what_is_a_file_and_a_link_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(zipfile.BadZipFile, match="twice"):
        unpack(archive(("a", ".", stat.S_IFLNK | 0o777), ("a/b", "x", 0)), tmp_path)


def test_an_archive_with_a_password_is_none(tmp_path: Path) -> None:
    data = bytearray(archive(("a", "x", 0)))
    for begin, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(begin) + at] |= 1
    with pytest.raises(zipfile.BadZipFile, match="cannot be unpacked"):
        unpack(bytes(data), tmp_path)


async def test_why_a_function_cannot_be_run_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who connects through the gateway hears no more than 502."""
    functions = LocalFunctions("http://127.0.0.1:1", "", tmp_path, None, "eu-west-1")
    ref = FunctionRef("000000000000", "eu-west-1", "hall")

    async def entry(_: FunctionRef) -> Any:
        raise service._UnavailableError("Local.CodeUnavailable", "the link t leads out of the archive")

    monkeypatch.setattr(functions, "_entry", entry)
    for _ in range(3):
        assert (await functions.run(ref, b"{}", timeout_s=1.0))[0] is None
    said = [record.getMessage() for record in caplog.records]
    assert said == ["hall cannot be run here: the link t leads out of the archive"]
