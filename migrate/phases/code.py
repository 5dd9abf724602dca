"""Evidence from the application's own code: uses of WebSockets, and the gate that lets no new ones in. until phase 3"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from migrate.codemod.model import Options
from migrate.codemod.names import SEND_URL, STREAM_URL
from migrate.codemod.run import Rewriter, files_to_rewrite
from migrate.config import Config
from migrate.phases.evidence import done, failing, still_open
from migrate.phases.model import Evidence
from migrate.phases.names import BASELINE
from migrate.phases.places import own_paths
from migrate.scan.baseline import compare, counts_for_gate, read_baseline
from migrate.scan.identity import StackIdentity
from migrate.scan.model import Finding, Kind, ScanReport
from migrate.scan.run import ScanOptions, scan_tree
from migrate.scan.source import NotTextError

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
        return still_open("no-gate", below=self.source.relative_to(top).as_posix())

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
        return self._uses(found for found in self._ours() if found.kind is Kind.CLIENT and not found.in_test)

    def reconnects(self) -> Evidence:
        return self._uses(found for found in self._ours() if found.kind is Kind.RECONNECT and not found.in_test)

    def tests(self) -> Evidence:
        return self._uses(found for found in self._ours() if found.in_test)

    def _ours(self) -> Iterator[Finding]:
        """Without sockets of other services, and what connects those again."""
        return (found for found in self.report.findings if not found.is_other)

    def _no_baseline(self) -> Evidence:
        # Where there is no code, none can be written.
        return still_open("no-baseline", path=BASELINE) if self.report.files else still_open("no-files")

    def _uses(self, uses: Iterable[Finding]) -> Evidence:
        left = list(uses)
        if left:
            return still_open(self._way(left), count=len(left), first=_place(left[0]))
        # Where there is no code, none of it is no evidence.
        return done("uses-none", files=self.report.code_files) if self.report.code_files else still_open("no-files")

    def _way(self, uses: Iterable[Finding]) -> str:
        """The text that says how they go: whether `migrate codemod` would change any of their files."""
        paths = sorted(set(self._rewriting) & {found.path for found in uses})
        for message, rewriter in (("uses-left", self._rewriter), ("uses-untraced", self._assuming)):
            if any(_is_rewritten(rewriter, path) for path in paths):
                return message
        return "uses-by-hand"

    @cached_property
    def report(self) -> ScanReport:
        return scan_tree([self.source], ScanOptions(self._identity, jobs=1, leave_out=own_paths(self.config)))

    @cached_property
    def _rewriting(self) -> list[str]:
        broken = {problem.path for problem in self.report.problems if problem.reason == "broken"}
        return [path for path in files_to_rewrite(self.report, tests=True) if path not in broken]

    @cached_property
    def _rewriter(self) -> Rewriter:
        return Rewriter(self.source, self._identity, Options("dropin", False, None, STREAM_URL, SEND_URL))

    @cached_property
    def _assuming(self) -> Rewriter:
        return Rewriter(self.source, self._identity, Options("dropin", True, None, STREAM_URL, SEND_URL))

    @property
    def _identity(self) -> StackIdentity:
        api = self.config.api
        return StackIdentity(frozenset({api.id}), tuple(api.hosts), ())


def _is_rewritten(rewriter: Rewriter, path: str) -> bool:
    try:
        return rewriter.rewrite(Path(path)).changed
    except (OSError, NotTextError):
        return False


def _place(found: Finding) -> str:
    return f"{found.path}:{found.line}"
