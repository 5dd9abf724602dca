"""Evidence from what runs: the AWS account, and the SSE service. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import httpx
from botocore.exceptions import ClientError

from migrate.aws import is_missing, stage_traffic
from migrate.config import Config
from migrate.observe.definitions import ALARMS, WATCHED, alarms
from migrate.phases.evidence import done, failing, still_open
from migrate.phases.model import Evidence
from migrate.phases.names import alarm_prefix, dashboard_name
from migrate.tee.function_configuration import HANDLER
from migrate.tee.setup import tee_functions

__all__ = ["Account"]

READY_S = 5.0


class Account:
    """The stack as it is now.

    Args:
        config: of the stack.
        now: epoch seconds.
    """

    def __init__(self, config: Config, now: float) -> None:
        self.config = config
        self.now = now

    def config_checked(self) -> Evidence:
        from migrate.init.aws import read_aws, read_table
        from migrate.init.check import findings

        config, problems = self.config, list[str]()
        facts = read_aws(config.client, config.api.id, config.region, config.api.endpoint_url)
        dynamodb = config.client("dynamodb")
        named = {table.name: read_table(dynamodb, table.name, problems) for table in config.tables}
        wrong = [one for one in findings(config.settings, facts, named) if one.wrong]
        if wrong:
            return failing("config-wrong", count=len(wrong), first=f"{wrong[0].key}: {wrong[0].found}")
        return done("config-ok", path=str(config.path))

    def service(self) -> Evidence:
        url = self.config.sse.url
        if not url:
            return still_open("no-url")
        try:
            answer = httpx.get(f"{url}/readyz", timeout=READY_S, trust_env=False)
        except httpx.HTTPError as error:
            return failing("service-not-ready", url=url, error=type(error).__name__)
        if answer.status_code != httpx.codes.OK:
            return failing("service-not-ready", url=url, error=f"HTTP {answer.status_code}")
        return done("service-ready", url=url)

    def dashboard(self) -> Evidence:
        name = dashboard_name(self.config)
        if _is_gone(lambda: self.config.client("cloudwatch").get_dashboard(DashboardName=name)):
            return still_open("not-there", what=name)
        return done("there", what=name)

    def alarms(self) -> Evidence:
        prefix = alarm_prefix(self.config)
        # By their names: what begins alike may be another project's.
        names = [prefix + one for one in ALARMS]
        found = self.config.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        if found:
            return done("alarms-there", count=len(found), what=", ".join(sorted(one["AlarmName"] for one in found)))
        if not alarms(self.config.settings, prefix, ""):
            return still_open("no-alarms", keys=WATCHED)
        return still_open("not-there", what=f"{prefix}*")

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
            return still_open("logs-unset", groups=", ".join(forever))
        return done("logs-set", count=count, days=shortest if count else 0)

    def traffic(self) -> Evidence:
        hours = self.config.cleanup.quiet_hours
        found = stage_traffic(self.config, hours, self.now)
        connects, messages = found["ConnectCount"], found["MessageCount"]
        if not connects and not messages:
            return done("traffic-none", hours=f"{hours:g}")
        return still_open("traffic-some", connects=round(connects), messages=round(messages), hours=f"{hours:g}")

    def swept(self) -> Evidence:
        from migrate.tables.rows import Rows

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
                if not is_missing(error):
                    raise
        return still_open("rows-some", tables=", ".join(left)) if left else done("rows-none")

    def tee(self) -> Evidence:
        client = self.config.client("lambda")
        on = []
        try:
            functions: Iterable[str] = tee_functions(self.config)
        except ClientError as error:
            if not is_missing(error):
                raise
            functions = [one.name for one in self.config.functions]
        for name in functions:
            try:
                if client.get_function_configuration(FunctionName=name).get("Handler") == HANDLER:
                    on.append(name.rsplit(":", 1)[-1])
            except ClientError as error:
                if not is_missing(error):
                    raise
        return still_open("tee-on", functions=", ".join(on)) if on else done("tee-off")

    def gone(self) -> Evidence:
        config = self.config
        gateway, dynamodb, lambda_ = config.client("apigatewayv2"), config.client("dynamodb"), config.client("lambda")
        left = []
        if not _is_gone(lambda: gateway.get_api(ApiId=config.api.id)):
            left.append(f"API {config.api.id}")
        for table in config.tables:
            if table.role == "connections" and not _is_gone(partial(dynamodb.describe_table, TableName=table.name)):
                left.append(f"table {table.name}")
        left += [
            f"function {one.name}"
            for one in config.functions
            if not _is_gone(partial(lambda_.get_function_configuration, FunctionName=one.name))
        ]
        return still_open("still-there", what=", ".join(left)) if left else done("all-gone")


def _is_gone(ask: Callable[[], Any]) -> bool:
    try:
        ask()
    except ClientError as error:
        if is_missing(error):
            return True
        raise
    return False
