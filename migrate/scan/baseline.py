"""The uses a team knows of: a file in the repository, and what differs from it. until phase 3 (WL10 phase 1)

One JSON object a line, sorted by fingerprint: git mostly merges what two branches change without a conflict,
and where it keeps both sides (`merge=union`) reading takes the larger count of a repeated fingerprint.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from migrate.errors import UsageError
from migrate.scan.model import Confidence, Finding

__all__ = ["Baseline", "Difference", "Entry", "baseline_text", "compare", "counts_for_gate", "read_baseline"]

VERSION = 1
_HEADER = {"ws2sse-scan-baseline": VERSION}


@dataclass(frozen=True, slots=True)
class Entry:
    """One known use and how often it is there."""

    fingerprint: str
    count: int
    rule: str
    symbol: str
    code: str


Baseline = dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed since the baseline was written.

    Attributes:
        new: uses beyond the known count.
        stale: known uses that are gone, with how many of each.
    """

    new: list[Finding]
    stale: list[tuple[Entry, int]]


def counts_for_gate(finding: Finding, *, tests: bool, least: Confidence = Confidence.MEDIUM) -> bool:
    """Whether a finding is one the gate looks at: no other service's socket, no guess, no test unless asked."""
    if finding.is_other or (finding.in_test and not tests):
        return False
    # In a test the confidence was lowered by one.
    return finding.confidence.rank + finding.in_test >= least.rank


def baseline_text(findings: Iterable[Finding]) -> str:
    """The file, the same for the same findings whatever their files and order. No path, no line number, no secret."""
    counted: Counter[str] = Counter()
    first: dict[str, Finding] = {}
    for finding in findings:
        counted[finding.fingerprint] += 1
        first.setdefault(finding.fingerprint, finding)
    lines = [json.dumps(_HEADER)]
    for key in sorted(first):
        found = first[key]
        entry = {
            "fingerprint": key,
            "count": counted[key],
            "rule": found.rule,
            "symbol": found.symbol,
            "code": found.code[:120],
        }
        lines.append(json.dumps(entry, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises: UsageError: it is not there, or no baseline.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no baseline {path}", "write it with --write-baseline") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the baseline {path} cannot be read", str(getattr(error, "strerror", "not UTF-8"))) from None
    found: Baseline = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        entry = _entry(path, number, line)
        if entry is None:
            continue
        known = found.get(entry.fingerprint)
        if known is None or known.count < entry.count:
            found[entry.fingerprint] = entry
    return found


def _entry(path: Path, number: int, line: str) -> Entry | None:
    hint = "resolve the merge, or write it again with --write-baseline"
    try:
        value = json.loads(line)
        if "ws2sse-scan-baseline" in value:
            if value["ws2sse-scan-baseline"] != VERSION:
                raise UsageError(f"{path} was written by another version of this program", hint)
            return None
        return Entry(
            str(value["fingerprint"]), int(value["count"]), str(value["rule"]), str(value["symbol"]), str(value["code"])
        )
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path}, line {number}: no entry of a baseline", hint) from None


def compare(findings: Iterable[Finding], baseline: Baseline) -> Difference:
    """New and stale. Of equal uses the ones beyond the count are new: the last, in the order given."""
    seen: Counter[str] = Counter()
    new = []
    for finding in findings:
        seen[finding.fingerprint] += 1
        known = baseline.get(finding.fingerprint)
        if known is None or seen[finding.fingerprint] > known.count:
            new.append(finding)
    stale = [(entry, entry.count - seen[key]) for key, entry in sorted(baseline.items()) if seen[key] < entry.count]
    return Difference(new, stale)
