"""People who come, and those who are not let in (MG16). until phase 3"""

from __future__ import annotations

from http import HTTPStatus

import pytest
import websockets
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from migrate.errors import UsageError
from migrate.rehearse.applications import APPLICATIONS
from migrate.rehearse.crowd import Crowd
from migrate.rehearse.person import Addresses


async def test_who_is_refused_is_named_at_once_with_where_to_look() -> None:
    """A wrong stand-in is the commonest mistake with a stack of one's own: no traceback, no half minute of silence."""

    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")

    async def never(_: websockets.ServerConnection) -> None:
        raise AssertionError

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        addresses = Addresses(
            lambda name: (f"ws://127.0.0.1:{port}/?as={name}", {}), "http://127.0.0.1:9", "/stream", lambda *_: {}
        )

        async def why() -> tuple[str, str]:
            return "; function hall: [ERROR] KeyError: 'SOCKETS'", "the handshakes are in /a/b/local-aws.log"

        crowd = Crowd(APPLICATIONS["rooms"], addresses, ["mover1"], [], why)
        with pytest.raises(UsageError, match=r"mover1 could not connect over websocket: .*403") as refused:
            async with crowd.here():
                raise AssertionError
    assert refused.value.hint is not None
    assert "[rehearse] query and headers" in refused.value.hint
    # The function's own words, and a path that is found from anywhere.
    assert refused.value.message.endswith("; function hall: [ERROR] KeyError: 'SOCKETS'")
    assert refused.value.hint.endswith("; the handshakes are in /a/b/local-aws.log")
    assert "as=" not in refused.value.message
