"""Gathers the evidence of a checklist: each collector looks at the thing itself, now. until phase 3

A collector that cannot look (no permission, no network) leaves its item open and says why; it never guesses. All of a
phase run at the same time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from migrate.compare.verdicts import StoredVerdict, last_verdict
from migrate.config import Config
from migrate.config.parse import as_values
from migrate.control.flags import EVERY_TENANT, moved_percents, percents_by_tenant
from migrate.control.journal import digest
from migrate.control.table import ControlTable
from migrate.errors import MigrateError
from migrate.observe.definitions import ALARMS
from migrate.phases.model import Evidence, Item, State
from migrate.phases.names import (
    BASELINE,
    alarm_prefix,
    cost_key,
    dashboard_name,
    plan_key,
    report_key,
    runbook_path,
)
from migrate.scan.baseline import compare, counts_for_gate, read_baseline
from migrate.scan.identity import StackIdentity
from migrate.scan.model import Finding, Kind, ScanReport, Target
from migrate.scan.run import ScanOptions, scan_tree
from migrate.tee.install import HANDLER
from migrate.tee.setup import tee_functions

__all__ = ["Collectors", "config_digest", "gather"]

CI_FILES = (
    ".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", ".circleci/config.yml", "Jenkinsfile",
    "azure-pipelines.yml", "bitbucket-pipelines.yml", "buildspec.yml", ".pre-commit-config.yaml", "Makefile", ".ci/*",
)  # fmt: skip
_GATE = re.compile(r"migrate\s+scan\b[^\n]*--fail-on-new|id:\s*migrate-scan\b")
_MISSING = {
    "NotFoundException", "ResourceNotFoundException", "ResourceNotFound", "ResourceNotFoundFault",
    "DashboardNotFoundError", "404",
}  # fmt: skip
READY_S = 5.0


def config_digest(config: Config) -> str:
    """What a signature is about: the settings, whatever their comments and order."""
    return digest(as_values(config.settings))


@dataclass
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

    # Phase 1

    def config_checked(self) -> Evidence:
        from migrate.init.aws import read_aws, read_table
        from migrate.init.check import findings

        config, problems = self.config, list[str]()
        facts = read_aws(config.client, config.api.id, config.region, config.api.endpoint_url)
        dynamodb = config.client("dynamodb")
        named = {table.name: read_table(dynamodb, table.name, problems) for table in config.tables}
        wrong = [one for one in findings(config.settings, facts, named) if one.wrong]
        if wrong:
            return _failing("config-wrong", count=len(wrong), first=f"{wrong[0].key}: {wrong[0].found}")
        return _done("config-ok", path=str(config.path))

    def baseline(self) -> Evidence:
        path = self.source / BASELINE
        if not path.exists():
            return self._no_baseline()
        return _done("baseline-there", count=sum(one.count for one in read_baseline(path).values()), path=BASELINE)

    def gate(self) -> Evidence:
        # The code may be below the repository's root, and CI's files are there.
        top = next((one for one in (self.source, *self.source.parents) if (one / ".git").exists()), self.source)
        for base in dict.fromkeys((self.source, top)):
            for path in (path for pattern in CI_FILES for path in sorted(base.glob(pattern))):
                if path.is_file() and _GATE.search(path.read_text(encoding="utf-8", errors="replace")):
                    return _done("gate-found", path=str(path.relative_to(base)))
        return _open("no-gate")

    def new_uses(self) -> Evidence:
        path = self.source / BASELINE
        if not path.exists():
            return self._no_baseline()
        gated = [found for found in self._scan.findings if counts_for_gate(found, tests=False)]
        new = compare(gated, read_baseline(path)).new
        if new:
            return _failing("new-uses", count=len(new), first=_place(new[0]))
        return _done("no-new-uses", files=self._scan.files) if self._scan.files else _open("no-files")

    def _no_baseline(self) -> Evidence:
        # Where there is no code, none can be written.
        return _open("no-baseline", path=BASELINE) if self._scan.files else _open("no-files")

    # Phase 2

    def service(self) -> Evidence:
        url = self.config.sse.url
        if not url:
            return _open("no-url")
        try:
            answer = httpx.get(f"{url}/readyz", timeout=READY_S, trust_env=False)
        except httpx.HTTPError as error:
            return _failing("service-not-ready", url=url, error=type(error).__name__)
        if answer.status_code != httpx.codes.OK:
            return _failing("service-not-ready", url=url, error=f"HTTP {answer.status_code}")
        return _done("service-ready", url=url)

    def verdicts(self) -> Evidence:
        if not self.config.features:
            return _open("no-features")
        found = {one.name: last_verdict(self.table, one.name) for one in self.config.features}
        by_verdict: dict[str, list[str]] = {}
        for name, verdict in found.items():
            by_verdict.setdefault("none" if verdict is None else self._standing(verdict), []).append(name)
        for verdict_name, make, message in (
            ("fail", _failing, "compare-failed"),
            ("none", _open, "not-compared"),
            ("inconclusive", _open, "compare-unsure"),
        ):
            if verdict_name in by_verdict:
                return make(message, features=", ".join(by_verdict[verdict_name]))
        oldest = min(one.window[1] for one in found.values() if one is not None)
        digests = sorted(one.digest for one in found.values() if one is not None)
        evidence = _done("compared", count=len(found), oldest=_time(oldest))
        return replace(evidence, taken_at=oldest, digest=digest(digests))

    def _standing(self, verdict: StoredVerdict) -> str:
        """A verdict by the configuration's own gates: a comparison may have been told others."""
        gates = self.config.gates
        enough = verdict.expected >= gates.min_samples and verdict.loss_upper <= gates.max_loss
        whole = verdict.complete or not gates.complete_capture
        return verdict.verdict if verdict.verdict != "pass" or (enough and whole) else "inconclusive"

    def flags(self) -> Evidence:
        if not self.config.features:
            return _open("no-features")
        percent = moved_percents(self.table)
        left = [one.name for one in self.config.features if percent.get(one.name, 0.0) < 100]
        if left:
            shown = ", ".join(f"{name} ({percent.get(name, 0.0):g} %)" for name in left)
            return _open("not-moved", features=shown, first=left[0], tenant=self._lagging(left[0]))
        return _done("moved", count=len(self.config.features))

    def _lagging(self, feature: str) -> str:
        """The tenant that has to move; empty: everybody, or those without a flag of their own."""
        percents = percents_by_tenant(self.table).get(feature, {})
        if percents.get(EVERY_TENANT, 0.0) < 100:
            return ""
        return next((tenant for tenant, percent in sorted(percents.items()) if percent < 100), "")

    def clients(self) -> Evidence:
        return self._uses(
            found for found in self._scan.findings
            if found.kind is Kind.CLIENT and found.target is not Target.OTHER and not found.in_test
        )  # fmt: skip

    def reconnects(self) -> Evidence:
        return self._uses(found for found in self._scan.findings if found.kind is Kind.RECONNECT and not found.in_test)

    def tests(self) -> Evidence:
        return self._uses(found for found in self._scan.findings if found.in_test and not found.is_other)

    def dashboard(self) -> Evidence:
        name = dashboard_name(self.config)
        if self._is_missing(lambda: self.config.client("cloudwatch").get_dashboard(DashboardName=name)):
            return _open("not-there", what=name)
        return _done("there", what=name)

    def alarms(self) -> Evidence:
        prefix = alarm_prefix(self.config)
        # By their names: what begins alike may be another project's.
        names = [prefix + one for one in ALARMS]
        found = self.config.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        if not found:
            return _open("not-there", what=f"{prefix}*")
        return _done("there", what=", ".join(sorted(one["AlarmName"] for one in found)))

    def runbook(self) -> Evidence:
        path = runbook_path(self.config)
        if not path.is_file():
            return _open("not-there", what=str(path))
        if config_digest(self.config)[:12] not in path.read_text(encoding="utf-8"):
            return _open("outdated", what=str(path))
        return _done("there", what=str(path))

    # Phase 3

    def plan_api(self) -> Evidence:
        return self._planned({self.config.api.id})

    def plan_tables(self) -> Evidence:
        return self._planned({one.name for one in self.config.tables if one.role == "connections"})

    def plan_functions(self) -> Evidence:
        return self._planned({one.name for one in self.config.functions})

    def logs(self) -> Evidence:
        client = self.config.client("logs")
        forever, shortest, count = [], 10**9, 0
        for function in self.config.functions:
            name = function.log_group or f"/aws/lambda/{function.name}"
            groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            for group in groups:
                if group["logGroupName"] != name:
                    continue
                count += 1
                days = group.get("retentionInDays")
                if days is None:
                    forever.append(name)
                else:
                    shortest = min(shortest, int(days))
        if forever:
            return _open("logs-unset", groups=", ".join(forever))
        return _done("logs-set", count=count, days=shortest if count else 0)

    def cost(self) -> Evidence:
        item = next(self.table.query(cost_key(self.config), newest_first=True), None)
        if item is None:
            return _open("not-there", what="migrate cost")
        before, after = float(item["before_usd"]), float(item["after_usd"])
        if missing := item.get("not_measured"):
            return _open("cost-unmeasured", what=", ".join(missing))
        make, message = (_done, "cost-known") if after < before else (_failing, "cost-higher")
        evidence = make(message, before=f"{before:.2f}", after=f"{after:.2f}")
        return replace(evidence, taken_at=float(item["made_at"]), digest=str(item.get("digest", "")))

    def traffic(self) -> Evidence:
        hours = self.config.cleanup.quiet_hours
        found = {name: self._sum(name, hours) for name in ("ConnectCount", "MessageCount")}
        connects, messages = found["ConnectCount"], found["MessageCount"]
        values = {"connects": round(connects), "messages": round(messages), "hours": f"{hours:g}"}
        return _open("traffic-some", **values) if connects or messages else _done("traffic-none", hours=f"{hours:g}")

    def swept(self) -> Evidence:
        from migrate.sweep.rows import Rows

        client = self.config.client("dynamodb")
        left = []
        for table in self.config.tables:
            if table.role != "connections":
                continue
            try:
                schema = client.describe_table(TableName=table.name)["Table"]["KeySchema"]
                rows = Rows(table, [one["AttributeName"] for one in schema])
                pages = client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
                if any(rows.entries(item) for page in pages for item in page["Items"]):
                    left.append(table.name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _MISSING:
                    raise
        return _open("rows-some", tables=", ".join(left)) if left else _done("rows-none")

    def tee(self) -> Evidence:
        client = self.config.client("lambda")
        on = []
        try:
            functions: Iterable[str] = tee_functions(self.config)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise
            functions = [one.name for one in self.config.functions]
        for name in functions:
            try:
                if client.get_function_configuration(FunctionName=name).get("Handler") == HANDLER:
                    on.append(name.rsplit(":", 1)[-1])
            except ClientError as error:
                if error.response["Error"]["Code"] not in _MISSING:
                    raise
        return _open("tee-on", functions=", ".join(on)) if on else _done("tee-off")

    def gone(self) -> Evidence:
        config = self.config
        gateway, dynamodb, lambda_ = config.client("apigatewayv2"), config.client("dynamodb"), config.client("lambda")
        left = []
        if not self._is_missing(lambda: gateway.get_api(ApiId=config.api.id)):
            left.append(f"API {config.api.id}")
        for table in config.tables:
            if table.role == "connections" and not self._is_missing(
                partial(dynamodb.describe_table, TableName=table.name)
            ):
                left.append(f"table {table.name}")
        left += [
            f"function {one.name}"
            for one in config.functions
            if not self._is_missing(partial(lambda_.get_function_configuration, FunctionName=one.name))
        ]
        return _open("still-there", what=", ".join(left)) if left else _done("all-gone")

    def archive(self) -> Evidence:
        item = next(self.table.query(report_key(self.config), newest_first=True), None)
        if item is None:
            return _open("not-there", what="migrate report")
        return replace(_done("there", what=str(item["path"])), digest=str(item.get("digest", "")))

    @cached_property
    def _scan(self) -> ScanReport:
        api = self.config.api
        identity = StackIdentity(frozenset({api.id}), tuple(api.hosts), ())
        return scan_tree([self.source], ScanOptions(identity, jobs=1))

    def _uses(self, uses: Iterable[Finding]) -> Evidence:
        left = list(uses)
        if left:
            return _open("uses-left", count=len(left), first=_place(left[0]))
        # Where there is no code, none of it is no evidence.
        return _done("uses-none", files=self._scan.files) if self._scan.files else _open("no-files")

    def _planned(self, wanted: set[str]) -> Evidence:
        item = next(self.table.query(plan_key(self.config), newest_first=True), None)
        if item is None:
            return _open("no-plan")
        lacking = sorted(wanted - {str(one) for one in item["covers"]})
        if lacking:
            return _open("plan-lacks", what=", ".join(lacking))
        evidence = _done("plan-covers", at=_time(float(item["made_at"])), count=len(wanted))
        return replace(evidence, digest=str(item.get("digest", "")))

    def _sum(self, metric: str, hours: float) -> float:
        """Of a metric of the API's stage (API Gateway guide, "Monitor WebSocket API execution with CloudWatch")."""
        api = self.config.api
        answer = self.config.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApiGateway",
            MetricName=metric,
            Dimensions=[{"Name": "ApiId", "Value": api.id}, {"Name": "Stage", "Value": api.stage}],
            StartTime=datetime.fromtimestamp(self.now - hours * 3600, UTC),
            EndTime=datetime.fromtimestamp(self.now + 60, UTC),
            Period=3600,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in answer["Datapoints"]))

    @staticmethod
    def _is_missing(ask: Callable[[], Any]) -> bool:
        try:
            ask()
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return True
            raise
        return False


