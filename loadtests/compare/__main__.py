"""`python -m loadtests.compare`: one scenario against both stacks in turn, interleaved, several times."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtests.bench.report import provenance
from loadtests.compare.around import bridge_held, functions_point_to
from loadtests.compare.page import NAMES, render
from loadtests.compare.parts import Sampler
from loadtests.compare.rounds import SCENARIOS, Plan, RunError, one_run
from loadtests.compare.show import show, show_against
from loadtests.users.target import Target, TargetError

__all__ = ["main"]

BACKGROUND_S = 3.0
# Exit codes of `migrate`: 1 failed, 2 wrong usage, 3 something was lost.
FAILED, USAGE, LOST = 1, 2, 3
TARGET_HELP = (
    "instead of `migrate up`: ws.rooms=wss://..., ws.direct=, ws.layers=, sse=https://..., "
    "dropin=https://.../prod, tenant="
)
err = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 nothing lost, 1 failed, 2 wrong usage, 3 messages were lost or came twice."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        options.scenario,
        options.users,
        options.rate,
        options.seconds,
        options.size,
        options.lost_after,
        options.workers,
    )
    try:
        before = json.loads(options.against.read_text(encoding="utf-8")) if options.against else None
        result = compare(plan, options)
        if before is not None:
            show_against(before, result, _console())
    except (RunError, TargetError, ValueError, OSError, RuntimeError) as error:
        err.print(f"error: {error}", markup=False, highlight=False)
        return USAGE if isinstance(error, TargetError | ValueError | OSError) else FAILED
    except KeyboardInterrupt:
        return 130
    bad = ("loss", "duplicate", "not sent", "incomplete")
    lost = any(run["figures"][name] for runs in result["rounds"].values() for run in runs for name in bad)
    return LOST if lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="migrate load compare", description=__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="rooms")
    parser.add_argument("--sides", default="", help="of ws,sse,dropin; all that the scenario has by default")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.5, help="messages a second of each user who says something")
    parser.add_argument("--seconds", type=float, default=15, help="of sending, in each repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--size", type=int, default=100, help="bytes of a message at least")
    parser.add_argument("--lost-after", type=float, default=15, help="seconds after which a message counts as lost")
    parser.add_argument("--workers", type=int, default=0, help="processes of locust; 0: one that does all")
    parser.add_argument("--state-dir", type=Path, default=Path(".migrate"), help="of `migrate up`")
    parser.add_argument("--target", action="append", default=[], metavar="NAME=ADDRESS", help=TARGET_HELP)
    parser.add_argument("--secret-file", default="", help="with --target: the HS256 key of both stacks")
    parser.add_argument("--tokens-file", default="", help="with --target: JSON {user: token} instead of a key")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of JSON and HTML")
    parser.add_argument("--against", type=Path, help="an earlier result of the same plan (JSON)")
    return parser


def _console() -> Console:
    """As wide as the terminal; wide enough for a table where there is none."""
    out = Console()
    return out if out.is_terminal else Console(width=150)


def compare(plan: Plan, options: argparse.Namespace) -> dict[str, Any]:
    """Run all, show the table, store JSON and page. Raises RunError, TargetError, ValueError."""
    sides = tuple(options.sides.split(",")) if options.sides else SCENARIOS[plan.scenario]
    if unknown := set(sides) - set(SCENARIOS[plan.scenario]):
        raise ValueError(
            f"{plan.scenario} has no {', '.join(sorted(unknown))}; it has {', '.join(SCENARIOS[plan.scenario])}"
        )
    up: dict[str, Any] = {}
    if options.target:
        target = Target.parse(options.target, secret_file=options.secret_file, tokens_file=options.tokens_file)
        sides = tuple(side for side in sides if _has(target, side, plan.scenario))
    else:
        target = Target.from_state_dir(options.state_dir)
        up = json.loads((options.state_dir / "up.json").read_text(encoding="utf-8"))
    if not sides:
        raise ValueError(f"--target names no address that the scenario {plan.scenario} needs")
    with contextlib.ExitStack() as stack:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "target.json"
        target.save(file)
        if up:
            stack.enter_context(bridge_held(options.state_dir))
        began, made = time.monotonic(), _rounds(plan, sides, options.repetitions, file, target, up)
        took = time.monotonic() - began
    result = {
        "provenance": _provenance(),
        "emulated": bool(up),
        "plan": asdict(plan),
        "took_s": took,
        "rounds": made,
    }
    show(result, _console())
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"load-{plan.scenario}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".html").write_text(render(result), encoding="utf-8")
    sending = plan.seconds * sum(len(runs) for runs in made.values())
    err.print(f"{took:.0f} s, of which {sending:.0f} s sending; kept in {path} and {path.with_suffix('.html')}")
    return result


def _has(target: Target, side: str, scenario: str) -> bool:
    app = {"direct": "direct", "tenant": "layers", "answers": "layers"}.get(scenario, "rooms")
    return bool({"ws": target.ws.get(app), "sse": target.sse, "dropin": target.dropin}[side])


def _rounds(
    plan: Plan, sides: Sequence[str], repetitions: int, file: Path, target: Target, up: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    pids, aws_url = up.get("pids", {}), up.get("aws_endpoint_url", "")
    background: dict[str, float] = {}
    if aws_url:
        background = _background(pids, aws_url)
    made: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(repetitions):
        # Whoever is first in one is last in the next: what drifts hits all alike.
        for side in sides if number % 2 == 0 else tuple(reversed(sides)):
            err.print(f"repetition {number + 1} of {repetitions}: {NAMES[side]}", highlight=False)
            pointed = functions_point_to(up, target.dropin) if up and side == "dropin" else contextlib.nullcontext()
            with pointed:
                made[side].append(one_run(plan, side, file, pids, aws_url, background))
    return made


def _background(pids: dict[str, int], aws_url: str) -> dict[str, float]:
    """Calls a second that the stacks make while nobody says anything."""
    sampler = Sampler(pids, aws_url)
    time.sleep(BACKGROUND_S)
    sampler.stop()
    first, last = sampler.samples[0], sampler.samples[-1]
    return {name: (count - first.calls.get(name, 0)) / (last.at - first.at) for name, count in last.calls.items()}


def _provenance() -> dict[str, Any]:
    made: dict[str, Any] = provenance()
    more = {name: version(name) for name in ("locust", "gevent")}
    return {**made, "versions": {**made["versions"], **more}}


if __name__ == "__main__":
    sys.exit(main())
