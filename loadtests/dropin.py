"""`python -m loadtests.dropin direct`: virtual connections before an application of `migrate up`, until Ctrl-C.

For locust by hand, as the comparison does it for itself: the functions of the application post to them meanwhile, and
FILE is for `--target-file` of locust. For rooms it is the service of `migrate up`; for direct and layers one that is
started here and ends with this program. The bridge is held and the simulated people are quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from loadtests.compare.around import Around
from loadtests.compare.errors import OK, USAGE, CompareError
from loadtests.users import defaults
from loadtests.users.target import APPS, Target, TargetError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 ended by Ctrl-C, 1 failed, 2 wrong usage, 5 a comparison runs."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.dropin",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("app", choices=APPS)
    parser.add_argument("--state-dir", type=Path, default=Path(defaults.STATE_DIR), help=defaults.HELP["state-dir"])
    parser.add_argument("--file", type=Path, default=Path("dropin-target.json"), help="written, and removed again")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        target = Target.from_state_dir(options.state_dir)
        up = json.loads((options.state_dir / "up.json").read_text(encoding="utf-8"))
        around = Around(options.state_dir, up)
        with around.held(), around.front(options.app) as front, around.pointed(options.app, front.url):
            replace(target, dropin={**target.dropin, options.app: front.url}).save(options.file)
            try:
                sys.stdout.write(f"ready: locust -f loadtests/locustfile.py ... --target-file {options.file}\n")
                sys.stdout.flush()
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
                for one in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(one, signal.SIG_IGN)
            finally:
                options.file.unlink(missing_ok=True)
    except TargetError as error:
        return _refuse(str(error), error.hint, USAGE)
    except CompareError as error:
        return _refuse(str(error), error.hint, error.code)
    except OSError as error:
        return _refuse(f"{error.filename or options.file}: {error.strerror or error}", "check --file", USAGE)
    except KeyboardInterrupt:
        pass
    return OK


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _refuse(message: str, hint: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
