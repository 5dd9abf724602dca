"""What a run is unless somebody says otherwise: for locust and for the comparison, so that both measure the same."""

from __future__ import annotations

__all__ = ["HELP", "LOST_AFTER_S", "RATE", "SIZE", "STATE_DIR", "WARM_UP_S"]

RATE = 0.5
SIZE = 100
LOST_AFTER_S = 15.0
WARM_UP_S = 2.0
STATE_DIR = ".migrate"

HELP = {
    "rate": "messages a second of each user who says something",
    "size": "bytes of a message at least",
    "lost-after": "seconds after which a message counts as lost",
    "warm-up": "seconds of messages beforehand that do not count",
    "state-dir": "of `migrate up`",
}
"""By option."""
