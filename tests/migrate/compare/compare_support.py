"""`migrate compare` over the records of a project. until phase 3"""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

from migrate.cli.compare import compare

app = typer.Typer()
app.command()(compare)

TOML = """
schema = 1
[project]
name = "demo"
records = "records"
[api]
id = "abc"
stage = "prod"
region = "eu-west-1"
[shadow]
settle_s = 0.2
[gates]
min_samples = 10
max_loss = 0.05
[[features]]
name = "chat"
frames = ["message"]
order_by = "roomId"
sent_at = "timestamp"
ignore = [
  {path = "messageId", reason = "own ids", expires = "2999-01-01"},
  {path = "timestamp", reason = "own clocks", expires = "2999-01-01"},
]
"""


def run(project: Path, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of `migrate compare`."""
    arguments = ["--config", str(project / "migrate.toml"), "--state-dir", str(project / "state"), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def only(project: Path, kind: str = "deliveries") -> Path:
    """The one file of that kind."""
    [path] = (project / "records" / "run1" / kind).iterdir()
    return Path(path)
