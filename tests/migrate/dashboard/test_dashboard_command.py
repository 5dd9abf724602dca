"""`migrate dashboard` as a user starts it, and the demonstration. until phase 3 (MG18)"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config.model import Api, Feature, Project, Settings, Sse, Table
from migrate.config.write import to_toml
from migrate.dashboard.server import sources_of

pytestmark = pytest.mark.integration

WAIT_S = 30.0
TOKEN = "0123456789abcdef0123"
SETTINGS = Settings(
    project=Project(name="chat", state_table="state"),
    # Nobody listens there.
    api=Api(id="abc", stage="prod", region="eu-west-1", endpoint_url="http://127.0.0.1:1"),
    sse=Sse(url="http://127.0.0.1:1"),
    tables=(Table(name="connections", role="connections", key="connectionId"),),
    features=(Feature(name="chat", frames=("message",)),),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "migrate.toml"
    path.write_text(to_toml(SETTINGS), encoding="utf-8")
    return path


@contextlib.contextmanager
def started(*words: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The program, and the JSON that its first lines on stdout are."""
    child = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **(env or {})},
    )
    try:
        yield child, _document(child)
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def _document(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    text, deadline = "", time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        # By whole lines: what is buffered is not seen by select.
        line = child.stdout.readline()
        if not line:
            break
        text += line
        with contextlib.suppress(ValueError):
            value: dict[str, Any] = json.loads(text)
            return value
    assert child.stderr is not None
    raise AssertionError(f"it said {text!r} and {child.stderr.read() if child.poll() is not None else ''}")


def test_it_answers_although_nothing_else_does(config: Path, tmp_path: Path) -> None:
    """No AWS, no service, no records: each is named, and Ctrl-C ends it with exit code 0 and nothing on stderr but
    what it says itself."""
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    words = ("--config", str(config), "--state-dir", str(tmp_path / "state"), "--operator-token-file", str(token))
    with started("migrate", "dashboard", "--json", *words) as (child, said):
        assert said == {"url": said["url"], "project": "chat", "read_only": False, "pid": child.pid}
        with httpx.Client(base_url=said["url"], trust_env=False, timeout=WAIT_S) as http:
            assert http.get("/static/").status_code == 404
            deadline = time.monotonic() + WAIT_S
            while True:
                state = http.get("/state").json()
                sources = {one["name"]: one for one in state["sections"]["sources"]}
                if sources["sse-metrics"]["at"] and sources["records"]["at"] and sources["journal"]["at"]:
                    break
                assert time.monotonic() < deadline, sources
                time.sleep(0.05)
            assert state["project"] == "chat" and state["read_only"] is False
            assert (sources["sse-metrics"]["state"], sources["journal"]["state"]) == ("away", "away")
            assert "does not answer (ConnectError)" in sources["sse-metrics"]["why"]
            assert "the table state could not be reached" in sources["journal"]["why"]
            assert sources["records"]["state"] == "absent" and "there is no directory" in sources["records"]["why"]
            # The very command, with its own exit code.
            answer = http.post(
                "/actions",
                json={"action": "cutover", "arguments": {"feature": "chat", "percent": 5}},
                headers={"authorization": f"Bearer {TOKEN}", "origin": said["url"].rstrip("/")},
            ).json()
            assert answer["exit_code"] == 1 and answer["stderr"].startswith(
                "error: the table state could not be reached"
            )
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=WAIT_S)
        assert (child.returncode, out) == (0, "") and err == "Ctrl-C ends it\n"
    assert not (tmp_path / "state").exists()


def test_without_a_token_it_is_read_only_and_prints_its_address(config: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "migrate", "dashboard", "--config", str(config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "MIGRATE_OPERATOR_TOKEN": ""},
    )  # fmt: skip
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert httpx.get(f"{url}state", trust_env=False, timeout=WAIT_S).json()["read_only"] is True
        child.send_signal(signal.SIGTERM)
        assert "read-only" in child.communicate(timeout=WAIT_S)[1]
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--records", "/no/such"], "there is no directory /no/such"),
        (["--operator-token-file", "/no/such"], "the operator's token cannot be read from /no/such"),
        (["--host", "192.0.2.1"], "the dashboard cannot listen on 192.0.2.1"),
        (["--host", "no such host"], "the dashboard cannot listen on no such host"),
    ],
)
def test_a_mistake_is_a_line_and_a_hint(config: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["dashboard", "--config", str(config), *words])
    assert done.exit_code == 2 and said in done.stderr and "hint: " in done.stderr


def test_the_checklists_look_where_the_code_is(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `migrate phase1 --source` does: beside migrate.toml there may be none."""
    code = tmp_path / "app"
    code.mkdir()
    asked: list[Any] = []
    monkeypatch.setattr("migrate.dashboard.server.run", lambda settings, ready: asked.append(settings))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["dashboard", "--config", str(config), "--source", "app"])
    assert done.exit_code == 0, done.output
    looked: list[Path] = []
    monkeypatch.setattr("migrate.dashboard.server.Checklists", lambda clients, source: looked.append(source) or Mock())
    sources_of(asked[0])
    assert looked == [code]
    done = CliRunner().invoke(app, ["dashboard", "--config", str(config), "--source", "nowhere"])
    assert (done.exit_code, "there is no directory nowhere" in done.stderr) == (2, True)


@pytest.mark.parametrize("token", ["short", "with a space in it", "nön-ascii-characters", ""])
def test_a_token_that_is_none(config: Path, tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")
    done = CliRunner().invoke(app, ["dashboard", "--config", str(config), "--operator-token-file", str(file)])
    assert done.exit_code == 2 and "holds no token of at least 16 characters" in done.stderr
    assert token == "" or token not in done.stderr


def test_the_demonstration_feeds_as_much_as_it_says() -> None:
    """What a reader has seen at the end is what was fed: every finding, once, in order."""
    options = ("--total", "3000", "--raw", "--wait", "--seed", "7")
    with started("migrate.dashboard.demo", *options) as (child, said):
        items = []
        with httpx.stream("GET", f"{said['url']}events", trust_env=False, timeout=WAIT_S) as response:
            for line in response.iter_lines():
                if not line.startswith("data: "):
                    continue
                data = json.loads(line.removeprefix("data: "))
                if data.get("section") == "mismatches":
                    items += [item["id"] for item in data["items"]]
                if data.get("section") == "cutover" and data["value"][0]["epoch"] >= 29:
                    break
        assert len(items) == len(set(items)) > 600
        assert items == sorted(items, key=lambda name: int(name[1:]))
        assert child.stdout is not None and json.loads(child.stdout.readline())["fed"] == 3000
