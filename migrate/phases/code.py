"""Evidence from the application's own code: uses of WebSockets, and the gate that lets no new ones in. until phase 3"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from migrate.config import Config
from migrate.phases.evidence import done, failing, still_open
from migrate.phases.model import Evidence
from migrate.phases.names import BASELINE
from migrate.scan.baseline import compare, counts_for_gate, read_baseline
from migrate.scan.identity import StackIdentity
from migrate.scan.model import Finding, Kind, ScanReport, Target
from migrate.scan.run import ScanOptions, scan_tree

__all__ = ["Code"]

CI_FILES = (
    ".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", ".circleci/config.yml", "Jenkinsfile",
    "azure-pipelines.yml", "bitbucket-pipelines.yml", "buildspec.yml", ".pre-commit-config.yaml", "Makefile", ".ci/*",
)  # fmt: skip
_GATE = re.compile(r"migrate\s+scan\b[^\n]*--fail-on-new|id:\s*migrate-scan\b")


class Code:
    """A source tree.

    Args:
        config: of the stack that the code may use.
        source: its directory.
    """

    def __init__(self, config: Config, source: Path) -> None:
        self.config = config
        self.source = source

    def baseline(self) -> Evidence:
        path = self.source / BASELINE
        if not path.exists():
            return self._no_baseline()
        return done("baseline-there", count=sum(one.count for one in read_baseline(path).values()), path=BASELINE)

    def gate(self) -> Evidence:
        # The code may be below the repository's root, and CI's files are there.
        top = next((one for one in (self.source, *self.source.parents) if (one / ".git").exists()), self.source)
        for base in dict.fromkeys((self.source, top)):
            for path in (path for pattern in CI_FILES for path in sorted(base.glob(pattern))):
                if path.is_file() and _GATE.search(path.read_text(encoding="utf-8", errors="replace")):
                    return done("gate-found", path=str(path.relative_to(base)))
        return still_open("no-gate")

    def new_uses(self) -> Evidence:
        path = self.source / BASELINE
        if not path.exists():
            return self._no_baseline()
        gated = [found for found in self.report.findings if counts_for_gate(found, tests=False)]
        new = compare(gated, read_baseline(path)).new
        if new:
            return failing("new-uses", count=len(new), first=_place(new[0]))
        return done("no-new-uses", files=self.report.files) if self.report.files else still_open("no-files")

    def clients(self) -> Evidence:
        return self._uses(
            found for found in self.report.findings
            if found.kind is Kind.CLIENT and found.target is not Target.OTHER and not found.in_test
        )  # fmt: skip

    def reconnects(self) -> Evidence:
        return self._uses(found for found in self.report.findings if found.kind is Kind.RECONNECT and not found.in_test)

    def tests(self) -> Evidence:
        return self._uses(found for found in self.report.findings if found.in_test and not found.is_other)

    def _no_baseline(self) -> Evidence:
        # Where there is no code, none can be written.
        return still_open("no-baseline", path=BASELINE) if self.report.files else still_open("no-files")

    def _uses(self, uses: Iterable[Finding]) -> Evidence:
        left = list(uses)
        if left:
            return still_open("uses-left", count=len(left), first=_place(left[0]))
        # Where there is no code, none of it is no evidence.
        return done("uses-none", files=self.report.files) if self.report.files else still_open("no-files")

    @cached_property
    def report(self) -> ScanReport:
        api = self.config.api
        identity = StackIdentity(frozenset({api.id}), tuple(api.hosts), ())
        return scan_tree([self.source], ScanOptions(identity, jobs=1))


def _place(found: Finding) -> str:
    return f"{found.path}:{found.line}"
