"""Streams whose connection was handed to the hub: uvicorn, fall-backs, TLS, the end, slow clients."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sse_service.fanout import Seats, write_direct
from sse_service.publish_uvicorn import PublishProtocol
from sse_service.settings import Settings
from sse_service.shared import SharedBytes, chunk
from sse_service.testing import SseReader
from sse_service.transport import TransportWriter
from sse_service.transport_uvicorn import StreamProtocol
from sse_service.writer import StreamWriter

pytestmark = pytest.mark.integration

WAIT_S = 15.0


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def writers(service: Any) -> list[Any]:
    return list(service.hub._writers)


async def open_raw(
    port: int, headers: dict[str, str], *, version: str = "1.1", context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A stream as bytes; the head of its response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET /api/chat/stream HTTP/{version}\r\nhost: x\r\n{fields}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"event: ready")
    return reader, writer, head


# uvicorn --------------------------------------------------------------------------------------------------


def test_this_is_the_uvicorn_whose_internals_are_known() -> None:
    """docs/decisions/0002 names the version; another one needs a look at transport_uvicorn.py."""
    assert uvicorn.__version__.startswith("0.54.")


def test_every_name_that_is_touched_is_there() -> None:
    for name in (
        "connection_made", "data_received", "on_message_begin", "on_headers_complete", "on_body", "on_message_complete",
        "on_response_complete", "timeout_keep_alive_handler", "send_400_response", "shutdown",
        "_unset_keepalive_if_required",
    ):  # fmt: skip
        assert callable(getattr(HttpToolsProtocol, name)), name
    config = uvicorn.Config(lambda: None, http=StreamProtocol, ws="none", log_config=None)  # type: ignore[arg-type,return-value]
    state = uvicorn.server.ServerState()
    loop = asyncio.new_event_loop()
    made = PublishProtocol(config, state, {}, loop)
    loop.close()
    for name in (
        "timeout_keep_alive", "timeout_keep_alive_task", "loop", "transport", "flow", "scope", "headers", "parser",
        "cycle", "pipeline", "connections", "server_state",
    ):  # fmt: skip
        assert hasattr(made, name), name
    assert (state.total_requests, state.default_headers, state.connections) == (0, [], set())
    for name in ("get_method", "get_http_version", "should_keep_alive"):
        assert callable(getattr(made.parser, name))
    cycle = RequestResponseCycle.__init__.__code__.co_names
    for name in (
        "response_started", "response_complete", "chunked_encoding", "expected_content_length", "disconnected",
    ):  # fmt: skip
        assert name in cycle
    assert callable(FlowControl.resume_reading)
    assert {"read_paused", "write_paused"} <= set(FlowControl.__init__.__code__.co_names)


async def test_after_the_head_nothing_of_the_server_is_left(
    service: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """What uvicorn does with these names: handed over, its protocol, cycle and task are gone."""
    before = {id(one) for one in gc.get_objects() if isinstance(one, HttpToolsProtocol | RequestResponseCycle)}
    _, writer, head = await open_raw(service.port, bearer("ann"))
    await until(lambda: writers(service) and isinstance(writers(service)[0], TransportWriter))
    state = service.server.server_state
    assert state.connections == set(writers(service))
    await until(lambda: not state.tasks)
    assert state.total_requests == 1
    assert b"connection: close" in head and b"transfer-encoding: chunked" in head
    gc.collect()
    left = [
        one
        for one in gc.get_objects()
        if isinstance(one, HttpToolsProtocol | RequestResponseCycle) and id(one) not in before
    ]
    assert not left, gc.get_referrers(left[0])
    writer.close()
    await until(lambda: not writers(service))
    assert state.connections == set() and service.hub.limits.total == 0


@pytest.mark.parametrize("missing", ["flow", "pipeline", "server_state"])
async def test_an_unknown_uvicorn_means_the_portable_way(
    service: Any, monkeypatch: pytest.MonkeyPatch, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    hand_over = StreamProtocol.hand_over

    def without(self: StreamProtocol, make: Any) -> bool:
        value = getattr(self, missing)
        delattr(self, missing)
        try:
            return hand_over(self, make)
        finally:
            setattr(self, missing, value)

    monkeypatch.setattr(StreamProtocol, "hand_over", without)
    await service.room()
    async with service.stream("ann") as ann:
        assert isinstance(writers(service)[0], StreamWriter)
        await service.say("bob", "hi")
        assert (await ann.frame("message")).json["message"] == "hi"
    assert "slower way" in caplog.text


async def test_http_1_0_is_not_handed_over(service: Any, bearer: Callable[..., dict[str, str]]) -> None:
    _, writer, _ = await open_raw(service.port, bearer("ann"), version="1.0")
    await until(lambda: writers(service))
    assert isinstance(writers(service)[0], StreamWriter)
    writer.close()


async def test_portable_is_a_setting(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(transport="portable"))
    async with service.stream("ann"):
        assert isinstance(writers(service)[0], StreamWriter)


# The end --------------------------------------------------------------------------------------------------


async def test_after_the_end_the_connection_is_closed_whatever_the_client_sent_meanwhile(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]]
) -> None:
    """A pipelined request is not answered, as the head said; the response itself is whole."""
    service = await start_service(settings.replace(max_age_s=0.5, heartbeat_s=0.2))
    reader, writer, _ = await open_raw(service.port, bearer("ann"))
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(WAIT_S):
        rest = await reader.read()
    assert b"event: rotate" in rest and rest.endswith(b"\r\n0\r\n\r\n") and b"HTTP/1.1" not in rest
    writer.close()
    await until(lambda: not service.server.server_state.connections)


async def test_a_client_that_stops_sending_is_gone(service: Any, bearer: Callable[..., dict[str, str]]) -> None:
    reader, writer, _ = await open_raw(service.port, bearer("ann"))
    writer.write_eof()
    async with asyncio.timeout(WAIT_S):
        await reader.read()
    await until(lambda: not service.hub.open_streams)
    writer.close()


async def test_log_lines_of_a_stream(
    service: Any, bearer: Callable[..., dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """One when it has begun, with the request's id, and one when it has ended, with the reason."""
    caplog.set_level("INFO", "sse_service")
    _, writer, head = await open_raw(service.port, bearer("ann"))
    request_id = re.search(rb"x-request-id: (\w+)", head)
    await until(lambda: [r for r in caplog.records if r.name == "sse_service.access"])
    begun = next(r for r in caplog.records if r.name == "sse_service.access")
    assert request_id is not None and vars(begun)["requestId"] == request_id[1].decode()
    writer.close()
    await until(lambda: "stream ended: disconnect" in caplog.text)


