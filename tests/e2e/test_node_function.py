"""A Node.js function behind a WebSocket API, put there with single commands (CL2-CL4, CL6). until phase 3

The function of the Japanese document in today's Node.js: CommonJS, `exports.handler`, no SDK in the zip. It answers
what one route's clients send by returning it, and posts to `@connections` for the other, signed as AWS demands (the
local AWS only looks whether there is a signature).
"""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets
from local_stack import LocalStack, local_stack

pytestmark = pytest.mark.integration

INDEX = r"""
const https = require('https');
const crypto = require('crypto');

const hash = (text) => crypto.createHash('sha256').update(text).digest('hex');
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();

// Signature Version 4 (IAM user guide, "Create a signed AWS API request").
function signed(host, path, body) {
  const { AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
  const headers = { host, 'x-amz-date': time };
  if (AWS_SESSION_TOKEN) headers['x-amz-security-token'] = AWS_SESSION_TOKEN;
  const names = Object.keys(headers).sort();
  const canonical = ['POST', path.split('/').map(encodeURIComponent).join('/'), '',
    ...names.map((name) => `${name}:${headers[name]}`), '', names.join(';'), hash(body)].join('\n');
  const scope = [time.slice(0, 8), AWS_REGION, 'execute-api', 'aws4_request'];
  const key = scope.reduce(hmac, `AWS4${AWS_SECRET_ACCESS_KEY}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope.join('/'), hash(canonical)].join('\n')).toString('hex');
  const credential = `Credential=${AWS_ACCESS_KEY_ID}/${scope.join('/')}`;
  headers.authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return headers;
}

function post({ domainName, stage, connectionId }, frame) {
  const body = JSON.stringify(frame);
  const { host, hostname, port } = new URL(`https://${domainName}`);
  const path = `/${stage}/@connections/${encodeURIComponent(connectionId)}`;
  return new Promise((resolve, reject) => {
    const request = https.request({ hostname, port, path, method: 'POST', headers: signed(host, path, body) });
    request.on('response', (response) => { response.resume(); resolve(response.statusCode); });
    request.on('error', reject);
    request.end(body);
  });
}

exports.handler = async (event) => {
  const { routeKey, connectionId } = event.requestContext;
  console.log('VERSION', routeKey, connectionId);
  if (routeKey === 'echo') return { statusCode: 200, body: JSON.stringify({ echo: JSON.parse(event.body).message }) };
  if (routeKey === 'sendmessage') {
    console.log('posted', await post(event.requestContext, { message: JSON.parse(event.body).message }));
  }
  return { statusCode: 200 };
};
"""


def zipped(folder: Path, version: str) -> str:
    """Path of a deployment package whose log lines begin with `version`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.js", INDEX.replace("VERSION", version))
    path = folder / f"{version}.zip"
    path.write_bytes(buffer.getvalue())
    return str(path)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("node")) as running:
        yield running


def logged(aws: LocalStack, function: str, wanted: str) -> list[str]:
    """What `lambda-logs` prints, once `wanted` is among it."""
    deadline = time.monotonic() + 20
    while True:
        printed = aws.legacy_ws("lambda-logs", function, "5")
        if wanted in printed:
            return printed.splitlines()
        assert time.monotonic() < deadline, printed
        time.sleep(0.2)


async def asked(url: str, action: str, message: str) -> object:
    """What the client gets for one frame."""
    async with websockets.connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"action": action, "message": message}))
        return json.loads(await asyncio.wait_for(socket.recv(), 15))


async def test_a_node_function_behind_an_api_made_by_hand(aws: LocalStack, tmp_path: Path) -> None:
    """CL2, CL4, CL6: zip, function, API, routes, stage, address, answers, log, new code."""
    command = aws.legacy_ws
    arn = command("lambda-create", "node-chat", zipped(tmp_path, "first"), "index.handler", "nodejs20.x").strip()
    assert arn.endswith(":function:node-chat")
    api = command("ws-create", "my-chat-api").strip()
    for route in ("$connect", "$disconnect", "sendmessage"):
        command("ws-add-route", api, route, arn)
    command("ws-add-route", api, "echo", arn, "--two-way")
    url = command("ws-deploy", api, "prod").strip()
    assert command("ws-get-url", api, "prod").strip() == url

    assert await asked(url, "sendmessage", "Hello World") == {"message": "Hello World"}
    assert await asked(url, "echo", "こんにちは") == {"echo": "こんにちは"}
    lines = logged(aws, "node-chat", "first $disconnect")
    for expected in ("first $connect", "first sendmessage", "posted 200", "first echo"):
        assert any(expected in line for line in lines), (expected, lines)

    command("lambda-update", "node-chat", zipped(tmp_path, "second"))
    assert await asked(url, "echo", "again") == {"echo": "again"}
    logged(aws, "node-chat", "second echo")

    command("ws-delete", api, "--yes")
    assert api not in command("ws-list")


async def test_a_node_function_beside_a_deployed_stack(aws: LocalStack, tmp_path: Path) -> None:
    """CL1, CL6: a route of somebody's own on the rooms stack; Python and Node.js serve the same connection."""
    rooms = aws.deploy("rooms")
    arn = aws.legacy_ws("lambda-create", "node-echo", zipped(tmp_path, "echo"), "index.handler", "nodejs20.x").strip()
    aws.legacy_ws("ws-add-route", rooms["api_id"], "echo", arn, "--two-way")
    aws.legacy_ws("ws-deploy", rooms["api_id"], "prod")
    url = f"{rooms['websocket_url']}?token={aws.token('rooms', 'ann')}"
    async with websockets.connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"action": "echo", "message": "from Node.js"}))
        assert json.loads(await asyncio.wait_for(socket.recv(), 15)) == {"echo": "from Node.js"}
        await socket.send(json.dumps({"action": "sendMessage", "message": "from Python"}))
        answer = json.loads(await asyncio.wait_for(socket.recv(), 15))
        assert (answer["type"], answer["message"]) == ("message", "from Python")
    # The authorizer still stands before both.
    with pytest.raises(websockets.InvalidStatus, match="401"):
        async with websockets.connect(rooms["websocket_url"], proxy=None):
            pass
    # A later deploy leaves the route there, and destroy leaves the function, which is not the stack's.
    again = aws.deploy("rooms")
    assert {step["action"] for step in again["steps"]} == {"unchanged", "done"}
    assert await asked(url, "echo", "still") == {"echo": "still"}
    aws.legacy_ws("destroy", "rooms", "--yes")
    assert aws.client("lambda").get_function(FunctionName="node-echo")["Configuration"]["Runtime"] == "nodejs20.x"
