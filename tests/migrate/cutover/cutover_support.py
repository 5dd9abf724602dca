"""A project that can cut over, with its tables, flags and the service's metrics. until phase 3"""

from __future__ import annotations

import http.server
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from migrate.cli import app
from migrate.config import load_config
from migrate.config.model import Api, Feature, Gates, Identity, Project, Settings, Sse, Table
from migrate.config.model import Cutover as CutoverSettings
from migrate.config.write import to_toml
from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.cutover.run import Cutover

MIGRATE = str(Path(sys.executable).parent / "migrate")
WAIT_S = 20.0
USERS = [f"user-{n}" for n in range(200)]


class Metrics:
    """A service's /metrics: total and failed are what the test says."""

    def __init__(self) -> None:
        self.total, self.failed = 1000, 0
        self.text: str | None = None
        metrics = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = (
                    f"# HELP x\nprocess_start_time_seconds 1.7e+09\n"
                    f'sse_http_requests_total{{method="GET",status="200"}} {metrics.total - metrics.failed}.0\n'
                    f'sse_http_requests_total{{method="POST",status="503"}} {metrics.failed}.0\n'
                    "sse_open_streams 3.0\nsse_virtual_streams 4.0\n"
                ).encode()
                if metrics.text is not None:
                    body = metrics.text.encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its name there

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        if not self.thread.is_alive():
            return
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@dataclass
class World:
    """A project: its flags and journal, and the commands on it."""

    table: ControlTable
    metrics: Metrics
    path: Path
    dynamodb: Any
    env: dict[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> Flags:
        return Flags(self.table)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.path)])
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        return done.exit_code, done.stdout, done.stderr

    def verdict(self, verdict: str = "pass", *, ago_s: float = 10, expected: int = 5000, **more: Any) -> None:
        now = time.time()
        self.table.put(
            {
                "pk": "verdict#chat",
                "sk": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{time.time_ns() % 10**9:09d}Z",
                "verdict": verdict,
                "run_id": "r1",
                "made_at": now,
                "window": [now - ago_s - 60, now - ago_s],
                "expected": expected,
                "loss_upper": 0.0001,
                "complete": True,
                "reasons": [] if verdict == "pass" else ["1 in 500 is missing"],
                "digest": "d",
                "actor": "tester",
                **more,
            }
        )

    def percents(self) -> dict[str, float]:
        return {tenant: flag.percent for tenant, flag in self.flags.of("chat").items()}

    def actions(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.outcome) for entry in Journal(self.table).entries()][::-1]

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return found

    def config(self, **gates: Any) -> Any:
        settings = Settings(
            project=Project(name="test", state_table=self.table.name),
            api=Api(id="abc123", stage="prod", region="eu-west-1", endpoint_url=self.env["AWS_ENDPOINT_URL"]),
            sse=Sse(url=self.metrics.url, default_tenant="demo"),
            identity=Identity(),
            tables=(
                Table(name="connections", role="connections", key="connectionId", user="userId", tenant="tenantId"),
            ),
            features=(Feature(name="chat"), Feature(name="files")),
            gates=Gates(**gates),
            cutover=CutoverSettings(steps=(1.0, 50.0, 100.0), hold_s=0.2),
        )
        self.path.write_text(to_toml(settings), encoding="utf-8")
        return load_config(self.path)


def cutover_of(world: World, **more: Any) -> tuple[Cutover, list[str]]:
    """One in this process that looks at once, and what it says."""
    said: list[str] = []
    config = load_config(world.path)
    return Cutover(config, world.table, "chat", None, say=said.append, look_s=0.02, **more), said
