"""What an item of a checklist is, and what is known of it. Pure. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["LANGUAGES", "Evidence", "Group", "Item", "Row", "Signature", "State", "Status"]

LANGUAGES = ("en", "ja", "ko")


class Group(StrEnum):
    """Whose item it is; the document's own three, and what this toolkit adds."""

    DEVELOPERS = "developers"
    INFRASTRUCTURE = "infrastructure"
    OPERATIONS = "operations"
    TOOLKIT = "toolkit"


class State(StrEnum):
    """What evidence says by itself."""

    DONE = "done"
    OPEN = "open"
    FAILING = "failing"


class Status(StrEnum):
    """Where an item stands, signatures and age included."""

    DONE = "done"
    OPEN = "open"
    FAILING = "failing"
    WAIVED = "waived"


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Attributes:
        id: what commands call it; never changes.
        row: its row of the document (dev1 ... dev7, infra1 ... infra5, ops1 ... ops4), or empty when it is ours.
        title: by language.
        collector: name of what gathers its evidence; empty: only a person can know, and signs.
        command: the next step, a template (`migrate.phases.commands` says of what).
        stale_after_s: age at which its evidence (or signature) counts no more; 0: never.
    """

    id: str
    phase: int
    group: Group
    title: Mapping[str, str] = field(hash=False)
    collector: str = ""
    command: str = ""
    row: str = ""
    stale_after_s: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """What was gathered.

    Attributes:
        message: id of its text (`migrate.phases.texts`), and values for it.
        taken_at: epoch seconds of what it is about: of a comparison, when its window ended.
        digest: sha256 of the facts.
    """

    state: State
    message: str
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)
    taken_at: float = 0.0
    digest: str = ""


@dataclass(frozen=True)
class Signature:
    """What a person said of an item.

    Attributes:
        kind: signed (it is done) or waived (it is not needed).
        config: digest of the configuration that it was said of.
    """

    kind: str
    by: str
    note: str
    at: float
    config: str


@dataclass(frozen=True)
class Row:
    """An item as it stands now."""

    item: Item
    status: Status
    evidence: Evidence | None
    signature: Signature | None
    is_stale: bool = False
    reason: str = ""
    """Id of a text that says why it is open although there is evidence or a signature."""
