"""Which transport a user is on: the cut-over rule, and the flags it decides by. Pure.

A flag belongs to a feature and a tenant, or to a feature and every tenant that has none of its own (`*`). A user's
place among 10,000 is a hash, so that it is the same on every machine; a growing percentage only moves users forward,
and the same percentage always means the same users.

Items of the table (DynamoDB, shared by those who move a team; this service only reads it): pk `flags`, sk
`{feature}#{tenant}`, feature (S), tenant (S), percent (N), epoch (N, grows with each change), salt (S). Further
attributes are not looked at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "EVERY_TENANT",
    "PARTITION",
    "SSE",
    "WEBSOCKET",
    "Decision",
    "Flag",
    "FlagSet",
    "bucket",
    "is_feature",
    "sort_key",
    "transport",
]

BUCKETS = 10_000
EVERY_TENANT = "*"
PARTITION = "flags"
"""One partition, so that one Query reads every flag there is."""
WEBSOCKET = "websocket"
SSE = "sse"

_FEATURE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def is_feature(name: str) -> bool:
    """1 to 64 letters, digits, `.`, `_`, `-`; no `#`, which separates it from the tenant in keys."""
    return _FEATURE.fullmatch(name) is not None


def sort_key(feature: str, tenant: str) -> str:
    return f"{feature}#{tenant}"


def bucket(feature: str, tenant: str, user: str, salt: str) -> int:
    """The user's place, 0 to 9999: the first four bytes of a SHA-256, as a big-endian number."""
    digest = hashlib.sha256(f"{salt}\n{feature}\n{tenant}\n{user}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS


@dataclass(frozen=True, slots=True)
class Flag:
    """percent: of the users, 0 to 100, two decimals count. epoch: grows with each change, from 1. salt: the same for
    all flags of a feature for ever, so that nobody changes places."""

    feature: str
    tenant: str
    percent: float
    epoch: int
    salt: str

    @classmethod
    def of_item(cls, item: Mapping[str, Mapping[str, object]]) -> Flag:
        """Raises ValueError for what is no flag."""
        try:
            feature, tenant = str(item["feature"]["S"]), str(item["tenant"]["S"])
            percent, epoch = float(str(item["percent"]["N"])), int(str(item["epoch"]["N"]))
            salt = str(item["salt"]["S"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"an attribute is missing or has another type: {error}") from None
        if not is_feature(feature) or not tenant:
            raise ValueError("feature or tenant is no name")
        if not 0 <= percent <= 100 or epoch < 1:
            raise ValueError("percent must be between 0 and 100, epoch 1 or more")
        return cls(feature, tenant, percent, epoch, salt)


def transport(flag: Flag, tenant: str, user: str) -> str:
    """`sse` for so many percent of the users, else `websocket`. tenant: the user's own, also where the flag is `*`."""
    place = bucket(flag.feature, tenant, user, flag.salt)
    return SSE if place < round(flag.percent * BUCKETS / 100) else WEBSOCKET


@dataclass(frozen=True, slots=True)
class Decision:
    """epoch: of the flag that decided; 0 where none did."""

    feature: str
    transport: str
    epoch: int


@dataclass(frozen=True, slots=True)
class FlagSet:
    """Every flag that is known, by (feature, tenant). default: the transport of a feature without a flag."""

    default: str
    flags: Mapping[tuple[str, str], Flag] = field(default_factory=dict)

    def decide(self, feature: str, tenant: str, user: str) -> Decision:
        flag = self.flags.get((feature, tenant)) or self.flags.get((feature, EVERY_TENANT))
        if flag is None:
            return Decision(feature, self.default, 0)
        return Decision(feature, transport(flag, tenant, user), flag.epoch)

    def read(self, items: Iterable[Mapping[str, Mapping[str, object]]]) -> tuple[FlagSet, list[str]]:
        """The flags that `items` hold, and what was wrong with the others; those stay as they were known here."""
        found: dict[tuple[str, str], Flag] = {}
        problems: list[str] = []
        for item in items:
            try:
                flag = Flag.of_item(item)
            except ValueError as error:
                name = str(item.get("sk", {}).get("S", ""))
                problems.append(f"{name}: {error}")
                feature, _, tenant = name.partition("#")
                known = self.flags.get((feature, tenant))
                if known is not None:
                    found[feature, tenant] = known
                continue
            found[flag.feature, flag.tenant] = flag
        return FlagSet(self.default, found), problems

    def changed(self, newer: FlagSet) -> frozenset[str]:
        """Features of which some flag is another one in `newer`."""
        names = self.flags.keys() | newer.flags.keys()
        return frozenset(name[0] for name in names if self.flags.get(name) != newer.flags.get(name))

    def moved(self, newer: FlagSet, features: Iterable[str], tenant: str, user: str) -> Iterator[Decision]:
        """What is decided otherwise in `newer` for this user."""
        for feature in features:
            decision = newer.decide(feature, tenant, user)
            if decision.transport != self.decide(feature, tenant, user).transport:
                yield decision