def gather(items: Sequence[Item], collectors: Collectors) -> dict[str, Evidence]:
    """Evidence by item id, for those items that have a collector."""
    known: dict[str, Callable[[], Evidence]] = {
        "config": collectors.config_checked,
        "baseline": collectors.baseline,
        "gate": collectors.gate,
        "new_uses": collectors.new_uses,
        "service": collectors.service,
        "verdicts": collectors.verdicts,
        "flags": collectors.flags,
        "clients": collectors.clients,
        "reconnects": collectors.reconnects,
        "tests": collectors.tests,
        "dashboard": collectors.dashboard,
        "alarms": collectors.alarms,
        "runbook": collectors.runbook,
        "plan_api": collectors.plan_api,
        "plan_tables": collectors.plan_tables,
        "plan_functions": collectors.plan_functions,
        "logs": collectors.logs,
        "cost": collectors.cost,
        "traffic": collectors.traffic,
        "swept": collectors.swept,
        "tee": collectors.tee,
        "gone": collectors.gone,
        "archive": collectors.archive,
    }

    def one(item: Item) -> Evidence:
        try:
            found = known[item.collector]()
        except MigrateError as error:
            found = _open("unknown", error=error.message)
        except ClientError as error:
            found = _open("unknown", error=error.response["Error"]["Code"])
        except (BotoCoreError, OSError) as error:
            found = _open("unknown", error=type(error).__name__)
        return replace(
            found,
            taken_at=found.taken_at or collectors.now,
            digest=found.digest or digest({"message": found.message, "values": dict(found.values)}),
        )

    asked = [item for item in items if item.collector]
    if any(item.collector in {"baseline", "new_uses", "clients", "reconnects", "tests"} for item in asked):
        _ = collectors._scan  # once, for all of them
    with ThreadPoolExecutor(8) as pool:
        return dict(zip([item.id for item in asked], pool.map(one, asked), strict=True))


def _done(message: str, **values: Any) -> Evidence:
    return Evidence(State.DONE, message, values)


def _open(message: str, **values: Any) -> Evidence:
    return Evidence(State.OPEN, message, values)


def _failing(message: str, **values: Any) -> Evidence:
    return Evidence(State.FAILING, message, values)


def _place(found: Finding) -> str:
    return f"{found.path}:{found.line}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at or time.time(), UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
