"""Who is on which transport: the flags of a cut-over, as the SSE service reads them. until phase 3

The rule and the key's form are the service's own (sse_service/flags.py); here is what a change needs besides: an epoch
that grows with every change of a feature, so that two operators cannot both win and a client knows the newer answer, a
salt that stays, and who did it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from migrate.control.journal import actor
from migrate.control.table import ConditionFailedError, ControlTable
from migrate.errors import RefusedError
from sse_service.flags import EVERY_TENANT, PARTITION, Flag, sort_key

__all__ = ["EVERY_TENANT", "CutoverFlag", "Flags", "behind", "moved_percents", "percents_by_tenant"]

ATTEMPTS = 20


@dataclass(frozen=True)
class CutoverFlag:
    """A flag and its history's last line.

    Args:
        tenant: `*` for every tenant that has no flag of its own.
        state: off (never moved), moving, moved (100 %), returned.
        legacy, sse: addresses of both sides, for people.
        steps, hold_s: of the run that brought it here; empty: a single change.
    """

    feature: str
    tenant: str
    percent: float
    epoch: int
    salt: str
    state: str = "off"
    legacy: str = ""
    sse: str = ""
    updated_at: float = 0.0
    updated_by: str = ""
    note: str = ""
    steps: tuple[float, ...] = field(default=())
    hold_s: float = 0.0

    @property
    def rule(self) -> Flag:
        """What the service decides by."""
        return Flag(self.feature, self.tenant, self.percent, self.epoch, self.salt)


class Flags:
    """The flags of one migration.

    Args:
        table: of the shared state.
        clock: epoch seconds.
    """

    def __init__(self, table: ControlTable, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock

    def all(self) -> list[CutoverFlag]:
        """Of this project."""
        return [_flag(item) for item in self._table.query(PARTITION) if self._table.is_ours(item)]

    def of(self, feature: str) -> dict[str, CutoverFlag]:
        """By tenant. Raises: RefusedError: they are another project's."""
        prefix = sort_key(feature, "")
        found = self._table.query(PARTITION, since=prefix, before=f"{prefix}\U0010ffff")
        return {flag.tenant: flag for flag in map(self._ours, found)}

    def get(self, feature: str, tenant: str = EVERY_TENANT) -> CutoverFlag | None:
        """Raises: RefusedError: it is another project's."""
        item = self._table.get(PARTITION, sort_key(feature, tenant))
        return self._ours(item) if item else None

    def _ours(self, item: dict[str, Any]) -> CutoverFlag:
        if not self._table.is_ours(item):
            # The service finds flags by feature alone: to it, the other project's flag is this one's as well.
            raise RefusedError(
                f"the flag of {item.get('feature')} in the table {self._table.name} is of the project "
                f"{item['project']}, not of {self._table.project}; nothing is changed",
                "projects that share a table need features of different names: rename one, or give this project "
                "another project.state_table (and its service the same SSE_TRANSPORT_TABLE)",
            )
        return _flag(item)

    def change(
        self, feature: str, tenant: str, percent: float, seen: CutoverFlag | None, *, state: str = "", **more: Any
    ) -> CutoverFlag:
        """Set the percentage, if the flag is still the one that was `seen` (None: none).

        Args:
            more: legacy, sse, note, steps, hold_s.

        Raises: RefusedError: somebody else has changed it meanwhile; nothing is written.
        """
        others = self.of(feature)
        # Over all flags of the feature: a tenant that gets one of its own must not go back in epochs.
        epoch = max((flag.epoch for flag in others.values()), default=0) + 1
        salt = next((flag.salt for flag in others.values()), "") or secrets.token_hex(8)
        kept = {"legacy": seen.legacy, "sse": seen.sse} if seen else {}
        flag = CutoverFlag(
            feature,
            tenant,
            percent,
            epoch,
            salt,
            state or ("moved" if percent >= 100 else "moving" if percent > 0 else "returned"),
            updated_at=self._clock(),
            updated_by=actor(),
            **{**kept, **more},
        )
        item = {"pk": PARTITION, "sk": sort_key(feature, tenant), **asdict(flag), "steps": list(flag.steps)}
        item["project"] = self._table.project or None
        try:
            if seen is None:
                self._table.put(item, condition="attribute_not_exists(pk)")
            else:
                self._table.put(item, condition="epoch = :epoch", values={":epoch": seen.epoch})
        except ConditionFailedError as failed:
            held = failed.item or {}
            if all(held.get(name) == item[name] for name in ("percent", "epoch", "salt", "updated_at", "updated_by")):
                # Our own: its answer was lost on the way, and the client sent it again.
                return flag
            raise RefusedError(
                f"{feature} ({tenant}) was changed to {held.get('percent', '?')} % by "
                f"{held.get('updated_by', 'somebody else')} meanwhile; nothing is changed",
                "look at `migrate cutover status`, then decide again",
            ) from None
        return flag

    def back(self, feature: str, tenant: str | None = None, note: str = "") -> list[CutoverFlag]:
        """Everybody of a feature (or of one tenant) to WebSocket, whatever is going on. Returns the flags written.

        Whoever changes a flag at the same moment is overruled.
        """
        if tenant is not None:
            return [self._one_back(feature, tenant, note)]
        written: list[CutoverFlag] = []
        wanted = {EVERY_TENANT, *self.of(feature)}
        for _ in range(ATTEMPTS):
            written += [self._one_back(feature, one, note) for one in sorted(wanted)]
            # A flag that somebody made, or changed, meanwhile.
            wanted = {name for name, flag in self.of(feature).items() if flag.percent > 0}
            if not wanted:
                break
        return written

    def _one_back(self, feature: str, tenant: str, note: str) -> CutoverFlag:
        for attempt in range(ATTEMPTS):
            try:
                return self.change(feature, tenant, 0.0, self.get(feature, tenant), state="returned", note=note)
            except RefusedError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")


