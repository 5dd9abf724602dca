"""The options of a comparison, and what is wrong with them before anything has begun."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from loadtests.compare.errors import USAGE, UsageError
from loadtests.compare.figures import against, differing
from loadtests.compare.page import render
from loadtests.compare.rounds import SCENARIOS, Plan, app_of
from loadtests.users import defaults
from loadtests.users.target import Target

__all__ = ["earlier", "parse", "plan_of", "sides_of"]

TARGET_HELP = (
    "instead of `migrate up`: ws.rooms=wss://..., ws.direct=, ws.layers=, sse=https://..., "
    "dropin.rooms=https://.../prod, dropin.direct=, dropin.layers=, tenant="
)


class _Help(argparse.HelpFormatter):
    """As the other commands of `migrate` have it: what kind of value, what it is for, and the default."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "Usage: " if prefix is None else prefix)

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        kind = getattr(action.type, "__name__", "str")
        return "<path>" if kind == "Path" else f"<{kind}>"

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, "", [], argparse.SUPPRESS):
            return text
        return f"{text} [default: %(default)s]"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.refuse(message, f"{self.prog} --help")

    def refuse(self, message: str, hint: str) -> NoReturn:
        sys.stderr.write(f"error: {message}\nhint: {hint}\n")
        sys.exit(USAGE)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Exits with 2 and a hint for what is no option."""
    parser = _Parser(
        prog="migrate load compare",
        usage="%(prog)s [OPTIONS]",
        description="One scenario against both stacks in turn, interleaved, several times. docs/guides/load.md",
        epilog="Example: migrate load compare --scenario rooms --users 50",
        formatter_class=_Help,
        add_help=False,
        # A load that nobody has asked for costs money: what is misspelt is no option.
        allow_abbrev=False,
    )
    group = parser.add_argument_group("Options")
    add, text = group.add_argument, defaults.HELP
    add("--scenario", choices=sorted(SCENARIOS), default="rooms", help="what the users do")
    add("--sides", default="", help="of ws,sse,dropin [default: all that the scenario has]")
    add("--users", type=int, default=20, help="how many there are")
    add("--rate", type=float, default=defaults.RATE, help=text["rate"])
    add("--seconds", type=float, default=15.0, help="of sending, in each repetition")
    add("--repetitions", type=int, default=3, help="runs of each side")
    add("--size", type=int, default=defaults.SIZE, help=text["size"])
    add("--lost-after", type=float, default=defaults.LOST_AFTER_S, help=text["lost-after"])
    add("--warm-up", type=float, default=defaults.WARM_UP_S, help=text["warm-up"])
    add("--workers", type=int, default=0, help="processes of locust; 0: one that does all")
    add("--state-dir", type=Path, default=Path(defaults.STATE_DIR), help=text["state-dir"])
    add("--target", action="append", default=[], metavar="<name=address>", help=TARGET_HELP)
    add("--secret-file", default="", metavar="<path>", help="with --target: the HS256 key of both stacks")
    add("--tokens-file", default="", metavar="<path>", help="with --target: JSON {user: token} instead of a key")
    add("--out", type=Path, default=Path("bench-results"), help="folder of JSON and HTML")
    add("--against", type=Path, help="an earlier result of the same plan (JSON)")
    add("-h", "--help", action="help", help="show this and exit")
    options, left = parser.parse_known_args(arguments)
    if left:
        name = left[0].partition("=")[0]
        if not name.startswith("-"):
            parser.error(f"got an unexpected argument: {name}")
        known = [option for action in parser._actions for option in action.option_strings]
        near = [option for option in known if option.startswith(name)] or get_close_matches(name, known)
        parser.refuse(
            f"no such option: {name}", f"did you mean {' or '.join(near)}?" if near else f"{parser.prog} --help"
        )
    return options


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
