"""`migrate init`, drain and sweep on a deployed stack with real clients, killed with -9 on the way (MG1, MG10, MG11).

until phase 3
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from e2e_support import MIGRATE, run
from local_stack import LocalStack, local_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

GHOSTS = 400
# Quick, but for the first machine, which deletes slowly enough to be killed while it does.
SLOW = ("delete_per_s = 1000.0", "delete_per_s = 20.0")
QUICK = {
    "notice_s = 60.0": "notice_s = 1.0",
    "settle_s = 30.0": "settle_s = 0.0",
    "get_connection_per_s = 50.0": "get_connection_per_s = 150.0",
    "delete_per_s = 50.0": "delete_per_s = 1000.0",
    "rate_per_s = 10.0": "rate_per_s = 20.0",
}


class Deployed:
    """A deployed rooms application, its `migrate.toml` as `migrate init` wrote it, and two machines' directories."""

    def __init__(self, aws: LocalStack, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        self.stack = aws.deploy("rooms")
        self.machines = [folder / "one", folder / "two"]
        for machine in self.machines:
            machine.mkdir()
        done = self.migrate("init", "--api-id", self.stack["api_id"], "--yes", "--set", "sse.url=https://sse.example")
        assert done.returncode == 0, done.stderr
        text = (self.machines[0] / "migrate.toml").read_text(encoding="utf-8")
        for old, new in QUICK.items():
            assert f"# {old}" in text, old
            text = text.replace(f"# {old}", new)
        for machine, content in zip(self.machines, (text.replace(*SLOW), text), strict=True):
            (machine / "migrate.toml").write_text(content, encoding="utf-8")
        self.table: str = self.stack["tables"]["connections"]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, **self.aws.env, "AWS_REGION": self.aws.ready["region"]}

    def migrate(self, *arguments: str, machine: int = 0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MIGRATE, *arguments], capture_output=True, text=True, timeout=90, env=self.env, cwd=self.machines[machine]
        )  # fmt: skip

    def killed(self, when: Callable[[], bool], *arguments: str, machine: int = 0) -> bool:
        """Run a command and kill it -9 once `when` holds; whether it had not ended before."""
        words = self.folder / "killed.log"
        with words.open("wb") as log, subprocess.Popen(
            [MIGRATE, *arguments], env=self.env, cwd=self.machines[machine], stdout=log, stderr=log
        ) as process:  # fmt: skip
            deadline = time.monotonic() + 60
            while process.poll() is None and not when() and time.monotonic() < deadline:
                time.sleep(0.02)
            alive = process.poll() is None
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        if not alive:
            sys.stdout.write(words.read_text(encoding="utf-8"))
        return alive

    def again(self, *arguments: str, machine: int = 0) -> dict[str, Any]:
        """The command until the dead one's lease has ended; what it says as JSON."""
        deadline = time.monotonic() + 60
        while True:
            done = self.migrate(*arguments, "--json", machine=machine)
            if done.returncode != 5 or time.monotonic() > deadline:
                assert done.returncode == 0, done.stderr
                said: Any = json.loads(done.stdout)
                return dict(said[0] if isinstance(said, list) else said)
            time.sleep(0.3)

    def rows(self) -> dict[str, dict[str, Any]]:
        client = self.aws.client("dynamodb")
        pages = client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return {item["connectionId"]["S"]: item for page in pages for item in page["Items"]}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("drain")
    (folder / "aws").mkdir()
    with local_stack(folder / "aws") as aws:
        yield Deployed(aws, folder)


@contextlib.asynccontextmanager
async def clients(deployed: Deployed, number: int) -> Any:
    token = deployed.aws.token("rooms", "ann")
    url = f"{deployed.stack['websocket_url']}?token={token}"
    sockets = [await websockets.connect(url, proxy=None, user_agent_header=f"app/{one % 2}") for one in range(number)]
    try:
        yield sockets
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


