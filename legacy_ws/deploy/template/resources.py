"""Resources of a template as plain data. until phase 3

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from legacy_ws.deploy.options import StackSettings
from legacy_ws.deploy.spec import StackNames

__all__ = ["Resources", "app_tag_list", "log_group", "output", "resolved", "resource", "stateful", "tag_list", "title"]

Resources = dict[str, dict[str, object]]
"""Logical id -> resource."""


def resource(kind: str, **properties: object) -> dict[str, object]:
    """A resource with these properties."""
    return {"Type": kind, "Properties": resolved(properties)}


def stateful(kind: str, **properties: object) -> dict[str, object]:
    """A resource with data in it: gone with the stack, as with `legacy-ws destroy`, and never by an update."""
    made = resource(kind, **properties)
    return {"Type": kind, "DeletionPolicy": "Delete", "UpdateReplacePolicy": "Retain", "Properties": made["Properties"]}


def output(description: str, value: str) -> dict[str, object]:
    """An output."""
    return {"Description": description, "Value": resolved(value)}


def resolved(value: object) -> object:
    """`${...}` in texts become `Fn::Sub`, one that is all of a text `Ref`."""
    if isinstance(value, Mapping):
        return {key: resolved(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(one) for one in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if alone := re.fullmatch(r"\$\{([\w:]+)\}", value):
        return {"Ref": alone[1]}
    return {"Fn::Sub": value}


def title(name: str) -> str:
    """`sendMessage` -> `SendMessage`, `chat-typing` -> `ChatTyping`: logical ids are alphanumeric."""
    words = "".join(letter if letter.isalnum() else " " for letter in name).split()
    return "".join(word[:1].upper() + word[1:] for word in words)


def log_group(name: str, settings: StackSettings, names: StackNames) -> dict[str, object]:
    """A log group of the stack."""
    days = settings.log_retention_days
    return stateful("AWS::Logs::LogGroup", LogGroupName=name, RetentionInDays=days, Tags=tag_list(names))


def tag_list(names: StackNames) -> list[dict[str, str]]:
    """`legacy-ws status` and `token` find the stack by its tag; `deploy` and `destroy` see who made it and refuse."""
    return _pairs(names.tags)


def app_tag_list(names: StackNames) -> list[dict[str, str]]:
    """Tags of a table, which also says what application the stack is."""
    return _pairs(names.app_tags)


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
