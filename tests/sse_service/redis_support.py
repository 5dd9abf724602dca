"""A real Redis (or Valkey) server on the loopback interface, and a door in front of a server that can be shut."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

START_S = 10.0


def server_program() -> str:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError("no redis-server and no valkey-server on PATH: `make redis` installs one")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RedisServer:
    """Keeps nothing on disk. options: further arguments; tls: it speaks TLS only."""

    def __init__(self, directory: Path, options: Sequence[str] = (), *, tls: bool = False) -> None:
        self._directory = directory
        self._options = options
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """On the port it had, or on a free one."""
        for _ in range(5):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
        raise RuntimeError("the Redis server did not start")

    def _started(self, port: int) -> bool:
        ports = ["--port", "0", "--tls-port", str(port)] if self._tls else ["--port", str(port)]
        self._process = subprocess.Popen(
            [
                server_program(), *ports, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--dir", str(self._directory), *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            time.sleep(0.01)
        self.stop()
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Door:
    """A TCP relay to a server; shut, it cuts what is open and whoever comes."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._is_open = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def open(self) -> None:
        self._is_open = True

    async def shut(self) -> None:
        # It goes on listening: a server that is closed while it accepts leaves that connection open (CPython 3.11).
        self._is_open = False
        for writer in self._writers:
            writer.transport.abort()
        # Not cancelled: a connection that is just being made would be left open.
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for _ in range(10):
            await self.shut()
            await asyncio.sleep(0.001)
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if not self._is_open:
                writer.transport.abort()
                return
            there_reader, there = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
        else:
            self._writers.add(there)
            if self._is_open:
                await asyncio.gather(_copy(reader, there), _copy(there_reader, writer))
            there.transport.abort()
            writer.transport.abort()
            self._writers.discard(there)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def door_to(host: str, port: int) -> AsyncIterator[Door]:
    door = Door(host, port)
    await door.listen()
    try:
        yield door
    finally:
        await door.close()
