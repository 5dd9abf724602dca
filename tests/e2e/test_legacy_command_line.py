"""`legacy-ws` on the running legacy stack (CL1-CL5): the very commands that work on AWS. until phase 3"""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets
from e2e_support import LEGACY_WS, Stacks, run
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.integration


def stack_of(stacks: Stacks) -> dict[str, str]:
    stack: dict[str, str] = stacks.info["stacks"]["rooms"]
    return stack


async def only_connection(stacks: Stacks, user: str) -> dict[str, object]:
    listed = await asyncio.to_thread(stacks.legacy_ws, "connections-list", "rooms-Connections", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = [row for row in json.loads(listed.stdout) if row.get("userId") == user]
    assert len(rows) == 1, listed.stdout
    row: dict[str, object] = rows[0]
    return row


async def test_list_send_disconnect(stacks: Stacks) -> None:
    """CL3, RC1, RC2: a connection is listed, gets a message from the operator, is closed, and its row goes."""
    stack = stack_of(stacks)
    async with stacks.websocket("operator-test") as socket:
        row = await only_connection(stacks, "operator-test")
        identifier = str(row["connectionId"])
        sent = await asyncio.to_thread(
            stacks.legacy_ws, "connection-send", stack["api_id"], "prod", identifier, '{"message":"Server message"}'
        )
        assert sent.returncode == 0, sent.stderr
        assert json.loads(await asyncio.wait_for(socket.recv(), 10)) == {"message": "Server message"}
        closed = await asyncio.to_thread(stacks.legacy_ws, "connection-disconnect", stack["api_id"], "prod", identifier)
        assert closed.returncode == 0, closed.stderr
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)
    gone = await asyncio.to_thread(stacks.legacy_ws, "connection-send", stack["api_id"], "prod", identifier, "anybody?")
    assert gone.returncode != 0
    assert "gone" in gone.stderr.lower()
    assert "Traceback" not in gone.stderr
    for _ in range(50):
        listed = await asyncio.to_thread(stacks.legacy_ws, "connections-list", "rooms-Connections", "--json")
        if identifier not in listed.stdout:
            break
        await asyncio.sleep(0.1)
    assert identifier not in listed.stdout


def test_status_shows_the_stack(stacks: Stacks) -> None:
    """CL1: every part with its state."""
    done = stacks.legacy_ws("status", "--json")
    assert done.returncode == 0, done.stderr
    assert stack_of(stacks)["api_id"] in done.stdout


def test_logs_of_a_lambda(stacks: Stacks) -> None:
    """CL4: what the Lambdas wrote."""
    functions = stacks.info["stacks"]["rooms"]["functions"]
    name = next(str(value) for key, value in functions.items() if "send" in key).rsplit(":", 1)[-1]
    stacks.send("alice", "so that something is logged")
    done = stacks.legacy_ws("lambda-logs", name, "30")
    assert done.returncode == 0, done.stderr


async def test_deploy_a_second_stack_talk_to_it_and_destroy_it(stacks: Stacks) -> None:
    """CL1: deploy twice changes nothing the second time; destroy removes this stack and no other."""
    secret = (stacks.state_dir / "jwt-secret").read_text().strip()
    env = {**stacks.info["env"], "LEGACY_WS_JWT_SECRET": secret}
    first = await asyncio.to_thread(run, LEGACY_WS, "deploy", "second", "--json", env=env)
    assert first.returncode == 0, first.stderr
    again = await asyncio.to_thread(run, LEGACY_WS, "deploy", "second", "--json", env=env)
    assert again.returncode == 0, again.stderr
    stack = json.loads(first.stdout)
    assert json.loads(again.stdout)["api_id"] == stack["api_id"]
    token = await asyncio.to_thread(stacks.token, "alice")
    async with websockets.connect(f"{stack['websocket_url']}?token={token}", proxy=None) as socket:
        await socket.send(json.dumps({"action": "sendMessage", "message": "in the second"}))
        assert json.loads(await asyncio.wait_for(socket.recv(), 15))["message"] == "in the second"
    destroyed = await asyncio.to_thread(stacks.legacy_ws, "destroy", "second", "--yes")
    assert destroyed.returncode == 0, destroyed.stderr
    tables = stacks.client("dynamodb").list_tables()["TableNames"]
    assert not [name for name in tables if name.startswith("second")]
    assert "rooms-Connections" in tables
    with pytest.raises((OSError, websockets.exceptions.InvalidStatus, websockets.exceptions.InvalidMessage)):
        async with websockets.connect(f"{stack['websocket_url']}?token={token}", proxy=None):
            pass


async def test_deploying_again_keeps_the_tee(stacks: Stacks) -> None:
    """CL1, MG6: a deploy of the running stack does not silently end what crosses to the SSE service."""
    secret = (stacks.state_dir / "jwt-secret").read_text().strip()
    env = {**stacks.info["env"], "LEGACY_WS_JWT_SECRET": secret}
    done = await asyncio.to_thread(run, LEGACY_WS, "deploy", "rooms", "--json", env=env)
    assert done.returncode == 0, done.stderr
    status = json.loads((await asyncio.to_thread(stacks.migrate, "status", "--json")).stdout)
    assert status["tee"] == {"functions": 5, "installed": 5}
    async with stacks.websocket("alice") as alice, stacks.stream("carol") as carol:
        await carol.next("ready")
        await alice.send(json.dumps({"action": "sendMessage", "message": "after the deploy"}))
        assert (await carol.next()).data["message"] == "after the deploy"


def test_env_points_a_shell_to_the_local_aws(stacks: Stacks) -> None:
    """MG2: `eval "$(migrate env)"` is all that a deployment script needs."""
    done = stacks.migrate("env")
    assert done.returncode == 0, done.stderr
    for name, value in stacks.info["env"].items():
        assert f"export {name}={value}" in done.stdout
