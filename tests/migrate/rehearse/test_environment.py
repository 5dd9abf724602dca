"""What functions read from their environment and are not given is told before anything starts (MG16). until phase 3"""

from __future__ import annotations

import pytest

from migrate.config.model import Function
from migrate.rehearse.environment import needed_by, not_given
from migrate.rehearse.packages import Package


def package(**sources: str) -> Package:
    return Package("p", b"", {name.replace("_", "."): text for name, text in sources.items()})


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('t = os.environ["TABLE"]', ["TABLE"]),
        ("t = environ['TABLE']", ["TABLE"]),
        ('t = os.getenv("A"); u = os.environ.get("B")', ["A", "B"]),
        ('t = os.environ.get("A", "x"); u = os.getenv("B", ""); v = os.getenv("C") or "c"', []),
        ('os.environ["TABLE"] = "x"', []),
        ('if os.environ["STAGE"] == "prod": pass', ["STAGE"]),
        ('r = os.environ["AWS_REGION"], os.environ["LAMBDA_TASK_ROOT"]', []),
    ],
)
def test_python(source: str, names: list[str]) -> None:
    assert needed_by(package(app_py=source)) == names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("const t = process.env.TABLE;", ["TABLE"]),
        ('const t = process.env["TABLE"]', ["TABLE"]),
        ("const t = process.env.TABLE || 'x', u = process.env.B ?? 'y'", []),
        ("if (key !== process.env.DOOR_KEY) throw 1", ["DOOR_KEY"]),
        ("const { A, B: b, C = 'c' } = process.env;", ["A", "B"]),
        ("process.env.A = '1'; const r = process.env.AWS_REGION", []),
    ],
)
def test_node(source: str, names: list[str]) -> None:
    assert needed_by(package(index_js=source)) == names


def test_what_is_not_given_is_named_by_function_with_the_option_for_it() -> None:
    code = package(app_py='os.environ["TABLE"], os.environ["URL"], os.environ["KEY"]')
    functions = [Function(name="hall", env={"TABLE": "t"}), Function(name="quiz", env={"TABLE": "t", "URL": "u"})]
    [hall] = not_given(functions, {"hall": code, "quiz": code}, {"": {"KEY": "k"}})
    assert hall.what == "URL of hall, which its code reads"
    assert "--env hall:URL=..." in hall.do
    assert list(not_given(functions, {"hall": code, "quiz": code}, {"": {"KEY": "k"}, "hall": {"URL": ""}})) == []
