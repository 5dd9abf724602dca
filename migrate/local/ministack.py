"""MiniStack as a supervised child: control planes and stores of the local AWS. until phase 3

State is kept in `STATE_DIR/ministack/` and written by MiniStack only when it is stopped cleanly (SIGTERM); after a
crash of MiniStack everything since the last clean stop is gone, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

import migrate
from migrate.local.children import Supervised
from migrate.local.errors import PortInUseError

__all__ = ["CALM_PORTS", "MiniStack", "free_port"]

HOST = "127.0.0.1"


# Below the range from which systems take ports of outgoing connections (RFC 6335: 49152 on; Linux: 32768 on): one that
# is free now must be free a moment later, when a process that was told of it binds it.
CALM_PORTS = range(20_000, 32_000)


def free_port(port: int, option: str) -> int:
    """The port itself if it can be bound on 127.0.0.1, or any free one for 0.

    Raises: PortInUseError: it is taken.
    """
    if port == 0:
        for candidate in random.sample(CALM_PORTS, 50):
            with contextlib.suppress(PortInUseError):
                return free_port(candidate, option)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PortInUseError(port, option) from None
        bound: int = probe.getsockname()[1]
        return bound


class MiniStack:
    """MiniStack on 127.0.0.1:`port`, whose answers carry the front door's port.

    Args:
        port: where it listens; must be free.
        front_door_port: the port in every address it hands out.
        state_dir: everything it writes goes below this folder.
        restarted: is awaited after each restart.
    """

    def __init__(
        self,
        *,
        port: int,
        front_door_port: int,
        state_dir: Path,
        region: str,
        restarted: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._front_door_port = front_door_port
        self._region = region
        self._folder = state_dir / "ministack"
        self._child = Supervised(
            "MiniStack",
            self._command,
            self._answers,
            log_file=state_dir / "logs" / "ministack.log",
            cwd=self._folder,
            ready_s=60.0,
            grace_s=20.0,
            restarted=restarted,
            consequence="What was stored since its last clean stop is gone.",
        )

    @property
    def up(self) -> bool:
        return self._child.up

    @property
    def pid(self) -> int | None:
        return self._child.pid

    async def start(self) -> None:
        """Raises: ChildFailedError."""
        for name in ("state", "s3", "tmp"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        await self._child.start()

    async def stop(self) -> None:
        """Stop it cleanly, so that it saves its state."""
        await self._child.stop()

    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        return (sys.executable, "-m", "migrate.local.ministack_entry"), self._environment()

    def _environment(self) -> dict[str, str]:
        """Nothing of the host's environment: MiniStack reads some fifty variables."""
        folder = self._folder
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            # Its temporary files (code of layers, TLS material) and its log.
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONPATH": str(Path(migrate.__file__).parent.parent),
            "PYTHONUNBUFFERED": "1",
            "BIND_HOST": HOST,
            "MINISTACK_BIND_PORT": str(self.port),
            "GATEWAY_PORT": str(self._front_door_port),
            "MINISTACK_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            # Its root key. Signatures are checked in pre-signed S3 addresses only; account ids are root keys as well.
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folder / "s3"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # It removes every container with its label at start and stop, also those of another MiniStack.
            "DOCKER_HOST": f"unix://{folder}/no-docker",
            "LOG_LEVEL": "WARNING",
        }

    async def _answers(self) -> None:
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    async with session.get(f"{self.url}/_ministack/health") as response:
                        if response.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.05)
