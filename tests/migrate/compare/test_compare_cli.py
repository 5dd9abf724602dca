"""`migrate compare` as a command: output, exit codes, no traceback. until phase 3 (MG7)"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from two_stacks import TwoStacks, two_stacks
from typer.testing import CliRunner

from migrate.cli.compare import compare

CONFIG = """
[project]
name = "chat"
records = "{records}"
[api]
id = "abc"
stage = "prod"
region = "eu-west-1"
[sse]
url = "http://127.0.0.1:9"
[[features]]
name = "chat"
"""

app = typer.Typer()
app.command()(compare)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"WARM_UP_S": 0.1, "QUIET_S": 0.1, "REFUSED_WAIT_S": 0.3}.items():
        monkeypatch.setattr(f"migrate.compare.probe.{name}", seconds)


@contextmanager
def running(directory: Path) -> Iterator[TwoStacks]:
    """Both stacks in a thread of their own, with an up.json as `migrate up` writes it."""
    ready, end = threading.Event(), threading.Event()
    box: list[TwoStacks] = []

    async def main() -> None:
        async with two_stacks() as stacks:
            box.append(stacks)
            ready.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    up = box[0].up
    (directory / "jwt-secret").write_text(up.pop("jwt_secret") + "\n")
    up["jwt"] = {"secret_file": "jwt-secret"}
    (directory / "up.json").write_text(json.dumps(up))
    try:
        yield box[0]
    finally:
        end.set()
        thread.join()


def run(directory: Path, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["--state-dir", str(directory), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.integration
def test_verdicts(tmp_path: Path) -> None:
    """0 pass, 3 fail, 4 inconclusive; JSON on stdout alone; the recorded run gives the same verdict again."""
    with running(tmp_path) as stacks:
        code, out, err = run(tmp_path, "--messages", "60", "--rate", "200", "--settle", "1", "--json")
        assert (code, err) == (0, "")
        report = json.loads(out)
        assert report["verdict"] == "pass"
        assert report["matched"] == report["pairs"] == 240
        assert (report["stored"], "migrate shadow start" in report["not_stored_because"]) == (False, True)
        assert report["directions"]["rest->websocket"]["latency_ms"]["samples"] == 120
        assert 0 < report["stacks"]["sse"]["loss_rate_upper"] < 0.06
        records = tmp_path / "records" / report["run_id"]
        code, out, err = run(tmp_path, "--records", str(records))
        assert code == 0
        assert "note: not stored: " in err
        assert "`migrate shadow start`" in err
        assert out.splitlines()[0] == f"compared: records of probe {report['run_id']}"
        assert out.splitlines()[1].startswith("PASS  all 240 deliveries of 60 messages matched")

        code, out, _ = run(tmp_path, "--messages", "10", "--rate", "200")
        assert code == 4
        first, second, *_ = out.splitlines()
        assert first == "compared: probes, now: 4 users on both stacks send 10 messages"
        assert second.startswith("INCONCLUSIVE  only 10 messages judged")

        stacks.to_websocket = False
        code, out, _ = run(tmp_path, "--duration", "0.2", "--rate", "100", "--settle", "0.2", "--limit", "3")
        assert code == 3
        assert "\nFAIL  nothing sent over REST reached WebSocket clients" in out
        assert "of 80 deliveries 40 the same on both, 40 on SSE only" in out
        assert "hint: is the bridge running? `migrate bridge status`" in out
        assert "... and 7 more" in out
        assert "probe-" in out


@pytest.mark.integration
def test_hostile_texts_in_a_report(tmp_path: Path) -> None:
    """What people write is neither markup nor terminal control."""
    with running(tmp_path) as stacks:
        evil = "[bold red]x[/nope] \x1b[2J"

        def fault(stack: str, user: str, m: dict) -> list[dict]:
            return [{**m, "message": evil}] if stack == "sse" else [m]

        stacks.fault = fault
        code, out, _ = run(tmp_path, "--messages", "4", "--rate", "200", "--settle", "0.2")
        assert code == 3
        assert "[bold red]x[/nope]" in out
        assert "\x1b" not in out
        error = {"type": "error", "code": evil}
        stacks.fault = lambda stack, user, m: [error, m] if stack == "websocket" else [m]
        code, out, _ = run(tmp_path, "--messages", "4", "--rate", "200", "--settle", "0.2")
    assert code == 4
    assert "note: 16 error frames on WebSocket" in out
    assert "\x1b" not in out


def test_no_stack(tmp_path: Path) -> None:
    """Nothing was started: 2, and what to do."""
    code, out, err = run(tmp_path)
    assert (code, out) == (2, "")
    assert "no stack is running" in err and "hint: start both with `migrate up`" in err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"legacy_ws_url":{"rooms":"ws://x"},"sse_url":"http://x"}'])
def test_broken_up_json(tmp_path: Path, content: str) -> None:
    """An up.json that is half or wrong: 2, and what to do."""
    (tmp_path / "up.json").write_text(content)
    code, _, err = run(tmp_path)
    assert code == 2
    assert "hint:" in err


def test_stopped_stacks(tmp_path: Path) -> None:
    """An up.json left behind, nobody listening: 2, and what to do."""
    up = {**TwoStacks(port=9).up}
    (tmp_path / "up.json").write_text(json.dumps(up))
    code, _, err = run(tmp_path)
    assert code == 2
    assert "refuse connections" in err and "migrate up" in err
    assert up["jwt_secret"] not in err


@pytest.mark.parametrize(
    "options",
    [
        ("--users", "0"),
        ("--messages", "-1"),
        ("--rate", "0"),
        ("--records", "nowhere"),
        ("--messages", "1", "--rate", "1", "--duration", "1"),
        ("--room", ""),
    ],
)
def test_wrong_usage(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Values that make no sense: 2."""
    (tmp_path / "up.json").write_text(json.dumps(TwoStacks(port=9).up))
    code, _, err = run(tmp_path, *options)
    assert code == 2
    assert err


@pytest.mark.parametrize(
    "asked",
    [("--messages", "60"), ("--users", "4"), ("--rate", "5"), ("--duration", "2"), ("--room", "a"), ("--own-only",)],
)
def test_an_option_of_a_probe_probes_also_where_records_are(tmp_path: Path, asked: tuple[str, ...]) -> None:
    """Records of a shadow that has long ended say nothing about the bridge that was just stopped."""
    records = tmp_path / "records" / "run1" / "deliveries"
    records.mkdir(parents=True)
    config = tmp_path / "migrate.toml"
    config.write_text(CONFIG.format(records=tmp_path / "records"))
    (tmp_path / "up.json").write_text(json.dumps(TwoStacks(port=9).up))
    code, _, err = run(tmp_path, "--config", str(config), *asked)
    assert (code, "refuse connections" in err) == (2, True), err
    code, _, err = run(tmp_path, "--config", str(config), *asked, "--since", "5m")
    assert code == 2
    assert asked[0] in err and "--since" in err
    code, _, err = run(tmp_path, "--records", str(tmp_path / "records"), *asked)
    assert code == 2
    assert asked[0] in err and "leave out --records" in err
