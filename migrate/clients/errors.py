"""What can go wrong in the clients. until phase 3

MigrateError
└── ClientError
    ├── RefusedByServerError   an answer that trying again does not change (401, 403, 404 ...)
    └── NotConnectedError      a frame was to be sent while there was no connection
"""

from __future__ import annotations

from migrate.errors import MigrateError

__all__ = ["ClientError", "NotConnectedError", "RefusedByServerError"]


class ClientError(MigrateError):
    """Base of everything the clients raise."""


class RefusedByServerError(ClientError):
    """The server answered, and the same request would get the same answer again.

    Args:
        address: scheme, host and path; no query, since tokens may be in it.
        status: the HTTP status, or None when the answer was no HTTP answer to the request.
        detail: what the server said or what was wrong with it, without secrets.
    """

    def __init__(self, address: str, status: int | None, detail: str = "") -> None:
        self.address = address
        self.status = status
        self.detail = detail
        said = f"HTTP {status}" if status is not None else "an unusable answer"
        hint = {
            401: "the token is missing, expired or signed with another secret",
            403: "the token is not accepted here: wrong secret, tenant or scope",
        }.get(status or 0)
        super().__init__(f"{address} answered {said}{': ' + detail if detail else ''}", hint)


class NotConnectedError(ClientError):
    """A frame was to be sent while there was no connection; it was not sent.

    Args:
        address: scheme, host and path of the connection.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(f"there is no connection to {address}", "wait until the client is live")
