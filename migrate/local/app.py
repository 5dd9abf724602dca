"""The local AWS put together: MiniStack, Lambda execution, gateway and front door in one event loop. until phase 3

Order matters. Start: MiniStack (the others read it), functions, gateway, front door. Stop: front door (nobody new),
gateway (its $disconnect events still reach functions), functions (their logs still reach MiniStack), MiniStack
(saves its state).
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from migrate.errors import RefusedError
from migrate.local.front_door import FrontDoor
from migrate.local.functions import LocalFunctions
from migrate.local.functions.pool import Limits
from migrate.local.gateway import LocalGateway
from migrate.local.ministack import MiniStack, free_port
from migrate.local.ports import ControlPlaneListener
from migrate.local.state import exclusive, remember_ports, remembered_port
from migrate.local.tls import ensure_certificates
from migrate.local.usage import Usage

__all__ = ["LocalAws", "Ready", "Settings"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What `python -m migrate.local` can be told; ports of 0 are free ones, the last ones again where they are."""

    state_dir: Path
    port: int = 0
    gateway_port: int = 0
    gateway_tls_port: int = 0
    ministack_port: int = 0
    region: str = "ap-northeast-1"
    idle_timeout_s: float = 600.0
    max_lifetime_s: float = 7200.0
    management_rate: float | None = None
    workers_per_function: int = 4
    workers_total: int = 12
    worker_idle_s: float = 60.0


@dataclass(frozen=True)
class Ready:
    """Where everything is, once it answers."""

    aws_endpoint_url: str
    gateway_url: str
    gateway_tls_url: str
    ca_bundle: str
    ministack_url: str
    region: str
    pid: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class LocalAws:
    """Starts and stops the local AWS."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()

    async def start(self) -> Ready:
        """Raises: PortInUseError, RefusedError (another one runs on this state folder), ChildFailedError."""
        try:
            return await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _start(self) -> Ready:
        settings = self._settings
        state_dir = settings.state_dir.resolve()
        state_dir.mkdir(parents=True, exist_ok=True)
        state_dir.chmod(0o700)
        lock = exclusive(state_dir)
        if lock is None:
            raise RefusedError(
                f"a local AWS is already running on the state folder {settings.state_dir}",
                "stop it first (`migrate down`), or choose another folder with --state-dir",
            )
        self._stack.callback(lock.close)
        ports = self._choose_ports(state_dir)
        certificates = ensure_certificates(state_dir / "tls")

        usage = Usage()

        async def restarted() -> None:
            await front_door.control_plane_changed()

        ministack = MiniStack(
            port=ports["ministack"],
            front_door_port=ports["front_door"],
            state_dir=state_dir,
            region=settings.region,
            restarted=restarted,
        )
        functions = LocalFunctions(
            ministack.url,
            f"http://127.0.0.1:{ports['front_door']}",
            state_dir,
            certificates.ca,
            settings.region,
            Limits(
                workers_per_function=settings.workers_per_function,
                workers_total=settings.workers_total,
                idle_s=settings.worker_idle_s,
            ),
            usage,
        )
        gateway = LocalGateway(
            ministack.url,
            functions,
            port=ports["gateway"],
            tls_port=ports["gateway_tls"],
            certfile=certificates.certfile,
            keyfile=certificates.keyfile,
            state_dir=state_dir,
            region=settings.region,
            idle_timeout_s=settings.idle_timeout_s,
            max_lifetime_s=settings.max_lifetime_s,
            management_rate=settings.management_rate,
            metrics_url=ministack.url,
            usage=usage,
        )
        listener: ControlPlaneListener = gateway
        front_door = FrontDoor(
            ministack.url,
            functions,
            port=ports["front_door"],
            websocket_base=f"ws://127.0.0.1:{ports['gateway']}",
            region=settings.region,
            listeners=[listener],
            ministack_up=lambda: ministack.up,
            usage=usage,
        )
        for part in (ministack, functions, gateway, front_door):
            self._stack.push_async_callback(part.stop)
            await part.start()
        remember_ports(state_dir, ports)
        return Ready(
            aws_endpoint_url=front_door.url,
            gateway_url=f"ws://127.0.0.1:{ports['gateway']}",
            gateway_tls_url=f"wss://127.0.0.1:{ports['gateway_tls']}",
            ca_bundle=str(certificates.ca),
            ministack_url=ministack.url,
            region=settings.region,
            pid=os.getpid(),
        )

    def _choose_ports(self, state_dir: Path) -> dict[str, int]:
        """Every port, checked before anything starts. Raises: PortInUseError."""
        settings = self._settings
        wanted = {
            "front_door": (settings.port, "--port"),
            "gateway": (settings.gateway_port, "--gateway-port"),
            "gateway_tls": (settings.gateway_tls_port, "--gateway-tls-port"),
            "ministack": (settings.ministack_port, "--ministack-port"),
        }
        ports: dict[str, int] = {}
        for name, (port, option) in wanted.items():
            taken = set(ports.values())
            ports[name] = free_port(port, option) if port else remembered_port(state_dir, name, taken)
        return ports
