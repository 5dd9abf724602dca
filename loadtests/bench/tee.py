"""What the tee costs a user's message, and how fast the shadow worker is. Commands and the network only.

The cost is that of a function which answers by returning, so that its client waits for everything the tee does: four
equal functions behind four equal APIs on one local AWS, and a message to each in turn, so that all meet the same
machine. An emulated queue is nearer than AWS's, and this machine slower than Lambda: what counts is the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import websockets
from websockets.asyncio.client import ClientConnection

from loadtests.bench.processes import local_aws
from loadtests.bench.report import Table, percentile, save

__all__ = ["run"]

MESSAGES = 400
WARM = 20
PYTHON = "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': event.get('body') or ''}\n"
NODE = "exports.handler = async (event) => ({ statusCode: 200, body: event.body || '' });\n"
RUNTIMES = {
    "Python": ("index.py", PYTHON, f"python{sys.version_info.major}.{sys.version_info.minor}"),
    "Node.js": ("index.js", NODE, "nodejs20.x"),
}
WITHOUT, WITH, REFUSED, SILENT = "without the tee", "with the tee", "its queue refuses", "its queue does not answer"
SECRET = "a-key-for-benchmarks-that-signs-nothing-real"

USERS = 20
EACH = 25
# Messages of one room are replayed one after the other, rooms side by side.
ROOMS = 25
BACKLOG_S = 300.0


def run() -> None:
    """Measure, print two tables, keep the figures."""
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws, _silent() as silent:
        environment = _environment(aws["aws_endpoint_url"], aws["region"])
        table = Table(
            f"round trip of one message, {MESSAGES} each in turn, ms",
            "function",
            "p50",
            "p99",
            "longest",
            "more at p50",
        )
        for language in RUNTIMES:
            urls = _functions(Path(folder), environment, language, silent)
            took = asyncio.run(_in_turn(urls))
            base = percentile(took[WITHOUT][WARM:], 0.5)
            for name, every in took.items():
                # Of a queue that is away only every fifth second has a message that waits: the longest is of all.
                values = every[WARM:]
                p50, p99 = percentile(values, 0.5) * 1e3, percentile(values, 0.99) * 1e3
                more = "" if name == WITHOUT else f"{p50 - base * 1e3:+.2f}"
                table.add(f"{language}, {name}", f"{p50:.2f}", f"{p99:.2f}", f"{max(every) * 1e3:.1f}", more)
            result[language] = took
        table.show()
    result["worker"] = _worker()
    print(f"  kept in {save('tee', result)}")


def _environment(url: str, region: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LEGACY_WS_", "SSE_", "MIGRATE_"))}
    return {
        **kept,
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SSE_JWT_SECRET": SECRET,
    }


@contextlib.contextmanager
def _silent() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _functions(folder: Path, environment: Mapping[str, str], language: str, silent: str) -> dict[str, str]:
    """Address of each API by what is in front of its function."""
    file, code, runtime = RUNTIMES[language]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(file, code)
    path = folder / f"{runtime}.zip"
    path.write_bytes(buffer.getvalue())
    lambda_ = boto3.client(
        "lambda",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    urls = {}
    for number, what in enumerate((WITHOUT, WITH, REFUSED, SILENT)):
        name = f"tee-{runtime.replace('.', '-')}-{number}"
        arn = _command(environment, "legacy_ws", "lambda-create", name, str(path), "index.handler", runtime).strip()
        api = _command(environment, "legacy_ws", "ws-create", name).strip()
        for route in ("$connect", "$disconnect"):
            _command(environment, "legacy_ws", "ws-add-route", api, route, arn)
        _command(environment, "legacy_ws", "ws-add-route", api, "echo", arn, "--two-way")
        urls[what] = _command(environment, "legacy_ws", "ws-deploy", api, "prod").strip()
        if what == WITHOUT:
            continue
        config = folder / f"{name}.toml"
        config.write_text(
            f'schema = 1\n[project]\nname = "{name}"\n[api]\nid = "{api}"\nstage = "prod"\n'
            f'region = "{environment["AWS_REGION"]}"\nendpoint_url = "{environment["AWS_ENDPOINT_URL"]}"\n'
            '[sse]\nshadow_url = "http://127.0.0.1:9"\n',
            encoding="utf-8",
        )
        _command(environment, "migrate", "shadow", "start", "--no-worker", "--config", str(config))
        if what in (REFUSED, SILENT):
            variables = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            address = "http://127.0.0.1:9" if what == REFUSED else silent
            lambda_.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, "AWS_ENDPOINT_URL_SQS": address}}
            )
            lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.1})
    return urls


async def _in_turn(urls: Mapping[str, str]) -> dict[str, list[float]]:
    clients = {name: await websockets.connect(url, proxy=None, open_timeout=60) for name, url in urls.items()}
    took: dict[str, list[float]] = {name: [] for name in urls}
    try:
        for number in range(WARM + MESSAGES):
            for name, client in clients.items():
                took[name].append(await _round_trip(client, number))
    finally:
        await asyncio.gather(*(client.close() for client in clients.values()), return_exceptions=True)
    return took


async def _round_trip(client: ClientConnection, number: int) -> float:
    text = json.dumps({"action": "echo", "message": f"m{number}"})
    began = time.perf_counter()
    await client.send(text)
    answer = await asyncio.wait_for(client.recv(), 60)
    if answer != text:
        raise RuntimeError(f"the function answered {answer!r}")
    return time.perf_counter() - began


def _worker() -> dict[str, object]:
    """A backlog of messages in rooms of `migrate up`, worked off from a standing start."""
    with tempfile.TemporaryDirectory() as folder:
        state = ("--state-dir", folder)
        up = json.loads(_command(os.environ, "migrate", "up", "--detach", "--json", "--no-traffic", *state))
        try:
            return asyncio.run(_backlog(folder, up))
        finally:
            _command(os.environ, "migrate", "down", *state)


async def _backlog(folder: str, up: Mapping[str, Any]) -> dict[str, object]:
    def shadow(*arguments: str) -> str:
        return _command(os.environ, "migrate", "shadow", *arguments, "--state-dir", folder)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(shadow("status", "--json"))
        return found

    url = up["legacy_ws_url"]["rooms"]
    clients = []
    for number in range(USERS):
        user = ("token", "--user", f"u{number}", "--tenant", up["tenant"], "--state-dir", folder)
        token = (await asyncio.to_thread(_command, os.environ, "migrate", *user)).strip()
        clients.append(await websockets.connect(f"{url}?token={token}", proxy=None, max_queue=None, open_timeout=60))
    try:
        await asyncio.to_thread(shadow, "start")
        await asyncio.to_thread(shadow, "pause")
        wanted = USERS * EACH
        for number in range(EACH):
            for client in clients:
                room = f"room{number % ROOMS}"
                await client.send(json.dumps({"action": "sendMessage", "message": f"m{number}", "roomId": room}))
            for client in clients:
                for _ in range(USERS):
                    await asyncio.wait_for(client.recv(), 120)
        before = await _reached(status, "queued", wanted)
        began = time.perf_counter()
        await asyncio.to_thread(shadow, "resume")
        after = await _reached(lambda: status()["worker"], "sse_deliveries", wanted * USERS)
        seconds = time.perf_counter() - began
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
    rows = after["legacy_deliveries"] + after["sse_deliveries"]
    table = Table("shadow worker, a backlog of messages to 20 people each", "what", "value")
    table.add("records waiting", f"{before['queued']:,}")
    table.add("frames replayed/s", f"{after['replayed'] / seconds:,.0f}")
    table.add("deliveries recorded/s", f"{rows / seconds:,.0f}")
    table.show()
    return {"frames": after["replayed"], "rows": rows, "seconds": seconds}


async def _reached(look: Any, name: str, number: int) -> dict[str, Any]:
    deadline = time.monotonic() + BACKLOG_S
    while True:
        found: dict[str, Any] = await asyncio.to_thread(look)
        if found[name] >= number:
            return found
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} is {found[name]} and not {number} after {BACKLOG_S:g} s")
        await asyncio.sleep(0.5)


def _command(environment: Mapping[str, str], module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(arguments[:3])}: {done.stderr[-400:]}")
    return done.stdout
