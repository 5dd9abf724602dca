"""What has to hold before users move, and while they are over. Pure: facts in, gates out. until phase 3

Before a step every gate must be open. While users are over, a gate is broken only by what says that something is wrong:
a comparison that failed, an error budget that is used up, a service that does not answer, a hook that vetoes. A
comparison that has grown old stops the next step; it brings nobody back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from migrate.compare.verdicts import StoredVerdict
from migrate.config.model import Gates
from migrate.cutover.budget import Share
from migrate.errors import ShutError, UnsureError

__all__ = [
    "BUDGET",
    "CAPTURE",
    "COMPARISON",
    "GATES",
    "HOOK",
    "Gate",
    "State",
    "away_gate",
    "budget_gate",
    "comparison_gates",
    "demand",
]

GATES = COMPARISON, CAPTURE, BUDGET, HOOK = "comparison", "capture", "error-budget", "hook"
"""Their names, as --without-gate takes them."""
MIN_REQUESTS = 20
"""Below so many requests a share says nothing, unless the failures alone are more than a few."""
MIN_FAILURES = 3
MISSES = 2
"""So many answers in a row may be missing before a service counts as away: one may be lost on the way."""


class State(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Gate:
    """breaks: whether this brings users back who are over already. cure: what to do about one that is not open."""

    name: str
    state: State
    reason: str
    breaks: bool = False
    cure: str = ""


def comparison_gates(
    verdict: StoredVerdict | None, gates: Gates, now: float, *, recorded: bool = True, newer: str = ""
) -> list[Gate]:
    """The last comparison passed, on enough and recent deliveries, over a complete capture, of the newest run.

    Args:
        newer: a run of the shadow that began after the one that was compared, in words; empty: none did. What an
            older one says, however recent, is no evidence against what the newer one may have seen.
        recorded: whether there is anything to compare; without, a comparison would only probe, which opens no gate.
    """
    if verdict is None and not recorded:
        why = "nothing was compared, and no traffic is recorded: `migrate shadow start` records, then `migrate compare`"
        cure = "`migrate shadow start`, and `migrate compare` when enough has passed"
        return [Gate(COMPARISON, State.UNSURE, why, cure=cure)]
    if verdict is None:
        return [Gate(COMPARISON, State.UNSURE, "nothing was compared: `migrate compare` stores a verdict")]
    age_s = verdict.age_s(now)
    judged, reasons = verdict.under(gates)
    why = "; ".join(reasons) or "see its report"
    if judged == "fail":
        first = Gate(COMPARISON, State.SHUT, f"the last comparison failed: {why}", breaks=True)
    elif judged != "pass":
        first = Gate(COMPARISON, State.UNSURE, f"the last comparison was inconclusive: {why}")
    elif newer:
        cure = "`migrate compare` judges the newer run"
        first = Gate(COMPARISON, State.UNSURE, f"the verdict is of run {verdict.run_id}, {newer}: {cure}", cure=cure)
    elif age_s > gates.fresh_s:
        first = Gate(
            COMPARISON, State.UNSURE, f"what was compared is {age_s:.0f} s old, gates.fresh_s is {gates.fresh_s:.0f}"
        )
    else:
        first = Gate(COMPARISON, State.OPEN, f"passed on {verdict.expected} deliveries, {max(0.0, age_s):.0f} s ago")
    if verdict.capture_suffices(gates):
        return [first, Gate(CAPTURE, State.OPEN, "complete" if verdict.complete else "incomplete, which is allowed")]
    return [first, Gate(CAPTURE, State.SHUT, "the capture that was compared is incomplete")]


def budget_gate(share: Share | str, budget: float) -> Gate:
    """share: of failed requests; a text: why it is not known."""
    if isinstance(share, str):
        return Gate(BUDGET, State.SHUT, share, breaks=True)
    said = f"{share.failed} of {share.total} requests failed {share.over}"
    if share.total and share.failed / share.total > budget:
        if share.total >= MIN_REQUESTS or share.failed >= MIN_FAILURES:
            return Gate(BUDGET, State.SHUT, f"{said}, gates.error_budget is {budget:.3%}", breaks=True)
        return Gate(BUDGET, State.OPEN, f"{said}: too few to say")
    return Gate(BUDGET, State.OPEN, said)


def away_gate(looks: Share, in_a_row: int, why: str, budget: float) -> Gate | None:
    """Whether the service answers its metrics: None: as far as is known; else the gate is shut.

    Args:
        looks: of which some had no answer.
        in_a_row: of those, the last ones.
        why: what was wrong the last time.
    """
    if in_a_row >= MISSES:
        return Gate(BUDGET, State.SHUT, why, breaks=True)
    if looks.failed >= MIN_FAILURES and looks.failed / looks.total > budget:
        said = f"{looks.failed} of {looks.total} looks at /metrics had no answer {looks.over}; the last one: {why}"
        return Gate(BUDGET, State.SHUT, said, breaks=True)
    return None


def demand(gates: Sequence[Gate], without: Sequence[str] = ()) -> None:
    """Raises: ShutError, UnsureError: a gate is not open and was not left out by name."""
    closed = [gate for gate in gates if gate.state is not State.OPEN and gate.name not in without]
    if not closed:
        return
    text = "; ".join(f"{gate.name}: {gate.reason}" for gate in closed)
    names = " ".join(f"--without-gate {gate.name}" for gate in closed)
    if any(gate.state is State.SHUT for gate in closed):
        raise ShutError(f"nobody is moved: {text}", "mend it, then run the command again")
    cure = next((gate.cure for gate in closed if gate.cure), "run `migrate compare`")
    raise UnsureError(f"nobody is moved: {text}", f'{cure}; or leave the gate out and say why: {names} --note "…"')
