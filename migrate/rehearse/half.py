"""The percentage at which exactly so many people are over. until phase 3

A user's place is a hash by a salt that the first change of a feature draws (sse_service.flags), so that 50 % of eight
people may be one, or none: the percentage is chosen for the people that are there.
"""

from __future__ import annotations

from collections.abc import Mapping

from migrate.config import Config
from migrate.control.flags import Flags
from migrate.control.table import ControlTable
from sse_service.flags import BUCKETS, bucket

__all__ = ["LEAST_PERCENT", "half", "percent_for"]

LEAST_PERCENT = 100 / BUCKETS
"""One place."""


def half(config: Config, users: Mapping[str, str], count: int) -> tuple[float, list[str]]:
    """`percent_for` with the salts of the flags as they are now."""
    flags = Flags(ControlTable.of(config))
    salts = {
        one.name: next((flag.salt for flag in flags.of(one.name).values()), "") for one in config.features
    }  # fmt: skip
    return percent_for(salts, config.sse.default_tenant, users, count)


def percent_for(
    salts: Mapping[str, str], tenant: str, users: Mapping[str, str], count: int
) -> tuple[float, list[str]]:  # fmt: skip
    """The percentage of every feature, and the names of those who are over then; who has one client for all of them
    is over when all of them are.

    Args:
        salts: by feature.
        users: ids by name.
        count: how many are to be over; as many more as have the same place as the last of them.
    """
    places = {
        name: max(bucket(feature, tenant, user, salt) for feature, salt in salts.items())
        for name, user in users.items()
    }  # fmt: skip
    last = sorted(places.values())[count - 1]
    return (last + 1) * 100 / BUCKETS, [name for name, place in places.items() if place <= last]
