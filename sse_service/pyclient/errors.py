"""What clients are told. Names are those of `websockets`, so that `except` clauses need a changed import only."""

from __future__ import annotations

__all__ = ["ConnectionClosed", "ConnectionClosedError", "ConnectionClosedOK", "HandshakeError"]


class HandshakeError(ConnectionError):
    """The connection was refused. status: of HTTP; 0 when there was no answer."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class ConnectionClosed(ConnectionError):  # noqa: N818 - the name in `websockets`
    """code, reason: of the close (RFC 6455, 7.4); 1006: it was lost. why: in words, for people."""

    def __init__(self, code: int, reason: str, why: str = "") -> None:
        super().__init__(f"closed with {code}{f' ({reason or why})' if reason or why else ''}")
        self.code = code
        self.reason = reason


class ConnectionClosedOK(ConnectionClosed):
    """Closed with 1000 or 1001."""


class ConnectionClosedError(ConnectionClosed):
    """Closed with anything else."""
