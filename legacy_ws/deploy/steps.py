"""Steps of a deployment: each makes one thing be as it should, says what it did, and can be run again.
until phase 3
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from legacy_ws.aws import AWS_ERRORS, error_code, explain
from legacy_ws.errors import LegacyWsError, StepFailedError

__all__ = ["Action", "Done", "Reporter", "Step", "run_steps", "wait_until"]

Action = Literal["created", "updated", "unchanged", "done"]


@dataclass(frozen=True)
class Step:
    """One thing to ensure; `ensure` looks first and changes only what differs."""

    kind: str
    name: str
    ensure: Callable[[], Action]


@dataclass(frozen=True)
class Done:
    """One finished step."""

    kind: str
    name: str
    action: Action
    seconds: float


Reporter = Callable[[Done, int, int], None]
"""Called after each step with its number (from 1) and the number of steps."""


def run_steps(steps: Sequence[Step], report: Reporter, *, clock: Callable[[], float] = time.monotonic) -> list[Done]:
    """Run the steps in order.

    Raises: StepFailedError: AWS refused one; LegacyWsError of a step as it is. Steps before it are done and
        stay.
    """
    done: list[Done] = []
    for number, step in enumerate(steps, 1):
        started = clock()
        try:
            action = _ensured(step)
        except AWS_ERRORS as error:
            why = explain(error)
            failed = StepFailedError(f"{step.kind} {step.name}", why.message)
            failed.exit_code = why.exit_code
            if error_code(error) in _RACES:
                failed.exit_code = 1
                failed.hint = "another deploy of this stack seems to run: wait for it, then run the same command again"
            elif why.hint and why.exit_code != 1:
                failed.hint = f"{why.hint}; then {failed.hint}"
            raise failed from None
        except LegacyWsError:
            raise
        done.append(Done(step.kind, step.name, action, clock() - started))
        report(done[-1], number, len(steps))
    return done


def _ensured(step: Step) -> Action:
    """The step done; when somebody else was quicker, it looks once more and finds what that one has made."""
    try:
        return step.ensure()
    except AWS_ERRORS as error:
        if error_code(error) not in _RACES:
            raise
        return step.ensure()


# What services say to a second creation of the same thing, or to a change during another one.
_RACES = {
    "ConflictException",
    "ConcurrentModification",
    "EntityAlreadyExists",
    "OperationAbortedException",
    "QueueAlreadyExists",
    "QueueNameExists",
    "ResourceAlreadyExistsException",
    "ResourceConflictException",
    "ResourceInUseException",
}


def wait_until(
    ready: Callable[[], bool], what: str, *, timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Ask again and again, at growing intervals. Raises: StepFailedError: not within `timeout_s`."""
    waited_s, pause_s = 0.0, 0.05
    while not ready():
        if waited_s >= timeout_s:
            raise StepFailedError(what, f"not ready after {timeout_s:.0f} s")
        sleep(pause_s)
        waited_s += pause_s
        pause_s = min(pause_s * 1.5, 3.0)
