"""Whether figures per message can be those of the load alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.compare.figures import PER_MESSAGE
from loadtests.users.words import counted

__all__ = ["doubts", "idle_of_others", "repeats"]

# A message of a client invokes the function of its route once, whatever the scenario (API Gateway Developer Guide,
# "Create routes for WebSocket APIs"); on SSE there is no function.
LEAST_INVOCATIONS = {"ws": 1.0, "dropin": 1.0}
INVOCATIONS, POSTS = "lambda invocations" + PER_MESSAGE, "execute-api PostToConnection" + PER_MESSAGE
SENDS = "sqs SendMessage" + PER_MESSAGE
# Everybody hears everything, and all stay: as many posts as users.
TO_ALL = ("rooms", "idle", "slow")
TOLERANCE = 0.01
# Calls are whole; what is less than one of a thousand messages is rounding.
LEAST_REPEATS = 0.001
# Calls a second that may come and go by themselves: leases are renewed, queues polled.
RESTLESS_PER_S, RESTLESS_TIMES = 2.0, 1.5
# What is made only when somebody speaks over a WebSocket.
SPEAKING = ("execute-api PostToConnection", "websocket message_units")


def doubts(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """By side, why its figures per message are not credible. Only of stacks whose calls are counted."""
    found: dict[str, list[str]] = {}
    if not result.get("emulated"):
        return found
    for side, runs in result["rounds"].items():
        said = _of(side, runs, result["plan"])
        if said:
            found[side] = said
    return found


def _of(side: str, runs: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]) -> list[str]:
    said = []
    # A call of which nothing is left has no figure at all.
    all_of = [run["figures"] for run in runs if any(name.endswith(PER_MESSAGE) for name in run["figures"])]
    least = LEAST_INVOCATIONS.get(side)
    fewest = min((figures.get(INVOCATIONS, 0.0) for figures in all_of), default=least)
    if least is not None and fewest is not None and fewest < least * (1 - TOLERANCE):
        said.append(f"{fewest:.3g} invocations per message, and each must cost {least:g}: too much was taken for idle")
    if side == "ws" and plan["scenario"] in TO_ALL:
        most = max((figures.get(POSTS, 0.0) for figures in all_of), default=0.0)
        if most > plan["users"] * (1 + TOLERANCE):
            said.append(f"{most:.3g} posts per message to {counted(plan['users'], 'user')}: somebody else was there")
    return said


def repeats(result: Mapping[str, Any]) -> dict[str, float]:
    """By side, how many SendMessage per message the tee has sent again, at most of all repetitions.

    It copies each invocation once, and nothing else of rooms sends to a queue; so while nobody connects, what is above
    the invocations was sent twice: not answered within a quarter of WS2SSE_TEE_TIMEOUT_S (0.15 s), which says nothing
    of whether it has arrived. The queue keeps one of both, by their MessageDeduplicationId. What failed twice waits in
    the function for 5 s, so that of the warm-up may be among it.
    """
    if not result.get("emulated") or not result.get("tee") or result["plan"]["scenario"] not in TO_ALL:
        return {}
    found = {
        side: max((run["figures"].get(SENDS, 0.0) - run["figures"].get(INVOCATIONS, 0.0) for run in runs), default=0.0)
        for side, runs in result["rounds"].items()
    }
    return {side: more for side, more in found.items() if more > LEAST_REPEATS}


def idle_of_others(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Names of calls by which others are seen: their rates (a second) while no load was on differ before and after it,
    or they are made only when somebody speaks."""
    changed = []
    for name in sorted({*before, *after}):
        less, more = sorted((before.get(name, 0.0), after.get(name, 0.0)))
        if (name in SPEAKING and more > 0) or (more - less > RESTLESS_PER_S and more > RESTLESS_TIMES * less):
            changed.append(name)
    return changed
