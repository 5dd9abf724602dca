"""Where the items of a phase stand now: what is found out, and what people said. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping

from migrate.phases.collect import Collectors, gather
from migrate.phases.evidence import config_digest
from migrate.phases.items import items_of
from migrate.phases.judge import judge
from migrate.phases.model import Row, Signature
from migrate.phases.signatures import Signatures

__all__ = ["standing"]


def standing(phase: int, looks: Collectors, signed: Mapping[str, Signature] | None = None) -> list[Row]:
    """A row for each item.

    Args:
        looks: what is looked at; that of another phase may be used again, and does not scan twice then.
        signed: by item id; None: they are read.

    Raises: MigrateError: the state table cannot be used.
    """
    if signed is None:
        signed = Signatures(looks.table, looks.config.project.name).of(phase)
    items = items_of(phase)
    return judge(items, gather(items, looks), signed, config_digest(looks.config), looks.now)
