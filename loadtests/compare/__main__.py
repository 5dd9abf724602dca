"""`python -m loadtests.compare`: one scenario against both stacks in turn, interleaved, several times."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtests.bench.report import provenance
from loadtests.compare.around import Around
from loadtests.compare.credible import idle_of_others
from loadtests.compare.errors import FAILED, LOST, OK, USAGE, CompareError, UsageError
from loadtests.compare.figures import against
from loadtests.compare.options import earlier, parse, plan_of, sides_of
from loadtests.compare.page import render
from loadtests.compare.parts import Background, Sampler
from loadtests.compare.rounds import NAMES, Parts, Plan, app_of, one_run
from loadtests.compare.show import show, show_changes
from loadtests.users.target import Target, TargetError

__all__ = ["main"]

BACKGROUND_S = 3.0
# Those who have left still cost something for a moment.
BACKGROUND_TRIES = 3
INTERRUPTED = 130
# What a stack has to answer for; out of order is so only where order is promised (API Gateway does not).
WRONG = ("loss", "duplicate", "not sent", "incomplete")
err = Console(stderr=True)


@dataclass
class Comparison:
    """stopped: why not all of it was done; "" when it was. restless: calls by which others were seen before or after
    it. tee: whether it was installed; None: not known. pids: of the parts that are measured, by name."""

    plan: Plan
    sides: Sequence[str]
    repetitions: int
    target: Target
    up: dict[str, Any]
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stopped: str = ""
    restless: list[str] = field(default_factory=list)
    tee: bool | None = None
    pids: dict[str, int] = field(default_factory=dict)
    took_s: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 nothing lost, 1 failed, 2 wrong usage, 3 messages were lost, came twice or were not
    sent, 5 another comparison runs, 130 interrupted."""
    options = parse(arguments)
    try:
        return _main(options)
    except CompareError as error:
        return _refuse(str(error), error.hint, error.code)
    except TargetError as error:
        return _refuse(str(error), error.hint, USAGE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{where}{error.strerror or error}", "check --out, --state-dir and the space on the disk", USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _refuse(message: str, hint: str, code: int) -> int:
    err.print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    err.print(f"hint: {hint}", markup=False, highlight=False, soft_wrap=True)
    return code


def _main(options: argparse.Namespace) -> int:
    plan = plan_of(options)
    up: dict[str, Any] = {}
    if options.target:
        target = Target.parse(options.target, secret_file=options.secret_file, tokens_file=options.tokens_file)
    else:
        target = Target.from_state_dir(options.state_dir)
        up = json.loads((options.state_dir / "up.json").read_text(encoding="utf-8"))
    sides = sides_of(options, target, is_up=bool(up))
    before = earlier(options.against, asdict(plan), sides)
    options.out.mkdir(parents=True, exist_ok=True)
    if not os.access(options.out, os.W_OK):
        raise UsageError(f"--out {options.out}: cannot be written to", "name another folder")
    signal.signal(signal.SIGTERM, _interrupted)
    made = Comparison(plan, sides, options.repetitions, target, up, pids=dict(up.get("pids", {})))
    origin, began = _provenance(), time.monotonic()
    problem: CompareError | None = None
    with contextlib.ExitStack() as stack:
        around = Around(options.state_dir, up) if up else None
        if around:
            stack.enter_context(around.held())
            if "dropin" in sides:
                app = app_of(plan.scenario)
                front = stack.enter_context(around.front(app))
                made.target = replace(target, dropin={**target.dropin, app: front.url})
                made.pids |= front.pids
        try:
            _rounds(made, around)
        except CompareError as error:
            made.stopped, problem = str(error), error
        except KeyboardInterrupt:
            made.stopped = "interrupted"
        finally:
            # What has been measured is kept, and what was held is put back.
            for one in (signal.SIGINT, signal.SIGTERM):
                signal.signal(one, signal.SIG_IGN)
        made.took_s = time.monotonic() - began
        result = _keep(made, origin, options.out, before)
        if made.stopped and up:
            err.print("putting back what was held: a moment")
    if problem:
        raise problem
    if made.stopped:
        err.print("interrupted" + ("" if result else "; nothing to keep"))
        return INTERRUPTED
    return LOST if any(_wrong(side, run) for side, runs in made.rounds.items() for run in runs) else OK


def _wrong(side: str, run: dict[str, Any]) -> bool:
    figures = run["figures"]
    return any(figures[name] for name in WRONG) or (side == "sse" and figures["out of order"] > 0)


def _rounds(made: Comparison, around: Around | None) -> None:
    """Fills `rounds`, run by run. Raises CompareError."""
    pids, aws_url, app = made.pids, made.up.get("aws_endpoint_url", ""), app_of(made.plan.scenario)
    parts = Parts(pids, aws_url, _background(pids, aws_url) if aws_url else Background())
    made.rounds = {side: [] for side in made.sides}
    made.tee = around.tee_is_installed() if around else None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "target.json"
        made.target.save(file)
        for number in range(made.repetitions):
            # Whoever is first in one is last in the next: what drifts hits all alike.
            for side in made.sides if number % 2 == 0 else tuple(reversed(made.sides)):
                err.print(f"repetition {number + 1} of {made.repetitions}: {NAMES[side]}", highlight=False)
                with contextlib.ExitStack() as stack:
                    if around and side == "dropin":
                        stack.enter_context(around.pointed(app, made.target.way(side, app)))
                    made.rounds[side].append(one_run(made.plan, side, file, parts))
    for _ in range(BACKGROUND_TRIES if aws_url else 0):
        made.restless = idle_of_others(parts.background.calls, _background(pids, aws_url).calls)
        if not made.restless:
            break


def _background(pids: dict[str, int], aws_url: str) -> Background:
    sampler = Sampler(pids, aws_url)
    try:
        time.sleep(BACKGROUND_S)
    finally:
        sampler.stop()
    return Background.between(sampler.samples[0], sampler.samples[-1])


def _keep(
    made: Comparison, origin: dict[str, Any], folder: Path, before: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Show and store what there is; None where there is nothing."""
    rounds = {side: runs for side, runs in made.rounds.items() if runs}
    if not rounds:
        return None
    result = {
        "provenance": origin,
        "emulated": bool(made.up),
        "target": {} if made.up else made.target.addresses,
        "plan": asdict(made.plan),
        "stopped": made.stopped,
        "restless": made.restless,
        "tee": made.tee,
        "took_s": made.took_s,
        "rounds": rounds,
    }
    changes = against(before, result) if before else []
    path = folder / f"load-{made.plan.scenario}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    full: OSError | None = None
    try:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".html").write_text(render(result, changes, before), encoding="utf-8")
    except OSError as error:
        full = error
    # As wide as the terminal; wide enough for a table where there is none.
    out = Console()
    out = out if out.is_terminal else Console(width=150)
    show(result, out)
    if before:
        show_changes(changes, before, result, out)
    if full is not None:
        raise full
    sending = made.plan.seconds * sum(len(runs) for runs in rounds.values())
    err.print(
        f"{made.took_s:.0f} s, of which {sending:.0f} s sending; kept in {path} and {path.with_suffix('.html')}",
        highlight=False,
        soft_wrap=True,
    )
    return result


def _provenance() -> dict[str, Any]:
    made: dict[str, Any] = provenance()
    more = {name: version(name) for name in ("locust", "gevent", "geventhttpclient")}
    return {**made, "versions": {**made["versions"], **more}}


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:
        code = FAILED
    sys.exit(code)
