"""A Python client of virtual connections, in the shape of the `websockets` library.

    async with connect("wss://host/ws/prod?token=…") as connection:
        await connection.send("hello")
        async for message in connection:      # str or bytes; ends when the server closes with 1000 or 1001
            ...

    from sse_service.pyclient.sync import connect     # the same without asyncio

Order, numbers, resuming and de-duplication are those of the drop-in client (docs/guides/drop-in-client.md, "On the
wire"). Needs httpx and nothing else of the service.
"""

from sse_service.pyclient.aio import Connection, connect
from sse_service.pyclient.errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, HandshakeError

__all__ = ["Connection", "ConnectionClosed", "ConnectionClosedError", "ConnectionClosedOK", "HandshakeError", "connect"]
