"""A scan as SARIF 2.1.0, for code scanning of GitHub and others. until phase 3 (MG3)

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from migrate.scan.baseline import Difference
from migrate.scan.model import Confidence, Finding, ScanReport
from migrate.scan.rules import RULES

__all__ = ["as_sarif"]

_RANK = {Confidence.HIGH: 90.0, Confidence.MEDIUM: 60.0, Confidence.LOW: 30.0}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(report: ScanReport, difference: Difference | None) -> dict[str, Any]:
    """One log with one run."""
    new = {id(found) for found in difference.new} if difference is not None else None
    rules = list(RULES.values())
    index = {rule.id: number for number, rule in enumerate(rules)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "migrate scan",
                        "version": _version(),
                        "rules": [
                            {
                                "id": rule.id,
                                "shortDescription": {"text": rule.title},
                                "help": {"text": rule.advice},
                                "defaultConfiguration": {"level": "warning"},
                                "properties": {"tags": [rule.kind.value]},
                            }
                            for rule in rules
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {
                                "level": "warning" if problem.suspect else "note",
                                "message": {"text": f"{problem.reason}: {problem.detail}"},
                                "locations": [{"physicalLocation": _artifact(problem.path)}],
                            }
                            for problem in report.problems
                        ],
                    }
                ],
                "results": [_result(found, index, new) for found in report.findings],
            }
        ],
    }


def _result(found: Finding, index: dict[str, int], new: set[int] | None) -> dict[str, Any]:
    rule = RULES[found.rule]
    where = f" in {found.symbol}" if found.symbol else ""
    result: dict[str, Any] = {
        "ruleId": found.rule,
        "ruleIndex": index[found.rule],
        "kind": "informational" if found.is_other else "fail",
        "level": "none" if found.is_other else "note" if found.in_test else "warning",
        "rank": _RANK[found.confidence],
        "message": {"text": f"{rule.title}{where}: {rule.advice}"},
        "locations": [
            {
                "physicalLocation": {
                    **_artifact(found.path),
                    "region": {
                        "startLine": found.line,
                        "startColumn": found.column,
                        "endLine": found.end_line,
                        "endColumn": found.end_column,
                        "snippet": {"text": found.snippet},
                    },
                }
            }
        ],
        "partialFingerprints": {"ws2sse/v1": found.fingerprint},
        "properties": {
            "kind": found.kind.value,
            "confidence": found.confidence.value,
            "inTest": found.in_test,
            **({"target": found.target.value, "urls": list(found.urls)} if found.target else {}),
        },
    }
    if new is not None:
        result["baselineState"] = "new" if id(found) in new else "unchanged"
    return result


def _artifact(path: str) -> dict[str, Any]:
    uri = quote(path)
    return {"artifactLocation": {"uri": f"file://{uri}" if path.startswith("/") else uri}}


def _version() -> str:
    try:
        return version("ws2sse")
    except PackageNotFoundError:
        return "0"
