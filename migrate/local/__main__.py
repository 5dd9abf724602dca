"""`python -m migrate.local`: run the local AWS until SIGTERM or SIGINT. until phase 3

Prints one line of JSON on standard output when everything answers:
{"aws_endpoint_url", "gateway_url", "gateway_tls_url", "ca_bundle", "ministack_url", "region", "pid"}.
Messages go to standard error. Exit codes: 0 stopped, 1 unexpected, 2 wrong option or a port in use, 5 already running.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop

from migrate.errors import ExitCode, MigrateError
from migrate.local.app import LocalAws, Settings
from migrate.local.gateway import ControlPlaneUnavailableError

__all__ = ["main"]


def parse(arguments: list[str]) -> tuple[Settings, str]:
    """Options to settings and the log level; ends the process with status 2 on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="python -m migrate.local", description="Run the local AWS.", allow_abbrev=False
    )
    parser.add_argument("--state-dir", type=Path, required=True, help="folder for state, code, logs, certificates")
    for name, what in (
        ("port", "the aws_endpoint_url"),
        ("gateway-port", "the WebSocket gateway"),
        ("gateway-tls-port", "the WebSocket gateway with TLS"),
        ("ministack-port", "MiniStack (internal)"),
    ):
        parser.add_argument(f"--{name}", type=_port, default=0, help=f"port of {what}; 0: a free one (default)")
    parser.add_argument("--region", default=Settings.region)
    parser.add_argument("--idle-timeout-s", type=_positive, default=Settings.idle_timeout_s)
    parser.add_argument("--max-lifetime-s", type=_positive, default=Settings.max_lifetime_s)
    parser.add_argument("--management-rate", type=_positive, default=None, help="@connections calls a second")
    parser.add_argument("--workers-per-function", type=_count, default=Settings.workers_per_function)
    parser.add_argument("--workers-total", type=_count, default=Settings.workers_total)
    parser.add_argument("--worker-idle-s", type=_positive, default=Settings.worker_idle_s)
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = vars(parser.parse_args(arguments))
    level = options.pop("log_level")
    return Settings(**options), level


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return port


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


async def run(settings: Settings) -> None:
    """Run until a signal."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    local_aws = LocalAws(settings)
    starting = asyncio.create_task(local_aws.start())
    interrupted = asyncio.create_task(ended.wait())
    await asyncio.wait({starting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    try:
        ready = await starting
        sys.stdout.write(ready.to_json() + "\n")
        sys.stdout.flush()
        await interrupted
    finally:
        interrupted.cancel()
        await local_aws.stop()


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    settings, level = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except MigrateError as error:
        sys.stderr.write(error.report())
        return int(error.exit_code)
    except (ControlPlaneUnavailableError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return int(ExitCode.UNEXPECTED)
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