# Slow clients ---------------------------------------------------------------------------------------------


def pair() -> tuple[socket.socket, socket.socket]:
    one, two = socket.socketpair()
    one.setblocking(False)
    return one, two


class Slow:
    """Stands for a writer: what it was told."""

    def __init__(self, descriptor: int) -> None:
        self.direct_fd = descriptor
        self.direct_send: Any = None
        self.told: list[int] = []

    def wrote(self, sent: int, data: bytes) -> None:
        self.told.append(sent)


def test_one_pass_of_writes_goes_on_behind_those_that_fail() -> None:
    """Full, broken, partly full and good sockets in one table: each is written once, only the others are told."""
    pairs = [pair() for _ in range(6)]
    full, broken, partly = pairs[1], pairs[3], pairs[4]
    try:
        while True:
            full[0].send(b"x" * 65536)
    except BlockingIOError:
        pass
    broken[1].close()
    data = b"y" * (4 << 20)
    direct: dict[int, Any] = {one.fileno(): Slow(one.fileno()) for one, _ in pairs}
    write_direct(direct, b"small")
    assert [direct[one.fileno()].told for one, _ in pairs] == [[], [0], [], [-1], [], []]
    for one, two in pairs:
        if one not in (full[0], broken[0]):
            assert two.recv(100) == b"small"
    write_direct({partly[0].fileno(): direct[partly[0].fileno()]}, data)
    (sent,) = direct[partly[0].fileno()].told
    assert 0 < sent < len(data)
    for one, two in pairs:
        one.close()
        two.close()


def test_nothing_to_write_is_no_end_of_the_body() -> None:
    assert chunk(b"") == b"" and SharedBytes(b"").chunk == b""
    assert SharedBytes(b"ab").chunk == b"2\r\nab\r\n"


def test_seats_know_everybody_whatever_they_move_between() -> None:
    seats = Seats("t")
    made: list[Any] = [Slow(n) for n in range(4)]
    for one in made:
        seats.add(one)
    assert len(seats) == 4 and list(seats) == made
    seats.remove(made[1])
    made[1].direct_fd = -1
    seats.add(made[1])
    seats.remove(made[2])
    made[2].direct_fd, made[2].direct_send = -1, print
    seats.add(made[2])
    assert len(seats) == 4 and set(seats) == set(made)
    for one in made:
        seats.remove(one)
    assert not seats and list(seats) == []


async def test_a_slow_client_leaves_the_direct_way_and_comes_back(
    service: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """While its socket is full it costs nobody anything; once it has read all it is as quick as before."""
    await service.room()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", service.port))
    reader, client = await asyncio.open_connection(sock=sock, limit=2048)
    fields = "".join(f"{name}: {value}\r\n" for name, value in bearer("ann").items())
    client.write(f"GET /api/chat/stream HTTP/1.1\r\nhost: x\r\n{fields}\r\n".encode())
    await reader.readuntil(b"event: ready")
    await reader.readuntil(b"\n\n")
    (writer,) = writers(service)
    assert writer.direct_fd >= 0
    count = 0
    while not writer.is_busy:
        await service.say("bob", "x" * 50_000)
        count += 1
        assert count < 200
    assert writer.direct_fd == -1
    await service.say("bob", "waits")
    parser, frames = SseReader(), []
    async with asyncio.timeout(WAIT_S):
        while sum(f.type == "message" for f in frames) < count + 1:
            frames += parser.feed((await reader.read(1 << 16)).replace(b"\r\n", b"\n"))
    told = [f.json["message"] for f in frames if f.type == "message"]
    assert [len(text) for text in told] == [50_000] * count + [5]
    await until(lambda: writer.direct_fd >= 0 and not writer.is_busy)
    assert writer.stream._blocked_since is None
    client.close()


# TLS ------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path / "both.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + secret)
    return path


async def test_tls_is_written_through_the_transport_only(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], certificate: Path
) -> None:
    """Nothing may go past the encryption; farewell and terminator arrive."""
    service = await start_service(settings.replace(tls_certfile=str(certificate), max_age_s=0.6, heartbeat_s=0.1))
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    reader, writer, _ = await open_raw(service.port, bearer("ann"), context=context)
    (made,) = writers(service)
    assert isinstance(made, TransportWriter) and made.direct_fd == -1
    async with asyncio.timeout(WAIT_S):
        rest = await reader.read()
    assert b": hb\n\n" in rest and b"event: rotate" in rest and rest.endswith(b"0\r\n\r\n")
    writer.close()
    await until(lambda: not service.hub.open_streams)
