"""Options that several verbs share. until phase 3"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["JsonOption", "StateDirOption"]

StateDirOption = Annotated[
    Path,
    typer.Option("--state-dir", help="Where `migrate up` keeps its state.", envvar="MIGRATE_STATE_DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
