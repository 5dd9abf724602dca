"""`python -m migrate.bridge`: the bridge of one stack, as `migrate up` starts it. until phase 3"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from migrate.bridge.process import run_bridge
from migrate.config import load_config
from migrate.errors import MigrateError
from migrate.up.state import StateDir

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="migrate.bridge", allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    arguments = parser.parse_args()
    state = StateDir(arguments.state_dir)
    try:
        run_bridge(load_config(arguments.config), state.path, state.bridge_status)
    except MigrateError as error:
        sys.stderr.write(error.report())
        sys.exit(int(error.exit_code))
