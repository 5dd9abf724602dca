"""What a scan finds, and how it says so. until phase 3 (MG3)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Confidence", "Finding", "Hit", "Kind", "Problem", "ScanReport", "Target"]


class Kind(StrEnum):
    """What a use of WebSocket is, which is also who has to move it."""

    CLIENT = "client"
    SERVER = "server"
    GATEWAY = "gateway"
    MANAGEMENT = "management"
    RECONNECT = "reconnect"
    ROUTE = "route"
    PERMISSION = "permission"
    DEPENDENCY = "dependency"


class Confidence(StrEnum):
    """How sure a finding is; compare by `rank`."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """2 for high, 0 for low."""
        return {"high": 2, "medium": 1, "low": 0}[self.value]

    def lowered(self) -> Confidence:
        """One step less sure."""
        return {2: Confidence.MEDIUM, 1: Confidence.LOW, 0: Confidence.LOW}[self.rank]


class Target(StrEnum):
    """Where a connection goes: to this stack, to somebody else's service, or it cannot be seen.

    An API Gateway of another id is nobody else's for certain: an older or a staging API of this stack, mostly.
    """

    THIS = "this"
    ANOTHER_API = "another-api"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hit:
    """One use in one text, as an analyser reports it.

    Attributes:
        start, end: offsets in characters of the decoded text.
        code: the use in a form that formatting does not change; part of the fingerprint.
        symbol: names of the enclosing classes and functions, joined by dots.
        urls: where a connection goes, as far as it can be traced; `${name}` is what could not be.
    """

    rule: str
    start: int
    end: int
    code: str
    symbol: str = ""
    confidence: Confidence = Confidence.HIGH
    target: Target | None = None
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One use in one file. Lines and columns count from 1, columns in characters; no secret in any field."""

    rule: str
    kind: Kind
    confidence: Confidence
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    snippet: str
    code: str
    symbol: str
    fingerprint: str
    target: Target | None = None
    urls: tuple[str, ...] = ()
    in_test: bool = False

    @property
    def is_other(self) -> bool:
        """A socket to another service: listed, but nothing to be moved."""
        return self.target is Target.OTHER


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be judged, or not wholly.

    Attributes:
        reason: unreadable, binary, broken (parsed only in part) or huge.
        suspect: it holds words that belong to WebSocket, so that a person should look.
    """

    path: str
    reason: str
    detail: str
    suspect: bool = False


@dataclass(slots=True)
class ScanReport:
    """Everything one scan has to say.

    Attributes:
        files, code_files: looked at, and those of them that hold code and not only settings.
    """

    findings: list[Finding] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    files: int = 0
    code_files: int = 0
    seconds: float = 0.0

    def add(self, findings: Iterable[Finding], problem: Problem | None) -> None:
        """Take in one file."""
        self.files += 1
        self.findings.extend(findings)
        if problem is not None:
            self.problems.append(problem)

    def skip(self, reason: str) -> None:
        """Count one file or directory that was not looked into."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
