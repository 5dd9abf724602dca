"""Options of `migrate rehearse`: what is wrong with one is said, a value is not. until phase 3"""

from __future__ import annotations

from pathlib import Path

import pytest

from migrate.cli.rehearse import _environments, _new_folder
from migrate.errors import UsageError


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


def test_two_that_begin_in_one_second_have_a_folder_each(tmp_path: Path) -> None:
    made = [_new_folder(tmp_path / "out", "rooms-20261122-101112") for _ in range(3)]
    assert [one.name.removeprefix("rooms-20261122-101112") for one in made] == ["", ".2", ".3"]
    assert all(one.stat().st_mode & 0o077 == 0 for one in made)
