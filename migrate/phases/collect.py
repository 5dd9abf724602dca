"""Gathers the evidence of a checklist: each collector looks at the thing itself, now. until phase 3

A collector that cannot look (no permission, no network) leaves its item open and says why; it never guesses. All of a
phase run at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.control.journal import digest
from migrate.control.table import ControlTable
from migrate.errors import MigrateError
from migrate.phases.account import Account
from migrate.phases.code import Code
from migrate.phases.evidence import config_digest, still_open
from migrate.phases.model import Evidence, Item
from migrate.phases.records import Records

__all__ = ["Collectors", "config_digest", "gather"]


@dataclass(frozen=True)
class Collectors:
    """What is looked at.

    Args:
        config: of the stack.
        table: of the shared state.
        source: the application's own code, for scans.
        now: epoch seconds.
    """

    config: Config
    table: ControlTable
    source: Path
    now: float

    @cached_property
    def code(self) -> Code:
        return Code(self.config, self.source)

    @cached_property
    def account(self) -> Account:
        return Account(self.config, self.now)

    @cached_property
    def records(self) -> Records:
        return Records(self.config, self.table)


def gather(items: Sequence[Item], collectors: Collectors) -> dict[str, Evidence]:
    """Evidence by item id, for those items that have a collector."""
    code, account, records = collectors.code, collectors.account, collectors.records
    known: dict[str, Callable[[], Evidence]] = {
        "config": account.config_checked,
        "baseline": code.baseline,
        "gate": code.gate,
        "new_uses": code.new_uses,
        "service": account.service,
        "verdicts": records.verdicts,
        "flags": records.flags,
        "clients": code.clients,
        "reconnects": code.reconnects,
        "tests": code.tests,
        "dashboard": account.dashboard,
        "alarms": account.alarms,
        "runbook": records.runbook,
        "plan_api": records.plan_api,
        "plan_tables": records.plan_tables,
        "plan_functions": records.plan_functions,
        "logs": account.logs,
        "cost": records.cost,
        "traffic": account.traffic,
        "swept": account.swept,
        "tee": account.tee,
        "gone": account.gone,
        "archive": records.archive,
    }

    def one(item: Item) -> Evidence:
        try:
            found = known[item.collector]()
        except MigrateError as error:
            found = still_open("unknown", error=error.message)
        except ClientError as error:
            found = still_open("unknown", error=error.response["Error"]["Code"])
        except (BotoCoreError, OSError) as error:
            found = still_open("unknown", error=type(error).__name__)
        return replace(
            found,
            taken_at=found.taken_at or collectors.now,
            digest=found.digest or digest({"message": found.message, "values": dict(found.values)}),
        )

    asked = [item for item in items if item.collector]
    if any(item.collector in {"baseline", "new_uses", "clients", "reconnects", "tests"} for item in asked):
        _ = code.report  # once, for all of them
    with ThreadPoolExecutor(8) as pool:
        return dict(zip([item.id for item in asked], pool.map(one, asked), strict=True))
