"""The options of a comparison, and what is wrong with them before anything has begun."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from loadtests.compare.errors import USAGE, UsageError
from loadtests.compare.figures import against, differing
from loadtests.compare.page import render
from loadtests.compare.rounds import SCENARIOS, Plan, app_of
from loadtests.users.target import Target

__all__ = ["earlier", "parse", "plan_of", "sides_of"]

TARGET_HELP = (
    "instead of `migrate up`: ws.rooms=wss://..., ws.direct=, ws.layers=, sse=https://..., "
    "dropin.rooms=https://.../prod, dropin.direct=, dropin.layers=, tenant="
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error: {message}\nhint: {self.prog} --help\n")
        sys.exit(USAGE)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Exits with 2 and a hint for what is no option."""
    parser = _Parser(
        prog="migrate load compare",
        description="One scenario against both stacks in turn, interleaved, several times. docs/guides/load.md",
    )
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="rooms")
    parser.add_argument("--sides", default="", help="of ws,sse,dropin; all that the scenario has by default")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.5, help="messages a second of each user who says something")
    parser.add_argument("--seconds", type=float, default=15, help="of sending, in each repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--size", type=int, default=100, help="bytes of a message at least")
    parser.add_argument("--lost-after", type=float, default=15, help="seconds after which a message counts as lost")
    parser.add_argument("--warm-up", type=float, default=2, help="seconds of messages beforehand that do not count")
    parser.add_argument("--workers", type=int, default=0, help="processes of locust; 0: one that does all")
    parser.add_argument("--state-dir", type=Path, default=Path(".migrate"), help="of `migrate up`")
    parser.add_argument("--target", action="append", default=[], metavar="NAME=ADDRESS", help=TARGET_HELP)
    parser.add_argument("--secret-file", default="", help="with --target: the HS256 key of both stacks")
    parser.add_argument("--tokens-file", default="", help="with --target: JSON {user: token} instead of a key")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of JSON and HTML")
    parser.add_argument("--against", type=Path, help="an earlier result of the same plan (JSON)")
    return parser.parse_args(arguments)


def plan_of(options: argparse.Namespace) -> Plan:
    """Raises UsageError."""
    if options.repetitions < 1:
        raise UsageError(f"--repetitions is 1 or more, not {options.repetitions}", "3 or more show the spread")
    if (options.secret_file or options.tokens_file) and not options.target:
        raise UsageError("--secret-file and --tokens-file belong to --target", "without it, `migrate up` has them")
    names = ("scenario", "users", "rate", "seconds", "size", "lost_after", "workers", "warm_up")
    try:
        return Plan(**{name: getattr(options, name) for name in names})
    except ValueError as error:
        raise UsageError(str(error), "docs/guides/load.md says what each scenario does") from None


def sides_of(options: argparse.Namespace, target: Target, *, is_up: bool = False) -> tuple[str, ...]:
    """The ways that are to be compared, the base first; of `migrate up` (is_up) there is the drop-in's to every
    application, since the comparison itself starts what is missing. Raises UsageError."""
    known = SCENARIOS[options.scenario]
    wanted = tuple(dict.fromkeys(side.strip() for side in options.sides.split(","))) if options.sides else known
    if unknown := set(wanted) - set(known):
        names = ", ".join(repr(side) for side in sorted(unknown))
        raise UsageError(f"--sides: {options.scenario} has no {names}", f"it has {','.join(known)}")
    app = app_of(options.scenario)
    there = tuple(side for side in wanted if target.has(side, app) or (is_up and side == "dropin"))
    if options.sides and there != wanted:
        missing = ", ".join(side for side in wanted if side not in there)
        raise UsageError(f"--target names no address for {missing}", "name all that --sides names")
    if not there:
        raise UsageError(
            f"--target names no address that the scenario {options.scenario} needs",
            f"ws.{app}=wss://... and sse=https://...",
        )
    return there


def earlier(path: Path | None, plan: dict[str, Any], sides: Sequence[str]) -> dict[str, Any] | None:
    """The result to compare with. Raises UsageError: it is none, or of another plan."""
    if path is None:
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        what = {key: found[key] for key in ("plan", "rounds", "provenance", "emulated")}
        there = set(what["rounds"]) & set(sides)
    except OSError as error:
        raise UsageError(f"--against {path}: {error.strerror}", "the JSON file of an earlier run") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"--against {path}: no result of a load comparison", "load-SCENARIO-TIME.json") from None
    if names := differing(found["plan"], plan):
        raise UsageError(
            f"--against {path}: of another plan: {', '.join(names)}",
            "give the same options: "
            + " ".join(f"--{key.replace('_', '-')} {found['plan'].get(key)}" for key in names),
        )
    if not there:
        raise UsageError(f"--against {path}: it has {', '.join(found['rounds'])} only", "name these with --sides")
    try:
        # As is done at the end: what has been measured by then is not to be lost for a broken file.
        render(found, against(found, found), found)
    except Exception as error:
        raise UsageError(
            f"--against {path}: a broken result ({type(error).__name__})", "compare with another one"
        ) from None
    return found
