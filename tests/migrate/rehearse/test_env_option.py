"""`migrate rehearse --env`: what is wrong with one is said, its value is not. until phase 3"""

from __future__ import annotations

import pytest

from migrate.cli.rehearse import _environments
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
