"""What those who run the service see: metrics, logs, health, and how quickly it starts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sse_service.logs import JsonFormatter
from sse_service.metrics import Metrics

CHUNKED = b"POST /api/chat/send HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
UNITS = ("_seconds", "_bytes", "_ratio")
BOUNDED_LABELS = {"how", "kind", "method", "queue", "reason", "recovery", "result", "route", "status", "why", "le"}
BOUNDED_LABELS |= {"generation"}


def test_names_units_and_labels_follow_the_conventions() -> None:
    """Prometheus, "Metric and label naming": base units, `_total`, one prefix; no label without bound."""
    for family in Metrics().registry.collect():
        name = family.name
        assert re.fullmatch(r"(sse|process|python)_[a-z0-9_]+", name), name
        assert family.documentation, name
        assert not re.search(r"_(ms|millis|milliseconds|kb|mb|minutes|count|total)$", name), name
        if name.startswith("sse_") and family.type == "histogram":
            assert name.endswith(UNITS), name
        for sample in family.samples:
            assert set(sample.labels) <= BOUNDED_LABELS, sample


@pytest.mark.integration
async def test_metrics_tell_of_streams_events_deliveries_replays_and_latencies(service: Any) -> None:
    await service.room()
    async with service.stream("ann") as ann, service.stream("bob"):
        await service.say("bob", "1")
        await ann.frame("message")
        cursor = ann.frames[0].id
        async with service.stream("eve", cursor=cursor) as eve:
            await eve.frame("message")
        async with service.stream("eve", cursor="garbage-1") as eve:
            await eve.frame("reset")
        text = (await service.client.get("/metrics")).text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["sse_open_streams",] >= 2
    assert samples["sse_events_total",] >= 1
    assert samples["sse_deliveries_total",] >= 2
    assert samples["sse_replayed_events_total",] >= 1
    assert samples["sse_resets_total", ("reason", "unknown_log")] == 1
    assert samples["sse_streams_opened_total", ("recovery", "resumed")] == 1
    assert samples["sse_publish_seconds_count",] >= 1
    assert samples["sse_delivery_lag_seconds_count",] >= 1
    opened = samples["sse_http_response_start_seconds_count", ("method", "GET"), ("route", "/api/chat/stream")]
    assert opened >= 4
    assert samples["process_resident_memory_bytes",] > 0


async def test_labels_do_not_grow_with_what_clients_invent(memory_api: Any, bearer: Callable[..., Any]) -> None:
    metrics = memory_api.app.state.services.metrics

    def series() -> int:
        return sum(len(family.samples) for family in metrics.registry.collect())

    for n in range(3):
        await memory_api.client.get(f"/invented/{n}")
        await memory_api.client.request(f"VERB{n}", "/healthz")
        await memory_api.client.get(f"/api/chat/history?conversationId=c{n}", headers=bearer(f"u{n}"))
    before = series()
    for n in range(3, 60):
        await memory_api.client.get(f"/invented/{n}")
        await memory_api.client.request(f"VERB{n}", "/healthz")
        await memory_api.client.get(f"/api/chat/history?conversationId=c{n}", headers=bearer(f"u{n}", f"t{n}"))
    assert series() == before


async def test_a_log_line_is_one_line_of_json_whatever_is_in_it(
    memory_api: Any, bearer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A line break in a path, a conversation or an id begins no second line."""
    caplog.set_level(logging.INFO, "sse_service")
    await memory_api.client.get("/x%0a%7b%22level%22:%22forged%22%7d", headers=bearer("ann"))
    await memory_api.client.get("/api/chat/history?conversationId=a%0d%0ab", headers=bearer("ann"))
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name == "sse_service.access"]
    assert len(lines) == 2
    for line in lines:
        assert "\n" not in line and "\r" not in line
        assert json.loads(line)["requestId"]
    assert json.loads(lines[1])["userId"] == "ann"


def test_the_embedded_default_imports_no_aws_sdk_and_starts_within_two_seconds() -> None:
    """What makes `sse-service serve` alone start quickly: nothing is imported that it does not use."""
    code = "import sys, sse_service.cli, sse_service.app, sse_service.server; print(*sorted(sys.modules))"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSE_", "AWS_", "COVERAGE"))}
    import subprocess

    out = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True).stdout
    heavy = {"aiobotocore", "botocore", "boto3", "aiohttp", "redis", "moto"}
    assert not heavy & set(out.split())


