"""Reads what invokes functions besides the API: event source mappings, rules, schedules. until phase 3 (MG1)

AWS Lambda API reference (ListEventSourceMappings), Amazon EventBridge API reference (ListRuleNamesByTarget,
DescribeRule), Amazon EventBridge Scheduler API reference (ListSchedules, GetSchedule). What may not be read is
reported, and the rest is used. Rules are looked for on the default bus, which alone has schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config.model import EventSource
from migrate.init.sources import MAPPED, SourceFact, of_mapping

__all__ = ["SourceReader"]

_LOST = "what feeds the functions is missing"


class SourceReader:
    """Sources of a region's functions.

    Args:
        client: makes a boto3 client of a service.
        name_of: the function's name in an ARN, or empty.
        problems: gets what could not be read.

    Attributes:
        mapped: sources of event source mappings, by function.
        unread: types of sources of which nothing can be said.
    """

    def __init__(self, client: Callable[[str], Any], name_of: Callable[[str], str], problems: list[str]) -> None:
        self._events, self._scheduler = client("events"), client("scheduler")
        self._name_of, self._problems = name_of, problems
        self.mapped: dict[str, list[SourceFact]] = {}
        self.unread: set[str] = set()
        self._scheduled: dict[str, list[tuple[str, str]]] = {}
        self._read(lambda: self._mappings(client("lambda")), f"event source mappings ({{}}): {_LOST}", *MAPPED, "other")
        self._read(self._list_schedules, "EventBridge schedules ({})", "schedule")

    def of(self, name: str, arn: str) -> Iterator[SourceFact]:
        """Of one function."""
        yield from self.mapped.get(name, ())
        found: list[SourceFact] = []
        self._read(lambda: found.extend(self._schedules(name)), "EventBridge schedules ({})", "schedule")
        if arn and "eventbridge" not in self.unread:
            said = "EventBridge rules ({})"
            self._read(lambda: found.extend(self._rules(arn)), said, "schedule", "eventbridge")
        yield from found

    def _read(self, read: Callable[[], None], otherwise: str, *types: str) -> None:
        try:
            read()
        except (ClientError, BotoCoreError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            self._problems.append(otherwise.format(code))
            self.unread.update(types)

    def _mappings(self, lambda_: Any) -> None:
        for page in lambda_.get_paginator("list_event_source_mappings").paginate():
            for mapping in page["EventSourceMappings"]:
                name = self._name_of(str(mapping.get("FunctionArn", "")))
                self.mapped.setdefault(name, []).append(of_mapping(mapping))

    def _list_schedules(self) -> None:
        """(schedule, group) by function. Their expressions are asked for later: an account may have very many."""
        for page in self._scheduler.get_paginator("list_schedules").paginate():
            for one in page["Schedules"]:
                name = self._name_of(str(one.get("Target", {}).get("Arn", "")))
                self._scheduled.setdefault(name, []).append((one["Name"], one.get("GroupName", "default")))

    def _schedules(self, function: str) -> Iterator[SourceFact]:
        for name, group in self._scheduled.get(function, ()):
            given = self._scheduler.get_schedule(Name=name, GroupName=group)
            source = EventSource(type="schedule", name=given["ScheduleExpression"])
            yield SourceFact(source, enabled=given.get("State", "ENABLED") == "ENABLED")

    def _rules(self, arn: str) -> Iterator[SourceFact]:
        # It has no paginator.
        more: dict[str, str] = {}
        while True:
            page = self._events.list_rule_names_by_target(TargetArn=arn, **more)
            for name in page.get("RuleNames", ()):
                rule = self._events.describe_rule(Name=name)
                expression = rule.get("ScheduleExpression", "")
                source = EventSource(type="schedule" if expression else "eventbridge", name=expression or name)
                yield SourceFact(source, enabled=rule.get("State", "ENABLED") != "DISABLED")
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}
