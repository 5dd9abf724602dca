"""`migrate scan` as it is called: formats, exit codes, the gate. until phase 3 (MG3, WL10)"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.redact import redact
from migrate.scan.rules import RULES

from .conftest import MakeTree

FILES: dict[str, str | bytes] = {
    "src/a.js": "const t = 'x';\nnew WebSocket(`wss://chat.example.com/?token=abcdef123456`);\n",
    "src/b.js": "new WebSocket('wss://ws.kraken.com');\n",
    "infra/main.tf": 'resource "aws_apigatewayv2_api" "a" {\n  protocol_type = "WEBSOCKET"\n}\n',
}


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["scan", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_text(tree: MakeTree) -> None:
    """A line a finding on stdout, sockets of others apart, counts on stderr."""
    tree(FILES)
    code, out, err = run(".")
    assert code == 0
    assert out.splitlines() == [
        'infra/main.tf:1:1: gateway tf-api (high) resource "aws_apigatewayv2_api" "a"',
        "src/a.js:2:1: client js-websocket (high, goes to wss://chat.example.com/?token=[redacted]) "
        "new WebSocket(`wss://chat.example.com/?token=[redacted]`)",
        "to other services, nothing to do:",
        "src/b.js:1:1: client js-websocket (high, other: wss://ws.kraken.com) new WebSocket('wss://ws.kraken.com')",
    ]
    assert "2 uses of WebSocket: 1 client, 1 gateway" in err


def test_an_api_of_another_id_is_a_use_to_look_at_with_its_reconnect_logic(tree: MakeTree) -> None:
    """An older or a staging API of the same stack is no other service: listed as a use, with its reason, and gated."""
    socket = "const ws = new WebSocket('wss://abc.execute-api.eu-west-1.amazonaws.com/prod');\n"
    tree({
        "migrate.toml": '[api]\nid = "xyz"\n',
        "a.js": socket + "ws.onclose = () => setTimeout(connect, 1000);\n",
    })  # fmt: skip
    code, out, err = run(".", "--baseline", "known.jsonl", "--write-baseline")
    assert code == 0
    assert "nothing to do" not in out
    assert "2 uses of WebSocket: 1 client, 1 reconnect" in err
    client, reconnect = out.splitlines()
    assert "an API of another id, an older or a staging one? look: wss://abc.execute-api" in client
    assert "an API of another id" in reconnect
    tree({"b.js": socket})
    assert run(".", "--baseline", "known.jsonl", "--fail-on-new")[0] == 3


def test_what_is_listed_and_not_written_to_the_baseline_is_counted_and_explained(tree: MakeTree) -> None:
    """Two numbers of uses beside each other: what the difference is."""
    tree({"a.js": "new WebSocket(u)", "tests/a.test.js": "new WebSocket(u)\nnew WebSocket(v)"})
    _, _, err = run(".", "--baseline", "known.jsonl", "--write-baseline")
    assert "1 use written to known.jsonl; not 2 in tests (--gate-tests)" in err
    assert "3 uses of WebSocket" in err
    tree({"guess.py": "r = websocket.run()"})
    _, _, err = run(".", "--baseline", "known.jsonl", "--write-baseline", "--gate-tests")
    assert "3 uses written to known.jsonl" in err
    assert "not 2" not in err


def test_json_and_migrate_toml(tree: MakeTree) -> None:
    """One document; whose socket it is comes from migrate.toml here."""
    tree({**FILES, "migrate.toml": '[api]\nid = "abc"\ncustom_domains = ["wss://chat.example.com/prod"]\n'})
    code, out, _ = run("src", "infra", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["summary"]["by_target"] == {"this": 1, "other": 1}
    assert {found["path"]: found["target"] for found in document["findings"]}["src/a.js"] == "this"
    assert "abcdef" not in out


def test_sarif_has_what_the_standard_asks_for(tree: MakeTree) -> None:
    """SARIF 2.1.0: required properties, references by index, regions from 1, relative URIs, baseline states."""
    tree({**FILES, "src/name with space.js": "new WebSocket(u)", "bad.js": b"\0WebSocket"})
    run(".", "--baseline", "known.jsonl", "--write-baseline")
    tree({"src/more.js": "new WebSocket(v)"})
    code, _, _ = run(".", "--baseline", "known.jsonl", "--format", "sarif", "-o", "scan.sarif")
    assert code == 0
    log: dict[str, Any] = json.loads(Path("scan.sarif").read_text())
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (one,) = log["runs"]
    rules = one["tool"]["driver"]["rules"]
    assert one["tool"]["driver"]["name"]
    assert len({rule["id"] for rule in rules}) == len(rules) == len(RULES)
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in rules)
    assert one["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    results = one["results"]
    assert len(results) == 5
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in {"none", "note", "warning", "error"}
        # §3.27.10: a level other than none needs the kind fail.
        assert (result["kind"] == "fail") == (result["level"] != "none")
        assert result["baselineState"] in {"new", "unchanged"}
        assert re.fullmatch(r"[0-9a-f]{16}", result["partialFingerprints"]["ws2sse/v1"])
        (place,) = result["locations"]
        region = place["physicalLocation"]["region"]
        assert 1 <= region["startLine"] <= region["endLine"]
        assert region["startColumn"] >= 1 and region["endColumn"] >= 1
        uri = place["physicalLocation"]["artifactLocation"]["uri"]
        assert not uri.startswith("/") and " " not in uri
    states = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: r["baselineState"] for r in results}
    assert states["src/more.js"] == "new"
    assert states["src/name%20with%20space.js"] == "unchanged"
    assert one["invocations"][0]["executionSuccessful"] is True
    assert one["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].startswith("binary")


def test_the_gate_is_0_without_and_3_with_a_new_use(tree: MakeTree) -> None:
    """What CI and the pre-commit hook see."""
    tree(FILES)
    assert run(".", "--baseline", "known.jsonl", "--write-baseline")[0] == 0
    assert run(".", "--baseline", "known.jsonl", "--fail-on-new")[:2] == (0, "")
    tree({"src/new.ts": "export const s = new WebSocket(url);\n"})
    code, out, err = run(".", "--baseline", "known.jsonl", "--fail-on-new")
    assert code == 3
    assert out.startswith("src/new.ts:1:18: client js-websocket")
    assert "hint:" in err
    Path("src/a.js").unlink()
    Path("src/new.ts").unlink()
    code, _, err = run(".", "--baseline", "known.jsonl", "--fail-on-new")
    assert code == 0
    assert "stale: 1 of js-websocket" in err


@pytest.mark.parametrize("mode", ["--write-baseline", "--fail-on-new"])
def test_no_file_is_no_evidence(tree: MakeTree, mode: str) -> None:
    root = tree({"docs/notes.md": "# Notes\n", "docs/node_modules/ws/index.js": "new WebSocket(u);", "empty.jsonl": ""})
    code, out, err = run("docs", "--baseline", "empty.jsonl", mode)
    assert (code, out) == (2, "")
    assert "no file was looked at in docs" in err and "1 vendored directories; name the directory" in err
    assert (root / "empty.jsonl").read_text() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere"],
        [".", "--fail-on-new"],
        [".", "--write-baseline"],
        [".", "--baseline", "missing.jsonl", "--fail-on-new"],
        [".", "--baseline", "b", "--write-baseline", "--fail-on-new"],
        [".", "--config", "missing.toml"],
        [".", "--json", "--format", "sarif"],
        [".", "--min-confidence", "maybe"],
        [],
    ],
)
def test_wrong_usage_is_2(tree: MakeTree, arguments: list[str]) -> None:
    """Never a traceback, never an empty result that looks like success."""
    tree(FILES)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_as_a_program_with_several_processes(tree: MakeTree) -> None:
    """`python -m migrate scan --jobs 2`: the worker processes start from the program's own entry point."""
    root = tree({f"f{n}.js": "new WebSocket(u);" for n in range(220)})
    done = subprocess.run(
        [sys.executable, "-m", "migrate", "scan", str(root), "--jobs", "2", "--json"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["findings"] == 220


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('new WebSocket("wss://user:p4ssw0rd@h/x")', "p4ssw0rd"),
        ("'wss://h/?token=abcdef'", "abcdef"),
        ('headers: { Authorization: "Bearer abcdefgh12345" }', "abcdefgh"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "eyJ"),
        ('const apiKey = "k1-verysecret"', "verysecret"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN"),
        ('x("wJalrXUtnFEMI7K7MDENGbPxRfiCYEXAMPLEKEY99")', "wJalr"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    """In reports and in the baseline."""
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize("text", ["wss://h/?token=${token}", "key: 'ab'", "new WebSocket(url, protocols)"])
def test_what_is_no_secret_stays(text: str) -> None:
    """A report that hides the code is of no use."""
    assert redact(text) == text