@pytest.mark.integration
async def test_serve_answers_within_two_seconds_of_processor_time(tmp_path: Any) -> None:
    """Processor time, not the clock on the wall: a machine that is busy with other things proves nothing."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSE_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sse_service", "serve", "--port", "0"),
        env={**clean, "XDG_STATE_HOME": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            await process.stderr.readline()
        with open(f"/proc/{process.pid}/stat") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
        used_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert used_s < 2, used_s
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad header: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * (10 << 20), 431),
        (CHUNKED + b"0\r\nx: " + b"y" * (10 << 20), 431),
        (CHUNKED + b"0\r\n" + b"x: y\r\n" * (1 << 20), 431),
    ],
    ids=["no request", "a NUL in a header", "a head without an end", "a trailer without an end", "endless trailers"],
)
async def test_what_is_no_request_is_a_problem_too(service: Any, sent: bytes, status: int) -> None:
    """A head that never ends is not kept, nor are trailers: the connection is closed after a bounded part of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"}")
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()) and b"connection: close" in head
    problem = json.loads(body)
    assert problem["status"] == status and f"x-request-id: {problem['requestId']}".encode() in head


@pytest.mark.integration
async def test_a_trailer_is_no_header(service: Any, bearer: Any) -> None:
    """RFC 9110, 6.5.1: what a proxy in front has checked or removed in the head must not come in behind the body."""
    token = bearer("ann")["authorization"].encode()
    body = b'{"with":"bob","message":"hi"}'
    typed = CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-type: application/json\r\n\r\n")
    sent = b"%b%x\r\n%b\r\n0\r\nauthorization: %b\r\n\r\n" % (typed, len(body), body, token)
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    finally:
        writer.close()


@pytest.mark.integration
async def test_a_large_body_in_chunks_is_no_trailer(service: Any, bearer: Any) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"with":"bob","message":"hi"'
        for _ in range(8):
            yield b" " * 100_000
        yield b"}"

    headers = {**bearer("ann"), "content-type": "application/json"}
    assert (await service.client.post("/api/chat/send", content=parts(), headers=headers)).status_code == 201


@pytest.mark.integration
async def test_keepalive_as_an_event_moves_the_cursor_on(start_service: Any, settings: Any) -> None:
    """A stream of a quiet topic in a busy tenant: what it would resume from keeps up, and nothing is skipped."""
    service = await start_service(settings.replace(heartbeat_s=0.3))
    await service.room("busy")
    async with (
        service.stream("ann", "/api/streams?topic=user:ann&keepalive=event") as ann,
        service.stream("bob") as bob,
    ):
        for n in range(3):
            await service.say("bob", str(n), room="busy")
        last = await bob.frame("message", 3)
        seen = await ann.frame("keepalive")
        while int(seen.id.split("-")[1]) < int(last.id.split("-")[1]):
            seen = await ann.frame("keepalive", len(ann.of_type("keepalive")) + 1)
        assert seen.json == {"position": seen.id}
        assert ann.reader.comments == 0 and bob.of_type("keepalive") == []
        body = {"events": [{"topic": "user:ann", "type": "x", "data": 1}]}
        assert (await service.post("/api/events", "w", body, scope="events:publish")).status_code == 201
        await ann.frame("x")
    async with service.stream("ann", "/api/streams?topic=user:ann", cursor=seen.id) as ann:
        assert ann.frames[0].json["recovered"] is True
        await ann.frame("x")


async def test_keepalive_is_one_of_two(memory_api: Any) -> None:
    answer = await memory_api.get("/api/chat/stream?keepalive=sometimes", "ann")
    assert answer.status_code == 400 and answer.json()["field"] == "keepalive"
    forged = {"events": [{"topic": "user:ann", "type": "keepalive", "data": 1}]}
    assert (await memory_api.post("/api/events", "w", forged, scope="events:publish")).status_code == 400


async def test_no_page_of_the_service_loads_anything_from_elsewhere(memory_api: Any) -> None:
    """The framework's /docs gets its scripts from a public network of copies."""
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert (await memory_api.client.get(path)).status_code == 404
    assert (await memory_api.client.get("/openapi.json")).status_code == 200
