"""The tee on Node.js functions: every way of posting is seen, and nothing else changes (MG6). until phase 3"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from local_stack import LocalStack, local_stack

from migrate.control.table import ControlTable
from migrate.tee.consumers import TeeState
from migrate.tee.install import functions_of_api, install_tee, remove_tee
from migrate.tee.records import TeeRecord, parse_record

pytestmark = pytest.mark.integration

# What posts: `https` as every SDK does in the end, called by name, by destructuring and by an import; and `fetch`.
POST = r"""
function options({ domainName, stage, connectionId }) {
  const { hostname, port } = new URL(`https://${domainName}`);
  const headers = { 'x-amz-date': '20260101T000000Z', authorization: 'AWS4-HMAC-SHA256 Credential=local/20260101/'
    + 'ap-northeast-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature=0' };
  const path = `/${stage}/@connections/${encodeURIComponent(connectionId)}`;
  return { hostname, port, path, method: 'POST', headers };
}
const sent = (request, body) => new Promise((done, failed) => {
  request.on('response', (response) => { response.resume(); done(response.statusCode); });
  request.on('error', failed);
  request.end(body);
});
"""
COMMON = (
    "const https = require('https'); const { request } = require('node:https');"
    + POST
    + r"""
exports.handler = async (event) => {
  const it = event.requestContext;
  if (it.routeKey !== 'say') return { statusCode: 200 };
  const { how, text } = JSON.parse(event.body);
  if (how === 'fails') throw new Error('its own');
  const to = options(it);
  if (how === 'named') await sent(https.request(to), text);
  if (how === 'destructured') await sent(request(to), Buffer.from(text));
  if (how === 'fetched') {
    await fetch(`https://${it.domainName}${to.path.slice(0)}`, { method: 'POST', headers: to.headers, body: text });
  }
  if (how === 'gone') await sent(https.request({ ...to, path: to.path.replace(/[^/]+$/, 'AAAAAAAAAAAAAAA=') }), text);
  return { statusCode: 200 };
};
"""
)
MODULE = (
    "import { request } from 'node:https';"
    + POST
    + r"""
export const handler = async (event) => {
  const it = event.requestContext;
  if (it.routeKey === 'say') await sent(request(options(it)), JSON.parse(event.body).text);
  return { statusCode: 200 };
};
"""
)
CALLBACK = (
    "const https = require('https');"
    + POST
    + r"""