def haunt(deployed: Deployed, number: int = GHOSTS) -> dict[str, dict[str, Any]]:
    """Rows of connections that never were, with attributes of every type."""
    client = deployed.aws.client("dynamodb")
    ghosts = {}
    for one in range(number):
        name = base64.urlsafe_b64encode(os.urandom(11)).decode()
        ghosts[name] = {
            "connectionId": {"S": name},
            "connectedAt": {"N": "1700000000.25"},
            "ttl": {"N": "99999999999"},
            "extra": {"M": {"b": {"B": bytes([one % 256])}, "s": {"SS": ["b", "a"]}, "x": {"NULL": True}}},
        }
    items = list(ghosts.values())
    for first in range(0, number, 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
        client.batch_write_item(RequestItems={deployed.table: requests})
    return ghosts


def test_init_describes_it_and_check_config_agrees(deployed: Deployed) -> None:
    """MG1: what init wrote fits what is deployed, with exit code 0; a wrong name ends with 3 and says what to do."""
    checked = deployed.migrate("check-config", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    text = (deployed.machines[0] / "migrate.toml").read_text(encoding="utf-8")
    wrong = deployed.folder / "wrong.toml"
    wrong.write_text(text.replace(f'"{deployed.table}"', '"nothing"'), encoding="utf-8")
    done = deployed.migrate("check-config", "--json", "-c", str(wrong))
    assert done.returncode == 3
    assert any(one["found"] == "there is no table nothing" for one in json.loads(done.stdout)["findings"])


async def test_the_sweep_is_killed_and_goes_on_elsewhere(deployed: Deployed) -> None:
    """MG11: kill -9, go on on another machine; the living stay, ghosts go, and all of them come back by a restore."""
    before = haunt(deployed)
    lease = ("--lease-s", "6")

    def some_are_gone() -> bool:
        return len(set(before) & set(deployed.rows())) < GHOSTS

    async with clients(deployed, 5):
        living = set(deployed.rows()) - set(before)
        assert len(living) == 5
        sweep = ("cleanup", "connections", "--execute", "--segments", "2", *lease)
        assert await asyncio.to_thread(deployed.killed, some_are_gone, *sweep)
        left = len(set(before) & set(deployed.rows()))
        assert 0 < left < GHOSTS, left
        said = await asyncio.to_thread(deployed.again, *sweep, machine=1)
        assert said["finished"]
        assert set(deployed.rows()) == living
        status = json.loads(deployed.migrate("cleanup", "connections", "status", "--json").stdout)[0]
        assert (status["status"], status["done"]) == ("done", 2)
        # Each machine has the export of what it deleted.
        for machine in (0, 1):
            restored = deployed.migrate("cleanup", "connections", "restore", "--execute", "--json", machine=machine)
            assert restored.returncode == 0, restored.stderr
        back = deployed.rows()
        assert set(back) == living | set(before)
        for name, item in before.items():
            assert {**back[name], "extra": None} == {**item, "extra": None}
            assert back[name]["extra"]["M"]["b"] == item["extra"]["M"]["b"]
        # And it is swept again, as if nothing had been.
        said = await asyncio.to_thread(deployed.again, *sweep, machine=1)
        assert said["counts"]["deleted"] == GHOSTS
        assert set(deployed.rows()) == living


async def test_the_drain_is_killed_and_goes_on(deployed: Deployed) -> None:
    """MG10: clients are told where to go and closed, new ones get 429, the kill loses nobody, undo lets them in."""
    stage = {"ApiId": deployed.stack["api_id"], "StageName": "prod"}
    gateway = deployed.aws.client("apigatewayv2")
    kept = ("RouteSettings", "DefaultRouteSettings", "DeploymentId", "StageVariables")
    before = {key: gateway.get_stage(**stage).get(key) for key in kept}
    start = ("drain", "start", "--execute", "--lease-s", "6")
    # Nobody has moved: it is refused before anything is done.
    shut = deployed.migrate(*start)
    assert shut.returncode == 5, shut.stderr
    assert "not everybody has moved" in shut.stderr
    assert {key: gateway.get_stage(**stage).get(key) for key in kept} == before
    reasoned = (*start, "--without-gate", "features", "--note", "a drill")
    async with clients(deployed, 12) as sockets:
        who = json.loads(deployed.migrate("drain", "status", "--who", "--json").stdout)["left"]
        assert who["connections"] == 12
        assert who["by_user_agent"] == {"app/0": 6, "app/1": 6}

        def refused() -> bool:
            return "$connect" in gateway.get_stage(**stage).get("RouteSettings", {})

        assert await asyncio.to_thread(deployed.killed, refused, *reasoned)
        with pytest.raises(websockets.InvalidStatus) as status:
            async with clients(deployed, 1):
                pass
        assert status.value.response.status_code == 429
        # It was begun with a reason, and goes on with it.
        said = await asyncio.to_thread(deployed.again, *start, machine=1)
        assert said["status"] == "drained"
        for socket in sockets:
            first = json.loads(await socket.recv())
            assert first == {"type": "server_moving", "url": "https://sse.example"}
            await socket.wait_closed()
    assert json.loads(deployed.migrate("drain", "status", "--who", "--json").stdout)["left"]["connections"] == 0
    deployed.again("drain", "undo", "--execute")
    assert {key: gateway.get_stage(**stage).get(key) for key in kept} == before
    async with clients(deployed, 1):
        pass
    journal = run(MIGRATE, "journal", "--json", "-c", str(deployed.machines[0] / "migrate.toml"), env=deployed.aws.env)
    assert "drain undo" in journal.stdout, journal.stderr
