"""Options of `migrate rehearse`: what is wrong with one is said, a value is not. until phase 3"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import typer

from migrate.cli.rehearse import _environments, _interruptible, _new_folder
from migrate.errors import UsageError
from migrate.rehearse.result import Result


def test_environments_are_of_all_functions_or_of_one() -> None:
    given = ["A=1", "hall:B=x=y", "hall:A=2"]
    assert _environments(given, {"hall"}) == {"": {"A": "1"}, "hall": {"B": "x=y", "A": "2"}}


@pytest.mark.parametrize(
    "given", ["hush-hush", "hall:hush-hush", "=hush-hush", "nobody:KEY=hush-hush", "hall:=hush-hush"]
)
def test_a_wrong_one_is_told_without_its_value(given: str) -> None:
    with pytest.raises(UsageError, match="is not \\[FUNCTION:\\]NAME=VALUE") as caught:
        _environments(["A=1", given], {"hall"})
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_interrupted_takes_its_stacks_down_and_ends_with_130(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every other command does on Ctrl-C; 1 means that something unexpected happened."""
    ended = []

    class Endless:
        async def run(self) -> Result:
            try:
                os.kill(os.getpid(), number)
                await asyncio.Event().wait()
            finally:
                ended.append("down")
            raise AssertionError

    with pytest.raises(typer.Exit) as stopped:
        asyncio.run(_interruptible(Endless()))
    assert stopped.value.exit_code == 130
    assert ended == ["down"]
    assert "the rehearsal was interrupted" in capsys.readouterr().err


def test_two_that_begin_in_one_second_have_a_folder_each(tmp_path: Path) -> None:
    made = [_new_folder(tmp_path / "out", "rooms-20261122-101112") for _ in range(3)]
    assert [one.name.removeprefix("rooms-20261122-101112") for one in made] == ["", ".2", ".3"]
    assert all(one.stat().st_mode & 0o077 == 0 for one in made)
