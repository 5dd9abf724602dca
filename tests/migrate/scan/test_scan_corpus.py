"""Recall and precision on the labelled corpus, the same as docs/guides/scan.md says. until phase 3 (MG3)"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrate.scan.identity import StackIdentity
from migrate.scan.model import Finding, Kind
from migrate.scan.run import ScanOptions, scan_tree

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
GUIDE = HERE.parents[2] / "docs" / "guides" / "scan.md"
OURS = StackIdentity(frozenset({"a1b2c3d4e5"}), ("chat.example.com",))

Place = tuple[str, int, str]


@dataclass(frozen=True)
class Measured:
    """Counts of one kind, or of all."""

    labels: int
    found: int
    right: int

    @property
    def recall(self) -> str:
        return f"{100 * self.right / self.labels:.1f} %"

    @property
    def precision(self) -> str:
        return f"{100 * self.right / self.found:.1f} %"


@pytest.fixture(scope="module")
def findings() -> dict[Place, list[Finding]]:
    report = scan_tree([CORPUS], ScanOptions(OURS, jobs=1))
    found: dict[Place, list[Finding]] = {}
    for finding in report.findings:
        path = finding.path.split("scan/corpus/")[-1]
        found.setdefault((path, finding.line, finding.kind.value), []).append(finding)
    return found


@pytest.fixture(scope="module")
def labels() -> dict[str, list[dict[str, str | int]]]:
    loaded: dict[str, list[dict[str, str | int]]] = json.loads((HERE / "corpus_labels.json").read_text())
    return loaded


def measure(found: Counter[Place], wanted: Counter[Place], kind: str | None) -> Measured:
    def of(counted: Counter[Place]) -> int:
        return sum(number for place, number in counted.items() if kind in (None, place[2]))

    return Measured(of(wanted), of(found), of(wanted & found))


def test_every_label_is_of_a_file_and_every_file_has_its_labels(labels: dict[str, list[dict[str, str | int]]]) -> None:
    """At least 60 files; an empty list says that nothing is to be found."""
    files = {path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file()}
    assert files == set(labels)
    assert len(files) >= 60


def test_the_guide_says_what_is_measured(
    findings: dict[Place, list[Finding]],
    labels: dict[str, list[dict[str, str | int]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The table of the guide is this table."""
    wanted = Counter((path, int(one["line"]), str(one["kind"])) for path, all_ in labels.items() for one in all_)
    found = Counter({place: len(all_) for place, all_ in findings.items()})
    rows = [f"{'kind':<12} {'uses':>4} {'found':>5} {'recall':>8} {'precision':>9}"]
    expected = []
    for kind in [*(kind.value for kind in Kind), None]:
        one = measure(found, wanted, kind)
        name = kind or "all"
        rows.append(f"{name:<12} {one.labels:>4} {one.right:>5} {one.recall:>8} {one.precision:>9}")
        expected.append(f"| {name} | {one.labels} | {one.right} | {one.recall} | {one.precision} |")
    missed, false = sorted(wanted - found), sorted(found - wanted)
    with capsys.disabled():
        print("\n" + "\n".join([*rows, *(f"missed: {m}" for m in missed), *(f"false: {f}" for f in false)]))  # noqa: T201 - the figures are for people
    text = GUIDE.read_text(encoding="utf-8")
    table = re.findall(
        r"^\| (?:client|server|gateway|management|reconnect|route|permission|dependency|all) \|.*$", text, re.M
    )
    assert table == expected
    assert f"{len(labels)} files" in text
    assert {path for path, _, _ in missed} == set(re.findall(r"`(hard/[\w.-]+|node/factory-table.js)`", text))


def test_the_target_of_every_connection_is_judged_as_labelled(
    findings: dict[Place, list[Finding]], labels: dict[str, list[dict[str, str | int]]]
) -> None:
    """This stack, another service, or not to be seen: a wrong `this` would be rewritten, a wrong `other` missed."""
    wrong = [
        (path, one, found[0].target)
        for path, all_ in labels.items()
        for one in all_
        if "target" in one and (found := findings.get((path, int(one["line"]), str(one["kind"])), []))
        if found[0].target is None or found[0].target.value != one["target"]
    ]
    assert wrong == []
