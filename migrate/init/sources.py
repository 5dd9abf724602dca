"""What invokes a function besides the API, told by ARNs and mappings wherever they stand. Pure. until phase 3 (MG1)

AWS Lambda API reference, CreateEventSourceMapping; CloudFormation's AWS::Lambda::EventSourceMapping and SAM's events
have the same names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from migrate.config.model import EventSource

__all__ = [
    "MAPPED", "SourceFact", "batch_size_of", "called", "of_arn", "of_mapping", "queue_stand_in", "queue_stand_ins",
]  # fmt: skip

MAPPED = ("sqs", "dynamodb", "kinesis")
"""Types of sources that an event source mapping reads."""
_SERVICE = re.compile(r":(sqs|sns|dynamodb|kinesis):")
_OF_STREAM = {"dynamodb": re.compile(r":table/([^/]+)"), "kinesis": re.compile(r":stream/([^/]+)")}
_QUEUE_URL = re.compile(r"https?://[^/]+/\d{12}/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)")
_QUEUE_ARN = re.compile(r"arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:([A-Za-z0-9_-]{1,80}(?:\.fifo)?)")
_SAID = {
    "sqs": "the queue {}", "dynamodb": "the stream of the table {}", "kinesis": "the stream {}",
    "schedule": "the schedule {}", "eventbridge": "the rule {}", "sns": "the topic {}", "other": "{}",
}  # fmt: skip


@dataclass(frozen=True)
class SourceFact:
    """A source of a function's events.

    Args:
        certain: whether the name is the deployed one (a template may make it at deployment).
        enabled: whether it invokes the function now.
    """

    source: EventSource
    certain: bool = True
    enabled: bool = True


def called(source: EventSource) -> str:
    """How texts call it."""
    return _SAID[source.type].format(source.name)


def batch_size_of(source: EventSource) -> int:
    """What its mapping has (Lambda developer guide: 10 for queues, 100 for streams unless told otherwise)."""
    return source.batch_size or (10 if source.type == "sqs" else 100)


def of_arn(arn: str) -> tuple[str, str]:
    """(type, name) of the queue, table's stream, stream or topic that an ARN names."""
    found = _SERVICE.search(arn)
    if found is None:
        return "other", arn.rpartition(":")[2] or arn or "unknown"
    kind = found.group(1)
    if kind not in _OF_STREAM:
        return kind, arn.rpartition(":")[2] or "unknown"
    named = _OF_STREAM[kind].search(arn)
    return kind, named.group(1) if named else "unknown"


def of_mapping(mapping: Mapping[str, Any], known: tuple[str, str, bool] | None = None) -> SourceFact:
    """The source of an event source mapping.

    Args:
        mapping: as ListEventSourceMappings answers, or as a template has it.
        known: (type, name, certain), where the ARN is a reference to a resource.
    """
    kind, name, certain = known or (*of_arn(str(mapping.get("EventSourceArn", ""))), True)
    size = _number(mapping.get("BatchSize"))
    usual = batch_size_of(EventSource(type=kind, name=name))
    enabled = str(mapping.get("Enabled", True)).lower() != "false"
    return SourceFact(
        EventSource(
            type=kind,
            name=name,
            batch_size=0 if size == usual else size,
            batch_window_s=_number(mapping.get("MaximumBatchingWindowInSeconds")),
            filters=tuple(_patterns((mapping.get("FilterCriteria") or {}).get("Filters"))),
            report_batch_item_failures="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()),
        ),
        certain and "<" not in name,
        enabled and str(mapping.get("State", "Enabled")) not in {"Disabled", "Disabling"},
    )


def _patterns(filters: Any) -> Iterable[str]:
    for one in filters if isinstance(filters, list) else ():
        if isinstance(one, Mapping) and one.get("Pattern"):
            yield str(one["Pattern"])


def _number(value: Any) -> int:
    text = str(value if value is not None else 0)
    return int(text) if text.isdecimal() else 0


def queue_stand_in(value: str) -> tuple[str, str]:
    """(a rehearsal's stand-in, the queue's name) of an environment's value that is a queue's address; else empty."""
    for pattern, kind in ((_QUEUE_URL, "url"), (_QUEUE_ARN, "arn")):
        found = pattern.fullmatch(value)
        if found:
            return f"{{$queue_{kind}.{found.group(1)}}}", found.group(1)
    return "", ""


def queue_stand_ins(env: Mapping[str, str]) -> dict[str, str]:
    """Stand-ins of a rehearsal for what of an environment is a queue's address, which is no secret."""
    found = {name: queue_stand_in(value)[0] for name, value in env.items()}
    return {name: text for name, text in found.items() if text}
