"""What invokes a team's functions besides the API: what a rehearsal makes of it, and what not. Pure. until phase 3

AWS Lambda developer guide, "Using Lambda with Amazon SQS", "Using AWS Lambda with Amazon DynamoDB", "Control which
events Lambda sends to your function"; MiniStack invokes at once and reads the filters' operators of `_OPERATORS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from migrate.config.model import EventSource, Function, Table
from migrate.init.draft import Limit
from migrate.init.sources import called
from migrate.rehearse.packages import Package

__all__ = ["EVERY_S", "queues_of", "sources_of", "unfilled_queues"]

EVERY_S = 20.0
"""Seconds between invocations of a function whose schedule asks for other times: a rehearsal takes minutes."""

_OPERATORS = {"exists", "prefix", "suffix", "anything-but", "numeric"}
_QUEUE = re.compile(r"\{\$queue_(?:url|arn)\.([A-Za-z0-9_.-]+)\}")


def sources_of(function: Function, tables: Collection[Table], limits: list[Limit]) -> tuple[EventSource, ...]:
    """Those of a function's sources that the rehearsal makes, as it makes them.

    Args:
        limits: gets what is not as on AWS, and what is not made.
    """
    made = []
    for source in function.event_sources:
        if source.type == "dynamodb" and all(one.name != source.name for one in tables):
            limits.append(Limit(
                f"{called(source)} is not made, so that it does not invoke {function.name}: there is no such table",
                f"describe it: [[tables]] name = {json.dumps(source.name)}, with its keys",
            ))  # fmt: skip
        elif source.type in {"sqs", "dynamodb"}:
            made.append(_mapped(function, source, limits))
        elif source.type == "schedule":
            made.append(source)
            limits.append(Limit(
                f"{function.name} is invoked every {EVERY_S:g} s in the place of its schedule {source.name}; what it "
                "posts has no entering frame that could be replayed on the new stack",
                "keep its frames out of `frames` of [[features]], and let a job of the new stack publish them",
            ))  # fmt: skip
        else:
            limits.append(Limit(
                f"{called(source)} ({source.type}) is not made, so that it does not invoke {function.name}",
                "invoke the function against `migrate up`; what it posts was not compared",
            ))  # fmt: skip
    if made and function.role == "route":
        limits.append(Limit(
            f"{function.name} stands behind a route, and is invoked by {', '.join(map(called, made))}: "
            "what it posts for those is neither compared nor carried over the bridge",
            "give those a function of its own, with the role answer",
        ))  # fmt: skip
    return tuple(made)


def _mapped(function: Function, source: EventSource, limits: list[Limit]) -> EventSource:
    if source.batch_window_s:
        limits.append(Limit(
            f"{function.name} gets what is in {called(source)} at once: the local AWS does not wait "
            f"{source.batch_window_s} s for a batch",
            "what relies on several messages in one batch is to be tried against a stage of its own on AWS",
        ))  # fmt: skip
    unknown = sorted(set(_operators([json.loads(one) for one in source.filters])) - _OPERATORS)
    if not unknown:
        return source
    limits.append(Limit(
        f"{function.name} gets everything that is in {called(source)}: the local AWS has no filters with "
        f"{', '.join(unknown)}",
        "let the function leave alone what is not for it, or try it against a stage of its own on AWS",
    ))  # fmt: skip
    return replace(source, filters=())


def _operators(pattern: Any, *, is_value: bool = False) -> Iterator[str]:
    """Names of the operators in a pattern: keys of objects inside lists of values."""
    if isinstance(pattern, dict):
        for key, inner in pattern.items():
            # `$or` stands in the place of a field.
            if is_value or key.startswith("$"):
                yield key
            if is_value and key == "anything-but" and isinstance(inner, dict):
                yield f"anything-but {next(iter(inner), '')}"
            elif not is_value:
                yield from _operators(inner, is_value=isinstance(inner, list))
    elif isinstance(pattern, list):
        for one in pattern:
            yield from _operators(one, is_value=is_value)


def queues_of(functions: Iterable[Function], env: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """Queues that are made, each with its visibility timeout in seconds: those that feed functions, and those that
    environments name as `{$queue_url.NAME}`.

    Lambda refuses a mapping whose queue hides messages for less than the function's timeout (developer guide,
    "Creating and configuring an Amazon SQS event source mapping").
    """
    found: dict[str, int] = {}
    for function in functions:
        for source in function.event_sources:
            if source.type == "sqs":
                found[source.name] = max(found.get(source.name, 30), function.timeout_s)
        given = {**function.env, **env.get("", {}), **env.get(function.name, {})}
        for value in given.values():
            for name in _QUEUE.findall(str(value)):
                found.setdefault(name, 30)
    return found


def unfilled_queues(functions: Iterable[Function], packages: Mapping[str, Package]) -> Iterator[Limit]:
    """Queues into which, as far as code and environments tell, no function of the rehearsal puts anything, and those
    that no function reads.
    """
    listed = list(functions)
    read = {source.name for one in listed for source in one.event_sources if source.type == "sqs"}
    for name in sorted(queues_of(listed, {})):
        texts = [str(value) for one in listed for value in one.env.values()]
        texts += [text for one in listed if one.name in packages for text in packages[one.name].sources.values()]
        if name not in read:
            yield Limit(
                f"no function of the rehearsal reads the queue {name}, so that what is put into it stays there",
                "say which one does ([[functions.event_sources]]), and give it its package",
            )
        elif not any(name in text for text in texts):
            yield Limit(
                f"no function of the rehearsal is told of the queue {name}, so that nothing comes out of it",
                f'name it in the environment of who fills it: env = {{ QUEUE_URL = "{{$queue_url.{name}}}" }}',
            )
