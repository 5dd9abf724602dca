"""Sockets that we listen on."""

from __future__ import annotations

import socket

from sse_service.errors import StartupError

__all__ = ["listen"]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio turns Nagle's algorithm off only where it is, and with it on every answer
    # (head and body are two writes) waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StartupError(
            f"cannot listen on {host}:{port}: {reason}", "choose another one with --port (0: any free one)"
        ) from None
    return sock
