"""What is Redis's own: channels, AUTH, TLS, and secrets that stay out of logs."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis

from sse_service.adapters.redis_broker import RedisBroker
from sse_service.hub import Hub
from sse_service.metrics import Metrics
from sse_service.ports import Batch, BrokerListener
from sse_service.settings import Settings

from .broker_support import Cluster, eventually
from .redis_support import RedisServer

PASSWORD = "hunter2-of-the-broker"


@asynccontextmanager
async def two_on(settings: Settings, url: str, prefix: str = "t") -> AsyncIterator[Cluster]:
    made = Cluster("redis", settings, lambda m: RedisBroker(url, prefix, m, clock=time.time), None)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(
        tmp_path, ["--user", "default", "off", "--user", "sse", "on", f">{PASSWORD}", "~*", "&*", "+@all"]
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.stop()


async def test_auth_by_url(settings: Settings, server: RedisServer) -> None:
    async with two_on(settings, f"redis://sse:{PASSWORD}@127.0.0.1:{server.port}/0") as cluster:
        one, two = await cluster.instance(), await cluster.instance()
        bob = await two.open("bob")
        await cluster.talking(one, two)
        await one.publish("e0")
        await bob.has(["e0"])


async def test_a_wrong_password_is_said_without_it_and_streams_go_on(
    settings: Settings, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = f"redis://sse:{PASSWORD}-but-wrong@127.0.0.1:{server.port}/0"
    with caplog.at_level(logging.DEBUG, "sse_service"):
        async with two_on(settings, wrong) as cluster:
            one = await cluster.instance()
            ann = await one.open("ann")
            await one.publish("e0")
            await ann.has(["e0"])
            await eventually(lambda: one.value("sse_broker_problems_total", kind="connection") >= 1, "a problem")
            assert one.value("sse_broker_connected") == 0
    assert "not connected to Redis" in caplog.text
    assert PASSWORD not in caplog.text


async def test_only_tenants_with_open_streams_are_subscribed_to(
    settings: Settings, open_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.adapters.redis_broker.LINGER_S", 0.2)
    redis = Redis(port=open_server.port, decode_responses=True)

    async def channels() -> set[str]:
        return set(await redis.pubsub_channels("t:*"))

    async def until(expected: set[str]) -> None:
        deadline = time.monotonic() + 20
        while await channels() != expected:
            assert time.monotonic() < deadline, await channels()

    async with two_on(settings, open_server.url) as cluster:
        one, two = await cluster.instance(), await cluster.instance()
        await until({"t:events"})
        tab, other = await two.open("bob"), await two.open("bob", tenant="other")
        await one.open("ann")
        await until({"t:events", "t:events:demo", "t:events:other"})
        assert dict(await redis.pubsub_numsub("t:events:demo", "t:events:other")) == {
            "t:events:demo": 2,
            "t:events:other": 1,
        }
        await other.close()
        await until({"t:events", "t:events:demo"})
        await tab.close()
    await redis.aclose()


async def test_what_is_no_notice_is_counted_and_harmless(settings: Settings, open_server: RedisServer) -> None:
    redis = Redis(port=open_server.port)
    async with two_on(settings, open_server.url) as cluster:
        one, two = await cluster.instance(), await cluster.instance()
        bob = await two.open("bob")
        await cluster.talking(one, two)
        for text in (b"\xff\xfe", b"{}", b"[" * 5000):
            await redis.publish("t:events:demo", text)
        await one.publish("e0")
        await bob.has(["e0"])
        assert two.value("sse_broker_problems_total", kind="invalid") == 3
    await redis.aclose()


class Counting:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.batches: list[Batch] = []

    def accept(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.hub.accept(batch)

    def look(self, tenant: str | None = None) -> None:
        self.hub.look(tenant)

    async def written(self, *_: object) -> bool:
        return True


async def test_nobody_is_told_of_his_own_events(settings: Settings, open_server: RedisServer) -> None:
    counting: list[Counting] = []

    def wrap(hub: Hub) -> BrokerListener:
        counting.append(Counting(hub))
        return counting[-1]

    async with two_on(settings, open_server.url) as cluster:
        one, two = await cluster.instance(wrap), await cluster.instance(wrap)
        ann, bob = await one.open("ann"), await two.open("bob")
        await cluster.talking(one, two)
        await one.publish("mine")
        await bob.has(["mine"])
        await two.publish("answer")
        await ann.has(["mine", "answer"])
        told = [event.data for batch in counting[0].batches for event in batch.events]
        assert told == ['"answer"']


async def test_a_url_that_cannot_be_used_is_a_sentence(settings: Settings) -> None:
    from sse_service.errors import StartupError

    broker = RedisBroker(f"redis://:{PASSWORD}@host/0?socket_timeout=never", "t", Metrics(), clock=time.time)
    with pytest.raises(StartupError) as caught:
        await broker.start(Counting(None))  # type: ignore[arg-type]
    assert "SSE_REDIS_URL" in str(caught.value) and PASSWORD not in str(caught.value)
    await broker.close()


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed one for 127.0.0.1: (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_tls_by_url_and_only_with_a_certificate_that_can_be_trusted(settings: Settings, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "broker")
    stranger, _ = certificate(tmp_path, "stranger")
    options = ["--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(cert)]
    server = RedisServer(tmp_path, [*options, "--tls-auth-clients", "no"], tls=True)
    server.start()
    try:
        url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs="
        async with two_on(settings, f"{url}{cert}") as cluster:
            one, two = await cluster.instance(), await cluster.instance()
            bob = await two.open("bob")
            await cluster.talking(one, two)
            await one.publish("e0")
            await bob.has(["e0"])
        async with two_on(settings, f"{url}{stranger}") as cluster:
            one = await cluster.instance()
            await eventually(lambda: one.value("sse_broker_problems_total", kind="connection") >= 1, "a problem")
            assert one.value("sse_broker_connected") == 0
    finally:
        server.stop()