def moved_percents(table: ControlTable) -> dict[str, float]:
    """Feature -> percentage of those of its users who have moved least: a tenant that lags behind is not moved, and
    where no flag is for everybody, tenants without one have not moved at all."""
    return {feature: min(percents.values()) for feature, percents in percents_by_tenant(table).items()}


def behind(percents: Mapping[str, float], features: Iterable[str]) -> dict[str, float]:
    """Of these features those that not everybody has moved with, and how far they are.

    Args:
        percents: as `moved_percents` has them; a feature without a flag has not begun.
    """
    return {name: percent for name in features if (percent := percents.get(name, 0.0)) < 100}


def percents_by_tenant(table: ControlTable) -> dict[str, dict[str, float]]:
    """Feature -> tenant (`*`: those without a flag of their own) -> percentage."""
    found: dict[str, dict[str, float]] = {}
    for item in table.query(PARTITION):
        if not table.is_ours(item):
            continue
        feature, _, tenant = str(item["sk"]).partition("#")
        found.setdefault(feature, {EVERY_TENANT: 0.0})[tenant] = float(item["percent"])
    return found


def _flag(item: dict[str, Any]) -> CutoverFlag:
    return CutoverFlag(
        feature=str(item["feature"]),
        tenant=str(item["tenant"]),
        percent=float(item["percent"]),
        epoch=int(item["epoch"]),
        salt=str(item["salt"]),
        state=str(item.get("state", "off")),
        legacy=str(item.get("legacy", "")),
        sse=str(item.get("sse", "")),
        updated_at=float(item.get("updated_at", 0.0)),
        updated_by=str(item.get("updated_by", "")),
        note=str(item.get("note", "")),
        steps=tuple(float(step) for step in item.get("steps") or ()),
        hold_s=float(item.get("hold_s", 0.0)),
    )
