"""Names that the checklists look for and that other commands make. Pure but for paths. until phase 3"""

from __future__ import annotations

from pathlib import Path

from migrate.config import Config

__all__ = ["BASELINE", "alarm_prefix", "archive_path", "dashboard_name", "runbook_path"]

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
