"""`migrate env`: this shell's way to the local AWS. until phase 3"""

from __future__ import annotations

import os
import shlex
import sys
import urllib.request

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import print_json, reports_errors
from migrate.up.state import DEFAULT_STATE_DIR, StateDir

__all__ = ["env"]


@reports_errors
def env(state_dir: StateDirOption = DEFAULT_STATE_DIR, json_: JsonOption = False) -> None:
    """Print the variables that point boto3 and the AWS command line to the local AWS, for `eval`.

    Example: eval "$(migrate env)"
    """
    variables: dict[str, str] = StateDir(state_dir).running()["env"]
    if urllib.request.getproxies_environment():
        from migrate.up.aws import without_proxy

        variables = {**variables, **without_proxy(os.environ)}
    if json_:
        print_json(variables)
        return
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
