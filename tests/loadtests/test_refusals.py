"""What is wrong is said before anything is measured: exit code 2, one line, a hint, no traceback."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from load_support import LOCUSTFILE

from loadtests.compare import __main__ as program
from loadtests.compare.errors import USAGE
from loadtests.compare.options import parse
from loadtests.compare.rounds import Plan
from loadtests.users.target import Target


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    try:
        code = program.main(options)
    except SystemExit as error:
        code = int(error.code or 0)
    said = capsys.readouterr().err
    assert code == USAGE, said
    assert said.startswith("error: ") and "\nhint: " in said and "Traceback" not in said
    return said


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("hush-hush\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "options",
    [
        ["--users", "many"],
        ["--nonsense"],
        ["--user", "3"],
        ["--scen", "rooms"],
        ["stray"],
        ["--scenario", "nonsense"],
        ["--rate", "0"],
        ["--repetitions", "0"],
        ["--users", "1", "--scenario", "tenant"],
        ["--tokens-file", "x.json"],
        ["--target", "sse=https://b"],
        ["--target", "nonsense=https://b", "--secret-file", "SECRET"],
        ["--target", "sse=https://b", "--secret-file", "gone"],
        ["--target", "tenant=acme", "--secret-file", "SECRET"],
        ["--target", "sse=https://b", "--secret-file", "SECRET", "--sides", "ws,sse"],
        ["--target", "sse=https://b", "--secret-file", "SECRET", "--sides", "nonsense"],
        ["--target", "sse=https://b", "--secret-file", "SECRET", "--against", "gone.json"],
        ["--target", "sse=https://b", "--secret-file", "SECRET", "--against", "SECRET"],
        ["--target", "sse=https://b", "--secret-file", "SECRET", "--out", "SECRET/under-a-file"],
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], secret: Path, options: list[str]) -> None:
    refused(capsys, *(option.replace("SECRET", str(secret)) for option in options))


def test_without_stacks_it_says_how_to_start_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "migrate up --detach" in refused(capsys, "--state-dir", str(tmp_path))


def test_stacks_that_have_ended_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    stack = {"user_pool_id": "", "user_pool_client_id": "", "stage": "prod"}
    up = {
        "pids": {"up": ended.pid},
        "stacks": {"direct": stack, "rooms": stack},
        "legacy_ws_url": {},
        "sse_url": "",
        "tenant": "",
        "jwt": {"secret_file": ""},
        "aws_endpoint_url": "",
        "env": {"AWS_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    }
    (tmp_path / "up.json").write_text(json.dumps(up), encoding="utf-8")
    assert "have ended" in refused(capsys, "--state-dir", str(tmp_path))


def stored(folder: Path, runs: list[dict[str, object]]) -> Path:
    """A result of an earlier comparison, of other users than the default."""
    plan = {"scenario": "rooms", "users": 7, "rate": 0.5, "seconds": 15.0, "size": 100, "lost_after": 15.0}
    plan |= {"workers": 0, "warm_up": 2.0}
    result = {"plan": plan, "provenance": {}, "emulated": False, "rounds": {"sse": runs}}
    (folder / "before.json").write_text(json.dumps(result), encoding="utf-8")
    return folder / "before.json"


def test_a_result_of_another_plan_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], secret: Path, tmp_path: Path
) -> None:
    before = stored(tmp_path, [])
    target = ["--target", "sse=https://b", "--secret-file", str(secret)]
    said = refused(capsys, *target, "--against", str(before))
    assert "users" in said and "--users 7" in said


def test_a_broken_result_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], secret: Path, tmp_path: Path
) -> None:
    before = stored(tmp_path, [{"figures": {}}])
    target = ["--target", "sse=https://b", "--secret-file", str(secret), "--users", "7"]
    assert "a broken result" in refused(capsys, *target, "--against", str(before))


def test_what_cannot_be_stored_is_shown_all_the_same(
    capsys: pytest.CaptureFixture[str], secret: Path, tmp_path: Path
) -> None:
    """The disk is full, or the folder is gone, after minutes of measuring."""
    run = {"figures": {"messages/s": 4711.0}, "latency": {}, "cpu_cores": {}, "memory_mb": {}}
    target = Target(sse="https://b", secret_file=str(secret))
    plan = Plan("rooms", 7, 0.5, 15.0, 100, 15.0)
    made = program.Comparison(plan, ("sse",), 1, target, {}, {"sse": [run]})
    with pytest.raises(FileNotFoundError):
        program._keep(made, program._provenance(), tmp_path / "gone", None)
    assert "4,711" in capsys.readouterr().out


def test_what_is_misspelt_begins_nothing_and_the_hint_says_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    """By abbreviation it would be real load with other figures than were meant."""
    assert "no such option: --user\nhint: did you mean --users?" in refused(capsys, "--user", "3")
    assert "hint: did you mean --users" in refused(capsys, "--usres=3")


def test_the_help_tells_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Usage: migrate load compare [OPTIONS]")
    options = parse([])
    for name in ("scenario", "users", "rate", "seconds", "repetitions", "size", "lost_after", "warm_up", "workers"):
        told = said.partition(f"--{name.replace('_', '-')} ")[2].partition(" --")[0]
        assert f"[default: {getattr(options, name)}]" in told, name
    assert "None" not in said


def test_locust_takes_no_abbreviation_either(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(LOCUSTFILE),
        "RoomsSse",
        "--headless",
        "--state-dir",
        str(tmp_path),
    ]
    done = subprocess.run([*argv, "--user", "3"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "unrecognized arguments: --user" in done.stderr, done.stderr


def test_no_program_guesses_at_options() -> None:
    """argparse takes a beginning for the whole unless it is told not to."""
    root = Path(__file__).parents[2]
    files = [
        path
        for folder in ("legacy_ws", "loadtests", "migrate", "sse_service")
        for path in root.glob(f"{folder}/**/*.py")
    ]
    calls = {
        f"{path.relative_to(root)}:{node.lineno}": {word.arg: ast.unparse(word.value) for word in node.keywords}
        for path in files
        if "argparse" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("argparse.ArgumentParser", "_Parser")
    }
    assert calls and [place for place, words in calls.items() if words.get("allow_abbrev") != "False"] == []