exports.handler = (event, context, callback) => {
  const it = event.requestContext;
  if (it.routeKey !== 'say') { callback(null, { statusCode: 200 }); return; }
  const posted = sent(https.request(options(it)), JSON.parse(event.body).text);
  posted.then(() => callback(null, { statusCode: 200 }), callback);
};
"""
)
APIS = {
    "common": ("index.js", COMMON),
    "away": ("index.js", COMMON),
    "module": ("index.mjs", MODULE),
    "callback": ("index.js", CALLBACK),
}
PASSING = ("RevisionId", "LastModified", "ResponseMetadata", "LastUpdateStatus")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("node-tee")) as running:
        yield running


def configuration(aws: LocalStack, name: str) -> str:
    now = aws.client("lambda").get_function_configuration(FunctionName=name)
    return json.dumps({key: value for key, value in now.items() if key not in PASSING and not key.startswith("State")})


def deployed(aws: LocalStack, folder: Path, kind: str) -> tuple[str, str]:
    """(API id, address) of an API whose three routes are one function."""
    file, code = APIS[kind]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(file, code)
    path = folder / f"{kind}.zip"
    path.write_bytes(buffer.getvalue())
    command = aws.legacy_ws
    arn = command("lambda-create", f"tee-{kind}", str(path), "index.handler", "nodejs20.x").strip()
    api = command("ws-create", f"tee-{kind}").strip()
    for route in ("$connect", "$disconnect", "say"):
        command("ws-add-route", api, route, arn)
    aws.client("lambda").update_function_configuration(
        FunctionName=f"tee-{kind}", Environment={"Variables": {"Z": "1", "A": ""}}, Description="somebody's own"
    )
    return api, command("ws-deploy", api, "prod").strip()


def records(aws: LocalStack, queue: str, wanted: int) -> list[TeeRecord]:
    sqs, found = aws.client("sqs"), []
    deadline = time.monotonic() + 20
    while len(found) < wanted:
        assert time.monotonic() < deadline, found
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
            "Messages", []
        ):
            found.append(parse_record(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return sorted(found, key=lambda record: record.at)


async def say(socket: websockets.ClientConnection, text: str, how: str = "named") -> None:
    await socket.send(json.dumps({"action": "say", "how": how, "text": text}))


def installed(aws: LocalStack, api: str) -> tuple[Any, TeeState, list[str]]:
    table = ControlTable(aws.client("dynamodb"), "ws2sse-migration")
    table.ensure()
    state = TeeState(table, api)
    functions = functions_of_api(aws.client("apigatewayv2"), api)
    return install_tee(aws.client, functions, api, None, state), state, functions


async def test_every_way_of_posting_is_copied_and_the_configuration_comes_back(aws: LocalStack, tmp_path: Path) -> None:
    """MG6: a CommonJS function; connects, frames, posts with outcomes, failures; byte for byte as before."""
    api, url = deployed(aws, tmp_path, "common")
    before = configuration(aws, "tee-common")
    tee, state, functions = installed(aws, api)
    async with websockets.connect(url, proxy=None) as socket:
        for how in ("named", "destructured", "fetched"):
            await say(socket, f"{how} ✓", how)
            assert await socket.recv() == f"{how} ✓"
        await say(socket, "nobody", "gone")
        await say(socket, "", "fails")
        assert "Internal server error" in str(await socket.recv())
    found = records(aws, tee.queue_url, 7)
    assert [record.event_type for record in found] == ["CONNECT", *["MESSAGE"] * 5, "DISCONNECT"]
    connection = found[0].connection_id
    for record, how in zip(found[1:4], ("named", "destructured", "fetched"), strict=True):
        [post] = record.posts
        assert (post.data, post.ok, post.gone) == (f"{how} ✓", (connection,), ())
    assert found[4].posts[0].gone == ("AAAAAAAAAAAAAAA=",)
    assert (found[5].failed, found[1].failed, found[1].status) == (True, False, 200)
    numbers: dict[str, list[int]] = {}
    for record in found:
        numbers.setdefault(record.env, []).append(record.number)
    assert all(sorted(seen) == list(range(1, len(seen) + 1)) for seen in numbers.values())
    removed = remove_tee(aws.client, functions, state)
    assert removed.different == {}
    assert configuration(aws, "tee-common") == before
    async with websockets.connect(url, proxy=None) as socket:
        await say(socket, "as before")
        assert await socket.recv() == "as before"


@pytest.mark.parametrize("kind", ["module", "callback"])
async def test_modules_and_callbacks_work_as_before(aws: LocalStack, tmp_path: Path, kind: str) -> None:
    """MG6: an ES module that imports `request`; a handler that answers by its callback."""
    api, url = deployed(aws, tmp_path, kind)
    tee, _, _ = installed(aws, api)
    async with websockets.connect(url, proxy=None) as socket:
        for text in ("one", "two"):
            await say(socket, text)
            assert await socket.recv() == text
    found = [record for record in records(aws, tee.queue_url, 4) if record.event_type == "MESSAGE"]
    assert [record.posts[0].data for record in found] == ["one", "two"]


async def test_a_queue_that_is_away_costs_a_bounded_time_and_no_message(aws: LocalStack, tmp_path: Path) -> None:
    """MG6: fails open: the user gets every answer."""
    api, url = deployed(aws, tmp_path, "away")
    tee, _, functions = installed(aws, api)
    lambda_ = aws.client("lambda")
    variables = lambda_.get_function_configuration(FunctionName="tee-away")["Environment"]["Variables"]
    away = {**variables, "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9", "WS2SSE_TEE_PAUSE_S": "0"}
    lambda_.update_function_configuration(FunctionName="tee-away", Environment={"Variables": away})
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="tee-away", WaiterConfig={"Delay": 0.1})
    async with websockets.connect(url, proxy=None) as socket:
        for text in ("one", "two"):
            await say(socket, text)
            assert await socket.recv() == text
    assert remove_tee(aws.client, functions).changed == tuple(functions)
    assert tee.queue_url
