"""The servers of the event-stream benchmark, each started fresh on one core and ended with its measurement."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from loadtests.bench.processes import free_port
from loadtests.bench.sse_client import SERVER_CORE, Programs, pinned

__all__ = ["FLOOR", "NCHAN", "PLAIN", "PORTABLE", "SERVICE", "Target", "find_nchan", "metric", "post", "serve"]

FLOOR = "C, one send per event"
NCHAN = "nginx + nchan"
PLAIN = "sse-starlette"
SERVICE = "sse-service"
PORTABLE = "sse-service, portable"

START_S = 30.0
SECRET = "only-for-this-benchmark-0123456789abcdef"
USERS = 5000
NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"
# Nothing is switched off for the measurement: authentication, event ids, heartbeats, limits, eviction and metrics are
# what everybody gets. Limits are raised where one machine plays thousands of clients; lines of the access log are not
# written, as with the peers.
SERVICE_ENV = {
    "SSE_JWT_SECRET": SECRET,
    "SSE_LOG": "memory",
    "SSE_LOG_LEVEL": "warning",
    "SSE_MAX_STREAMS_PER_ADDRESS": "20000",
    "SSE_PUBLISH_PER_S": "1000000",
    "SSE_PUBLISH_BURST": "1000000",
}
NGINX_CONF = """
load_module {module};
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 16000; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    keepalive_requests 100000000;
    keepalive_timeout 300;
    tcp_nodelay on;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/sub/(\\w+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
            nchan_eventsource_ping_interval 15;
        }}
        location ~ ^/pub/(\\w+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length 10;
            nchan_message_timeout 60s;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Target:
    """A running server. subscribe and publish: options of the load client; chat: those of a channel for each.
    back_end: a token that may publish."""

    name: str
    pid: int
    port: int
    subscribe: Mapping[str, object]
    publish: Mapping[str, object]
    chat: Mapping[str, object] = field(default_factory=dict)
    back_end: str = ""


def find_nchan() -> str | None:
    """None: there. Otherwise why this peer is left out, after trying to install it where that is possible."""
    if not _has_nchan() and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        # Not started as a service: policy-rc.d of 101 forbids it during the installation.
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", "nginx", "libnginx-mod-nchan"],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            timeout=300,
            check=False,
        )
    if _has_nchan():
        return None
    return "nginx with nchan is left out: install the Debian packages nginx and libnginx-mod-nchan"


def _has_nchan() -> bool:
    return shutil.which("nginx") is not None and Path(NCHAN_MODULE).exists()


@contextlib.contextmanager
def serve(name: str, programs: Programs | None, folder: Path, **environ: str) -> Iterator[Target]:
    """One of the servers above. environ: further settings of ours. Raises RuntimeError when it does not start."""
    port = free_port()
    work = folder / f"{name.replace(' ', '-').replace(',', '')}-{port}"
    work.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(work), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if name == FLOOR and programs is not None:
        argv = [str(programs.floor), str(port)]
    elif name == NCHAN:
        (work / "nginx.conf").write_text(NGINX_CONF.format(port=port, module=NCHAN_MODULE), encoding="utf-8")
        argv = ["nginx", "-p", f"{work}/", "-c", "nginx.conf", "-g", "daemon off;"]
    elif name == PLAIN:
        argv = [sys.executable, "-m", "loadtests.bench.sse_plain_peer"]
        env["PORT"] = str(port)
    else:
        argv = [sys.executable, "-m", "sse_service", "serve", "--port", str(port)]
        env |= SERVICE_ENV | environ | {"SSE_TRANSPORT": "portable" if name == PORTABLE else "auto"}
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(pinned(SERVER_CORE, argv), env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(port, process, work / "log")
        yield _service(name, process.pid, port, work) if name in {SERVICE, PORTABLE} else _peer(name, process.pid, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it did not start: {log.read_text(encoding='utf-8', errors='replace')[-500:]}")
        time.sleep(0.02)


def _peer(name: str, pid: int, port: int) -> Target:
    return Target(name, pid, port, {"sub": "/sub/{c}"}, {"pub": "/pub/{c}"})


def _service(name: str, pid: int, port: int, work: Path) -> Target:
    """A user for each stream; everybody reads the open conversation `main`."""
    tokens = work / "tokens"
    tokens.write_text("".join(f"{_token(f'u{n}')}\n" for n in range(USERS)), encoding="ascii")
    backend = _token("backend", "events:publish")
    post(port, "/api/conversations", backend, {"conversationId": "main", "open": True})
    event = '{"topic":"%s","type":"message","data":"{p}"}'
    publish = {
        "pub": "/api/events",
        "pub_header": f"Authorization: Bearer {backend}\r\nContent-Type: application/json",
        "open": '{"events":[',
        "item": event % "room:main",
        "close": "]}",
    }
    return Target(
        name,
        pid,
        port,
        {"sub": "/api/chat/stream", "tokens": str(tokens)},
        publish,
        {"item": event % "user:u{c}"},
        backend,
    )


def _token(user: str, scope: str = "") -> str:
    now = int(time.time())
    claims: dict[str, object] = {"sub": user, "tenant_id": "bench", "exp": now + 3600}
    return jwt.encode(claims | ({"scope": scope} if scope else {}), SECRET, algorithm="HS256")


def post(port: int, path: str, token: str, body: object) -> bytes:
    """The answer's body. Raises urllib.error.HTTPError."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: bytes = answer.read()
    return found


def metric(port: int, name: str) -> float:
    """The sum of a metric's samples on `/metrics` of the service."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = (line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] == name)
    return sum(float(line.rpartition(" ")[2]) for line in lines)
