"""`migrate codemod` as it is called: diff, writing, git, going on after an interruption. until phase 3 (MG4)"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrate.cli import app

# The package's attribute of that name is the command.
module = importlib.import_module("migrate.cli.codemod")
CORPUS = Path(__file__).parent.parent / "scan" / "corpus"
ME = ("-c", "user.name=t", "-c", "user.email=t@example.com")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["codemod", *arguments, "--host", "chat.example.com", "--api-id", "a1b2c3d4e5"])
    return result.exit_code, result.stdout_bytes.decode("utf-8", "replace"), result.stderr


def git(*arguments: str, binary: bytes | None = None) -> bytes:
    return subprocess.run(["git", *ME, *arguments], check=True, capture_output=True, input=binary).stdout


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The corpus of the scanner, committed to a repository."""
    shutil.copytree(CORPUS, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    git("init", "-q")
    git("add", "-A", "-f")
    git("commit", "-qm", "first")
    return tmp_path / "work"


def contents(root: Path) -> dict[str, bytes]:
    return {p.as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and ".git/" not in p.as_posix()}


def test_the_diff_is_what_is_written_and_a_second_run_changes_nothing(corpus: Path) -> None:
    """Over every file of the corpus; the diff applies with git, whatever the encoding and line ends."""
    before = contents(corpus)
    code, _, err = run(".")
    assert (code, contents(corpus)) == (0, before)
    assert "--write writes the files" in err
    diff = (
        CliRunner().invoke(app, ["codemod", ".", "--host", "chat.example.com", "--api-id", "a1b2c3d4e5"]).stdout_bytes
    )
    assert run(".", "--write")[0] == 0
    written = contents(corpus)
    assert written != before
    git("checkout", "-q", ".")
    git("apply", "--whitespace=nowarn", binary=diff)
    assert contents(corpus) == written
    git("commit", "-qam", "second")
    code, out, err = run(".", "--write")
    assert (code, out) == (0, "")
    assert "0 connections rewritten" in err
    assert contents(corpus) == written


def test_after_the_rewrite_nothing_of_ours_is_found_where_it_was_rewritten(corpus: Path) -> None:
    """The scanner takes the drop-in for what it is."""
    _, out, _ = run(".", "--write", "--json")
    lines = {
        (one["path"], change["what"])
        for one in json.loads(out)["files"]
        for change in one["changes"]
        if change["kind"] == "rewritten"
    }
    whole = {
        one["path"]
        for one in json.loads(out)["files"]
        if one["changes"] and not any(change["kind"] == "hint" for change in one["changes"])
    }
    found = json.loads(CliRunner().invoke(app, ["scan", ".", "--json"]).stdout)["findings"]
    assert len(lines) >= 10
    assert {one["path"] for one in found if one["kind"] in {"client", "reconnect"}} & whole == set()


def test_changes_that_are_not_committed_are_refused(corpus: Path) -> None:
    """Tracked and changed, or to be rewritten and not known to git; --force goes on."""
    (corpus / "python" / "settings.py").write_text("x = 1\n")
    before = contents(corpus)
    code, _, err = run(".", "--write")
    assert (code, contents(corpus)) == (5, before)
    assert "python/settings.py" in err and "--force" in err
    git("checkout", "-q", ".")
    (corpus / "new.ts").write_text("export const ws = new WebSocket('wss://chat.example.com/ws');\n")
    (corpus / "notes.txt").write_text("not known to git, and not to be rewritten\n")
    assert run(".", "--write")[0] == 5
    assert run(".", "--write", "--force")[0] == 0
    assert "SseWebSocket" in (corpus / "new.ts").read_text()


def test_an_interrupted_run_is_gone_on_with(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it wrote is whole and no change of somebody else's; the end is the same as without the interruption."""
    run(".", "--write")
    wanted = contents(corpus)
    git("checkout", "-q", ".")
    real, count = module._write, 0

    def write(one: object) -> None:
        nonlocal count
        count += 1
        if count == 6:
            raise KeyboardInterrupt
        real(one)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_write", write)
    assert run(".", "--write")[0] != 0
    assert contents(corpus) != wanted
    assert len(git("status", "--porcelain").splitlines()) == 5
    monkeypatch.setattr(module, "_write", real)
    assert run(".", "--write")[0] == 0
    assert contents(corpus) == wanted


def test_modes_stay_and_no_temporary_file_is_left(corpus: Path) -> None:
    """A script stays executable."""
    bot = corpus / "node" / "bot.js"
    bot.chmod(0o755)
    git("commit", "-qam", "mode")
    run("node/bot.js", "--write")
    assert bot.stat().st_mode & 0o777 == 0o755
    assert "@ws2sse/client" in bot.read_text()
    assert [path.name for path in bot.parent.iterdir() if path.name.startswith(".")] == []


def test_without_git_it_is_said_that_there_is_no_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And done all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "a.ts").write_text("export const ws = new WebSocket('wss://chat.example.com/ws');\n")
    code, _, err = run("a.ts", "--write")
    assert code == 0
    assert "not in a git repository" in err
    assert "SseWebSocket" in (tmp_path / "a.ts").read_text()


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    """One line and a hint."""
    code, out, err = run(str(tmp_path / "nowhere"))
    assert (code, out) == (2, "")
    assert "hint:" in err
    assert run(".", "--to", "carrier-pigeon")[0] == 2
