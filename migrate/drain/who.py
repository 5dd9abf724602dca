"""Who is still connected: by user agent and user. until phase 3 (MG10)"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from migrate.config import Config
from migrate.drain.walk import Known, pages
from migrate.tables.description import connection_tables, described
from migrate.tables.gateway import Answer, Gateway, Verdict
from migrate.tables.pace import Pace

__all__ = ["Left", "who_is_left"]


@dataclass
class Left:
    """Who is left.

    Args:
        agents, users: connections by user agent and by user.
        unknown: connections about which the gateway says nothing, by reason.
    """

    alive: int = 0
    gone: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def who_is_left(config: Config) -> Left:
    """Ask about every connection that the tables know. Connections without a row cannot be found."""
    dynamodb = config.client("dynamodb")
    gateway = Gateway([config.client("apigatewaymanagementapi")])
    pace = Pace(config.cleanup.get_connection_per_s)
    left = Left()

    def ask(known: Known) -> Answer:
        pace.take()
        return gateway.ask(known.connection_id)

    with ThreadPoolExecutor(8) as pool:
        for table in connection_tables(config):
            for found, _ in pages(dynamodb, table, described(dynamodb, table.name)[0]):
                for known, answer in zip(found, pool.map(ask, found), strict=True):
                    _count(left, known, answer)
    return left


def _count(left: Left, known: Known, answer: Answer) -> None:
    if answer.verdict is Verdict.GONE:
        left.gone += 1
    elif answer.verdict is Verdict.UNKNOWN:
        left.unknown[answer.reason] += 1
    else:
        left.alive += 1
        identity = (answer.info or {}).get("Identity") or {}
        left.agents[identity.get("UserAgent") or "(none)"] += 1
        left.users[known.user or "(not known)"] += 1
