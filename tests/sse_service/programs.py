"""Command lines that tests call: of this environment, else of PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """Where it is. Raises RuntimeError."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        raise RuntimeError(f"there is no {name}: `make setup` installs it")
    return found
