"""A real control plane (MiniStack child), a gateway on free ports, and functions that are Python
callables. until phase 3"""

import datetime
import ipaddress
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parent))

from gateway_support import REGION, Api, FakeInvoker, aws_client, build_chat, free_port

from migrate.local.gateway import LocalGateway


@pytest.fixture(scope="session")
def control_plane_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "AWS_DEFAULT_REGION": REGION,
    }
    output = (tmp_path_factory.mktemp("ministack") / "output").open("wb")
    child = subprocess.Popen(
        [str(Path(sys.executable).parent / "ministack")], env=environment, stdout=output, stderr=subprocess.STDOUT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1):
                    break
            except OSError:
                assert child.poll() is None, "ministack ended"
                assert time.monotonic() < deadline, "ministack did not start"
                time.sleep(0.05)
        yield url
    finally:
        child.terminate()
        child.wait(10)
        output.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certfile, keyfile = folder / "cert.pem", folder / "key.pem"
    certfile.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certfile, keyfile


@pytest.fixture(scope="session")
def apis(control_plane_url: str) -> Any:
    return aws_client("apigatewayv2", control_plane_url)


@pytest.fixture
def invoker() -> FakeInvoker:
    return FakeInvoker()


GatewayFactory = Callable[..., Awaitable[LocalGateway]]


@pytest.fixture
async def start_gateway(
    control_plane_url: str, invoker: FakeInvoker, certificate: tuple[Path, Path], tmp_path: Path
) -> AsyncIterator[GatewayFactory]:
    """Starts gateways with settings of the test's own; all are stopped at its end."""
    started: list[LocalGateway] = []

    async def start(**settings: Any) -> LocalGateway:
        settings.setdefault("state_dir", tmp_path / "state")
        settings.setdefault("access_log", False)
        settings.setdefault("shutdown_s", 1.0)
        gateway = LocalGateway(
            control_plane_url,
            invoker,
            certfile=certificate[0],
            keyfile=certificate[1],
            region=REGION,
            **settings,
        )
        await gateway.start()
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        await gateway.stop()


@pytest.fixture
async def gateway(start_gateway: GatewayFactory) -> LocalGateway:
    return await start_gateway()


@pytest.fixture
def new_api(apis: Any, gateway: LocalGateway) -> Callable[..., Api]:
    def make(*, on: LocalGateway | None = None, **options: Any) -> Api:
        options.setdefault("RouteSelectionExpression", "$request.body.action")
        made = apis.create_api(Name="test", ProtocolType="WEBSOCKET", **options)
        return Api(apis, on or gateway, made["ApiId"])

    return make


@pytest.fixture
async def chat(new_api: Callable[..., Api], invoker: FakeInvoker) -> Api:
    """$connect, $disconnect, $default (two-way) and `echo` (two-way), deployed to `prod`."""
    return await build_chat(new_api(), invoker)
