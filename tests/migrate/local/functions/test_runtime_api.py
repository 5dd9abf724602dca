"""The Runtime API as a runtime client sees it, over a real socket. until phase 3"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from migrate.local.functions.runtime_api import MAX_PAYLOAD_BYTES, RuntimeApi


class Recorder:
    """Takes what the runtime says; the invocation with id `known` is running."""

    def __init__(self) -> None:
        self.waiting: list[RuntimeApi] = []
        self.said: list[tuple[str, ...]] = []

    def runtime_waits(self, connection: RuntimeApi) -> None:
        self.waiting.append(connection)

    def runtime_responded(self, request_id: str, body: bytes, size: int) -> bool:
        self.said.append(("response", request_id, body.decode(), str(size)))
        return request_id == "known"

    def runtime_failed(self, request_id: str, body: bytes, error_type: str) -> bool:
        self.said.append(("error", request_id, body.decode(), error_type))
        return request_id == "known"

    def runtime_init_failed(self, body: bytes, error_type: str) -> None:
        self.said.append(("init", body.decode(), error_type))


@pytest.fixture
async def api() -> AsyncIterator[tuple[Recorder, asyncio.StreamReader, asyncio.StreamWriter]]:
    recorder = Recorder()
    server = await asyncio.get_running_loop().create_server(lambda: RuntimeApi(recorder), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield recorder, reader, writer
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ")[1])


def post(path: str, body: bytes, extra: str = "") -> bytes:
    head = f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


Api = tuple[Recorder, asyncio.StreamReader, asyncio.StreamWriter]


async def test_next_waits_until_an_invocation_is_handed_over(api: Api) -> None:
    recorder, reader, writer = api
    writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
    while not recorder.waiting:
        await asyncio.sleep(0.01)
    recorder.waiting[0].hand_over(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"{}")
    assert await status(reader) == 200


async def test_results_and_errors_are_accepted_for_the_running_invocation_only(api: Api) -> None:
    recorder, reader, writer = api
    writer.write(post("invocation/known/response", b'"a"'))
    assert await status(reader) == 202
    writer.write(post("invocation/other/response", b'"b"'))
    assert await status(reader) == 400
    writer.write(post("invocation/known/error", b"{}", "Lambda-Runtime-Function-Error-Type: X.Y\r\n"))
    assert await status(reader) == 202
    writer.write(post("init/error", b"{}", "lambda-runtime-function-error-type: Z\r\n"))
    assert await status(reader) == 202
    assert recorder.said == [
        ("response", "known", '"a"', "3"),
        ("response", "other", '"b"', "3"),
        ("error", "known", "{}", "X.Y"),
        ("init", "{}", "Z"),
    ]


async def test_oversized_results_are_refused_and_not_kept(api: Api) -> None:
    recorder, reader, writer = api
    writer.write(post("invocation/known/response", b"x" * (MAX_PAYLOAD_BYTES + 1)))
    assert await status(reader) == 413
    assert recorder.said == [("response", "known", "", str(MAX_PAYLOAD_BYTES + 1))]


async def test_unknown_paths_and_garbage(api: Api) -> None:
    _, reader, writer = api
    for request in (
        b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n",
        post("invocation/known/elsewhere", b""),
    ):
        writer.write(request)
        assert await status(reader) == 404
    writer.write(b"\x00\x01\x02 garbage\r\n\r\n")
    assert await reader.read() == b""
