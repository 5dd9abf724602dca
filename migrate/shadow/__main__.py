"""`python -m migrate.shadow`: the worker of one run, as `shadow start` and supervisors start it. until phase 3"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from migrate.config import load_config
from migrate.errors import MigrateError
from migrate.shadow.service import serve
from migrate.up.state import StateDir


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="migrate.shadow", allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        config = load_config(arguments.config, arguments.state_dir)
        asyncio.run(serve(config, StateDir(arguments.state_dir).shadow))
    except MigrateError as error:
        sys.stderr.write(error.report())
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
