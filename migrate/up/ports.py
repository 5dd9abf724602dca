"""Ports of the local stacks: the ones asked for, else free ones. until phase 3"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Mapping

from migrate.errors import UsageError
from migrate.local.ministack import CALM_PORTS

__all__ = ["choose_ports"]

HOST = "127.0.0.1"


def choose_ports(wanted: Mapping[str, int | None], last: Mapping[str, int] | None = None) -> dict[str, int]:
    """One port for each name.

    Args:
        wanted: name -> the port asked for, or None for any free one. The name is the option's, for the message.
        last: ports of the last start, taken again where they are free: browsers and scripts remember addresses.
    Raises: UsageError: a port is taken, asked for twice, or outside 1-65535.
    """
    fixed = [port for port in wanted.values() if port is not None]
    if len(set(fixed)) != len(fixed):
        raise UsageError("one port was given to two options", "give each option a port of its own")
    with contextlib.ExitStack() as held:
        # All are held at once, so that no two names get the same free port.
        return {
            name: _bind(held, name, port) if port is not None else _bind_any(held, name, (last or {}).get(name))
            for name, port in wanted.items()
        }


def _bind_any(held: contextlib.ExitStack, name: str, last: int | None) -> int:
    for candidate in (last, *random.sample(CALM_PORTS, 50)):
        if candidate is not None:
            with contextlib.suppress(UsageError):
                return _bind(held, name, candidate)
    return _bind(held, name, None)


def _bind(held: contextlib.ExitStack, name: str, port: int | None) -> int:
    if port is not None and not 1 <= port <= 65535:
        raise UsageError(f"--{name} {port} is no port", "ports are 1 to 65535")
    probe = held.enter_context(contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)))
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port or 0))
        probe.listen(1)
    except OSError as error:
        raise UsageError(
            f"port {port} (--{name}) cannot be used on {HOST}: {error.strerror}",
            f"another program listens there; end it, or choose another --{name}, or leave the option out",
        ) from error
    return int(probe.getsockname()[1])
