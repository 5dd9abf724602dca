"""Names that the checklists look for and that other commands make. Pure but for paths. until phase 3"""

from __future__ import annotations

from pathlib import Path

from migrate.config import Config

__all__ = [
    "BASELINE",
    "alarm_prefix",
    "archive_path",
    "cost_key",
    "dashboard_name",
    "plan_key",
    "report_key",
    "runbook_path",
]

BASELINE = ".ws-baseline.jsonl"


def dashboard_name(config: Config) -> str:
    """Of the CloudWatch dashboard of the service."""
    return f"ws2sse-{config.project.name}"


def alarm_prefix(config: Config) -> str:
    """What the names of the service's alarms begin with."""
    return f"ws2sse-{config.project.name}-"


def archive_path(config: Config) -> Path:
    """Where what outlives the migration is kept."""
    return (config.path.parent / config.project.archive).resolve()


def runbook_path(config: Config) -> Path:
    """The runbook; it holds the first twelve characters of the configuration's digest."""
    return archive_path(config) / f"runbook-{config.project.name}.md"


def cost_key(config: Config) -> str:
    """Partition of the state table with what `migrate cost` found. Several projects may share the table, and the
    evidence of one is none of another."""
    return f"cost#{config.project.name}"


def report_key(config: Config) -> str:
    """The same for `migrate report`."""
    return f"report#{config.project.name}"


def plan_key(config: Config) -> str:
    """The same for `migrate cleanup resources plan`."""
    return f"plan#{config.project.name}"
