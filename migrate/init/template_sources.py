"""What invokes a function besides the API, in CloudFormation, SAM and serverless.yml. Pure. until phase 3 (MG1)

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-eventsource.html
https://www.serverless.com/framework/docs/providers/aws/events/sqs (and streams, schedule, sns, event-bridge)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from migrate.config.model import EventSource
from migrate.init.sources import SourceFact, of_arn, of_mapping, queue_stand_in

__all__ = ["Sources"]

_TYPES = {
    "AWS::SQS::Queue": ("sqs", "QueueName"),
    "AWS::DynamoDB::Table": ("dynamodb", "TableName"),
    "AWS::DynamoDB::GlobalTable": ("dynamodb", "TableName"),
    "AWS::Serverless::SimpleTable": ("dynamodb", "TableName"),
    "AWS::Kinesis::Stream": ("kinesis", "Name"),
    "AWS::SNS::Topic": ("sns", "TopicName"),
}
# Of SAM's events: where the source's ARN is.
_SAM_MAPPED = {"SQS": "Queue", "DynamoDB": "Stream", "Kinesis": "Stream"}
_SAM_OF_THE_API = {"Api", "HttpApi"}
# Of serverless.yml, as CreateEventSourceMapping has it.
_SERVERLESS = {
    "batchSize": "BatchSize", "maximumBatchingWindow": "MaximumBatchingWindowInSeconds",
    "batchWindow": "MaximumBatchingWindowInSeconds", "enabled": "Enabled",
}  # fmt: skip
_SERVERLESS_OTHER = {
    "s3", "iot", "kafka", "msk", "activemq", "rabbitmq", "cloudwatchLog", "cognitoUserPool", "alexaSkill", "alb",
}  # fmt: skip

Known = tuple[str, str, bool]
"""(type, name, whether it is the deployed one)."""


class Sources:
    """Of a template's resources.

    Args:
        resources: {"Type", "Properties"} by logical name, as plain values.
        named: the logical name of the resource that a value refers to, or empty.
    """

    def __init__(self, resources: Mapping[str, Mapping[str, Any]], named: Callable[[Any], str]) -> None:
        self._resources, self._named = resources, named

    def of(self, logical: str, properties: Mapping[str, Any], name: str) -> Iterator[SourceFact]:
        """Of a function of CloudFormation or SAM: its own events, and resources that point to it."""
        events = properties.get("Events")
        for event in events.values() if isinstance(events, dict) else ():
            if isinstance(event, dict):
                yield from self._of_sam(str(event.get("Type", "")), event.get("Properties") or {})

        def points(value: Any) -> bool:
            text = str(value or "")
            return self._named(text) == logical or (bool(name) and text.rpartition(":")[2] == name)

        for other, resource in self._resources.items():
            given = resource["Properties"]
            match resource["Type"]:
                case "AWS::Lambda::EventSourceMapping" if points(given.get("FunctionName")):
                    yield of_mapping(given, self._known(given.get("EventSourceArn")))
                case "AWS::Events::Rule" if any(points(one.get("Arn")) for one in _maps(given.get("Targets"))):
                    rule = str(given.get("Name") or other)
                    yield _rule(given.get("ScheduleExpression"), rule, given, certain="Name" in given)
                case "AWS::Scheduler::Schedule" if points((given.get("Target") or {}).get("Arn")):
                    yield _rule(given.get("ScheduleExpression"), other, given)
                case "AWS::SNS::Subscription" if points(given.get("Endpoint")):
                    yield self._at(given.get("TopicArn"))

    def of_serverless(self, events: Any) -> Iterator[SourceFact]:
        """Of a function of serverless.yml: all of its events but those of APIs."""
        for event in _maps(events):
            for kind, given in event.items():
                yield from self._of_event(kind, given)

    def stand_ins(self, env: Mapping[str, str]) -> dict[str, str]:
        """As `queue_stand_ins`, where a template refers to its queues: Ref is the address, GetAtt Arn the ARN."""
        found = {}
        for key, value in env.items():
            logical = self._named(value)
            kind, name, _ = self._resource(logical) or ("", "", True)
            text = {f"<{logical}>": "{$queue_url.%s}", f"<{logical}.QueueUrl>": "{$queue_url.%s}",
                    f"<{logical}.Arn>": "{$queue_arn.%s}", f"<{logical}.QueueName>": "%s"}.get(value, "")  # fmt: skip
            if kind == "sqs" and text:
                found[key] = text % name
            elif queue_stand_in(value)[0]:
                found[key] = queue_stand_in(value)[0]
        return found

    def _resource(self, logical: str) -> Known | None:
        resource = self._resources.get(logical)
        if resource is None or resource["Type"] not in _TYPES:
            return None
        kind, key = _TYPES[resource["Type"]]
        name = str(resource["Properties"].get(key) or logical)
        return kind, name.replace("<", "").replace(">", ""), key in resource["Properties"] and "<" not in name

    def _known(self, value: Any) -> Known | None:
        return self._resource(self._named(str(value)))

    def _at(self, value: Any) -> SourceFact:
        """A source without a mapping."""
        kind, name, certain = self._known(value) or (*of_arn(str(value)), True)
        return SourceFact(EventSource(type=kind, name=name), certain and "<" not in name)

    def _of_sam(self, kind: str, given: Any) -> Iterator[SourceFact]:
        if not isinstance(given, dict) or kind in _SAM_OF_THE_API or not kind:
            return
        if kind in _SAM_MAPPED:
            arn = given.get(_SAM_MAPPED[kind])
            yield of_mapping({**given, "EventSourceArn": arn}, self._known(arn))
        elif kind in {"Schedule", "ScheduleV2"}:
            yield _rule(given.get("Schedule") or given.get("ScheduleExpression"), kind, given)
        elif kind in {"EventBridgeRule", "CloudWatchEvent"}:
            yield _rule(None, str(given.get("RuleName") or kind), given, certain="RuleName" in given)
        elif kind == "SNS":
            yield self._at(given.get("Topic"))
        else:
            yield SourceFact(EventSource(type="other", name=kind))

    def _of_event(self, kind: str, given: Any) -> Iterator[SourceFact]:
        more = given if isinstance(given, dict) else {}
        if kind in {"sqs", "stream"}:
            arn = more.get("arn", given)
            mapping: dict[str, Any] = {"EventSourceArn": arn}
            mapping |= {_SERVERLESS[key]: value for key, value in more.items() if key in _SERVERLESS}
            patterns = [{"Pattern": json.dumps(_typed(one))} for one in more.get("filterPatterns") or ()]
            mapping["FilterCriteria"] = {"Filters": patterns}
            mapping["FunctionResponseTypes"] = [more.get("functionResponseType")]
            yield of_mapping(mapping, self._known(arn))
        elif kind == "schedule":
            rates = more.get("rate", given)
            for rate in rates if isinstance(rates, list) else [rates]:
                yield _rule(rate, kind, more)
        elif kind in {"eventBridge", "cloudwatchEvent"}:
            yield _rule(more.get("schedule"), str(more.get("name") or kind), more, certain="name" in more)
        elif kind == "sns":
            topic = str(more.get("arn") or more.get("topicName") or given)
            plain = SourceFact(EventSource(type="sns", name=topic), "<" not in topic)
            yield self._at(topic) if ":" in topic or self._known(topic) else plain
        elif kind in _SERVERLESS_OTHER:
            yield SourceFact(EventSource(type="other", name=kind))


def _rule(expression: Any, name: str, given: Mapping[str, Any], *, certain: bool = True) -> SourceFact:
    enabled = str(given.get("State", "ENABLED")).upper() != "DISABLED"
    enabled = enabled and str(given.get("Enabled", given.get("enabled", True))).lower() != "false"
    if expression:
        return SourceFact(EventSource(type="schedule", name=str(expression)), "<" not in str(expression), enabled)
    name = name.replace("<", "").replace(">", "")
    return SourceFact(EventSource(type="eventbridge", name=name), certain, enabled)


def _typed(pattern: Any, operator: str = "") -> Any:
    """A filter as it was meant: every scalar of these files was read as a text."""
    if isinstance(pattern, dict):
        return {key: _typed(value, key) for key, value in pattern.items()}
    if isinstance(pattern, list):
        return [_typed(one, operator) for one in pattern]
    if operator == "exists":
        return str(pattern).lower() == "true"
    is_number = operator == "numeric" and str(pattern).lstrip("-").replace(".", "", 1).isdecimal()
    return float(pattern) if is_number else pattern


def _maps(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
