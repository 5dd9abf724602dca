"""Ends of connections, deployments, changes of the control plane, metrics. until phase 3"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_support import REGION, Api, FakeInvoker, aws_client, build_chat, say
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from migrate.local.gateway import LocalGateway
from migrate.local.gateway.snapshots import FILE_NAME


async def end_of(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close frame the server sent."""
    await asyncio.wait_for(_drain(client), 10)
    assert client.close_code is not None
    assert client.close_reason is not None
    return client.close_code, client.close_reason


async def _drain(client: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in client:
            pass


async def disconnect_of(invoker: FakeInvoker) -> tuple[int, str]:
    context = (await invoker.wait_for("disconnect"))[-1]["requestContext"]
    return context["disconnectStatusCode"], context["disconnectReason"]


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1000, "", (1000, "")),
        (1001, "tab closed", (1001, "tab closed")),
        (4321, "さようなら", (4321, "さようなら")),
    ],
)
async def test_disconnect_has_the_clients_code_and_reason(
    chat: Api, invoker: FakeInvoker, code: int, reason: str, expected: tuple[int, str]
) -> None:
    """What the client put into its close frame (RC2)."""
    client = await chat.connect()
    await client.close(code, reason)
    assert await disconnect_of(invoker) == expected


async def test_close_frame_without_a_code(chat: Api, invoker: FakeInvoker) -> None:
    """1005 with AWS's own words."""
    client = await chat.connect()
    client.transport.write(b"\x88\x80\x00\x00\x00\x00")
    assert await disconnect_of(invoker) == (1005, "Client-side close frame status not set")
    await client.close()


async def test_socket_that_just_ends(chat: Api, invoker: FakeInvoker) -> None:
    """1006 at once, because the end of a local socket is seen."""
    client = await chat.connect()
    client.transport.abort()
    assert await disconnect_of(invoker) == (1006, "Connection Closed Abnormally")
    assert chat.gateway.connection_count == 0


async def test_unclean_close_can_stay_unseen(
    start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker
) -> None:
    """With report_unclean_close off a vanished client is a ghost: posts succeed, `$disconnect` comes when
    idle."""
    gateway = await start_gateway(report_unclean_close=False, idle_timeout_s=0.5)
    api = await build_chat(new_api(on=gateway), invoker)
    client = await api.connect()
    client.transport.abort()
    await asyncio.sleep(0.1)
    identifier = invoker.events("connect")[0]["requestContext"]["connectionId"]
    answer = await asyncio.to_thread(api.management().post_to_connection, ConnectionId=identifier, Data=b"x")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert invoker.events("disconnect") == []
    assert await disconnect_of(invoker) == (1001, "Going away")
    assert gateway.connection_count == 0


async def test_idle_timeout(start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """Closed when nothing was said for long enough; every message puts it off."""
    gateway = await start_gateway(idle_timeout_s=0.4)
    api = await build_chat(new_api(on=gateway), invoker)
    loop = asyncio.get_running_loop()
    async with api.connect() as client:
        for _ in range(3):
            await asyncio.sleep(0.2)
            await say(client, action="echo", text="x")
        started = loop.time()
        assert await end_of(client) == (1001, "Going away")
        assert loop.time() - started > 0.3
    assert await disconnect_of(invoker) == (1001, "Going away")


async def test_lifetime(start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """Closed at its age although it is busy."""
    gateway = await start_gateway(max_lifetime_s=0.4, idle_timeout_s=10)
    api = await build_chat(new_api(on=gateway), invoker)

    async def talk(client: ClientConnection) -> None:
        while True:
            await client.send('{"action": "echo", "text": "x"}')
            await asyncio.sleep(0.02)

    async with api.connect() as client:
        talking = asyncio.create_task(talk(client))
        assert (await end_of(client))[0] == 1001
        await asyncio.gather(talking, return_exceptions=True)
    assert (await disconnect_of(invoker))[0] == 1001


async def test_stop_tells_clients_and_functions(
    start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker
) -> None:
    """1001 for every client, `$disconnect` for every connection, and the ports are free again."""
    gateway = await start_gateway()
    api = await build_chat(new_api(on=gateway), invoker)
    clients = [await api.connect() for _ in range(5)]
    ends = [asyncio.create_task(end_of(client)) for client in clients]
    await gateway.stop()
    assert {code for code, _ in await asyncio.gather(*ends)} == {1001}
    assert len(await invoker.wait_for("disconnect", 5)) == 5
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", gateway.port)
    server.close()


async def test_stop_does_not_wait_for_ever(
    start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker
) -> None:
    """A `$disconnect` that hangs is left behind after the set time."""
    gateway = await start_gateway(shutdown_s=0.3)
    api = await build_chat(new_api(on=gateway), invoker)
    invoker.functions["disconnect"] = lambda event: asyncio.sleep(60, {"statusCode": 200})
    client = await api.connect()
    loop = asyncio.get_running_loop()
    started = loop.time()
    await gateway.stop()
    assert loop.time() - started < 5
    await client.close()


async def test_port_in_use(start_gateway: Any, gateway: LocalGateway) -> None:
    """OSError, for the caller to explain."""
    with pytest.raises(OSError, match=r"in use"):
        await start_gateway(port=gateway.port)


# --- deployments -----------------------------------------------------------------------------------------


async def status_of(handshake: Any) -> int:
    try:
        async with handshake:
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def test_stage_without_deployment_refuses(new_api: Callable[..., Api]) -> None:
    """An API that exists but was never deployed to the stage is not there."""
    api = new_api()
    api.client.create_stage(ApiId=api.api_id, StageName="prod")
    await api.gateway.control_plane_changed(api.api_id)
    assert await status_of(api.connect()) == 403
    await api.deploy(create_stage=False)
    assert await status_of(api.connect()) == 101


async def test_stage_serves_its_snapshot(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """A route made after the deployment does not exist until the next one; open connections follow that."""
    api = await build_chat(new_api(), invoker)
    invoker.functions["late"] = lambda event: {"statusCode": 200, "body": "late"}
    async with api.connect() as client:
        api.route("late", api.integration("late"), two_way=True)
        await api.gateway.control_plane_changed(api.api_id)
        assert (await say(client, action="late")).startswith("default:")
        await api.deploy(create_stage=False)
        assert await say(client, action="late") == "late"


async def test_auto_deploy_follows_at_once(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """AutoDeploy: "updates to an API automatically trigger a new deployment"."""
    api = new_api()
    api.client.create_stage(ApiId=api.api_id, StageName="prod", AutoDeploy=True)
    await api.gateway.control_plane_changed(api.api_id)
    invoker.functions["late"] = lambda event: {"statusCode": 200, "body": "late"}
    async with api.connect() as client:
        assert json.loads(await say(client, action="late"))["message"] == "Forbidden"
        api.route("late", api.integration("late"), two_way=True)
        await api.gateway.control_plane_changed(api.api_id)
        assert await say(client, action="late") == "late"


async def test_stage_can_go_back_to_an_older_deployment(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """UpdateStage with an older deployment id serves that snapshot again, not the API as it is now."""
    api = await build_chat(new_api(), invoker)
    first = api.client.get_deployments(ApiId=api.api_id)["Items"][0]["DeploymentId"]
    invoker.functions["late"] = lambda event: {"statusCode": 200, "body": "late"}
    api.route("late", api.integration("late"), two_way=True)
    await api.deploy(create_stage=False)
    async with api.connect() as client:
        assert await say(client, action="late") == "late"
        api.client.update_stage(ApiId=api.api_id, StageName="prod", DeploymentId=first)
        await api.gateway.deployed(api.api_id, "prod", first)
        assert (await say(client, action="late")).startswith("default:")


async def test_stage_created_with_a_deployment(new_api: Callable[..., Api]) -> None:
    """CreateDeployment without a stage, then CreateStage with its id."""
    api = new_api()
    made = api.client.create_deployment(ApiId=api.api_id)["DeploymentId"]
    await api.gateway.deployed(api.api_id, None, made)
    api.client.create_stage(ApiId=api.api_id, StageName="prod", DeploymentId=made)
    await api.gateway.control_plane_changed(api.api_id)
    assert await status_of(api.connect()) == 101


async def test_two_stages_serve_their_own(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """beta has the new route, prod has not."""
    api = await build_chat(new_api(), invoker)
    invoker.functions["late"] = lambda event: {"statusCode": 200, "body": "late"}
    api.route("late", api.integration("late"), two_way=True)
    beta = Api(api.client, api.gateway, api.api_id, "beta")
    await beta.deploy()
    async with api.connect() as old, beta.connect() as new:
        assert (await say(old, action="late")).startswith("default:")
        assert await say(new, action="late") == "late"


async def test_snapshots_survive_a_restart(
    start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker, tmp_path: Path
) -> None:
    """A gateway that starts on the same state directory serves what was deployed, not what was changed
    since."""
    first = await start_gateway(state_dir=tmp_path / "s")
    api = await build_chat(new_api(on=first), invoker)
    invoker.functions["late"] = lambda event: {"statusCode": 200, "body": "late"}
    api.route("late", api.integration("late"), two_way=True)
    await first.stop()
    api.gateway = await start_gateway(state_dir=tmp_path / "s")
    async with api.connect() as client:
        assert (await say(client, action="late")).startswith("default:")
        assert await say(client, action="echo", text="x") == "x"


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 99}', '{"version": 1, "apis": {"a": {}}}'])
async def test_damaged_snapshots_are_set_aside(start_gateway: Any, tmp_path: Path, content: str) -> None:
    """The gateway starts, and what could not be read is kept for whoever wants to look."""
    state = tmp_path / "s"
    state.mkdir()
    (state / FILE_NAME).write_text(content)
    await start_gateway(state_dir=state)
    assert (state / "gateway-deployments.damaged.json").read_text() == content


async def test_deleted_api_closes_its_sockets(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """delete_api ends its connections; another API's stay."""
    doomed, other = await build_chat(new_api(), invoker), await build_chat(new_api(), invoker)
    async with doomed.connect() as gone, other.connect() as stays:
        doomed.client.delete_api(ApiId=doomed.api_id)
        await doomed.gateway.control_plane_changed(doomed.api_id)
        assert (await end_of(gone))[0] == 1001
        assert await say(stays, action="echo", text="x") == "x"
    assert await status_of(doomed.connect()) == 403


async def test_deleted_stage_closes_its_sockets(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    api = await build_chat(new_api(), invoker)
    async with api.connect() as client:
        api.client.delete_stage(ApiId=api.api_id, StageName="prod")
        await api.gateway.control_plane_changed(api.api_id)
        assert (await end_of(client))[0] == 1001


async def test_api_of_another_region(
    new_api: Callable[..., Api], invoker: FakeInvoker, gateway: LocalGateway, control_plane_url: str
) -> None:
    """Somebody's script works in another region than ours; its authorizer sees that region's ARN."""
    elsewhere = aws_client("apigatewayv2", control_plane_url, region_name="eu-west-1")
    api = Api(elsewhere, gateway, elsewhere.create_api(Name="x", ProtocolType="WEBSOCKET")["ApiId"])
    invoker.functions["auth"] = lambda event: {
        "principalId": "u",
        "policyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
    }
    invoker.functions["connect"] = lambda event: {"statusCode": 200}
    authorizer = api.authorizer("auth", [])
    api.route("$connect", api.integration("connect"), AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    await api.deploy()
    async with api.connect():
        pass
    assert f":eu-west-1:000000000000:{api.api_id}/prod/$connect" in invoker.events("auth")[0]["methodArn"]


async def test_http_apis_are_not_served(apis: Any, gateway: LocalGateway) -> None:
    """An HTTP API has no sockets."""
    made = apis.create_api(Name="http", ProtocolType="HTTP")["ApiId"]
    api = Api(apis, gateway, made)
    await api.deploy()
    assert await status_of(api.connect()) == 403


async def test_unreachable_control_plane(
    start_gateway: Any, gateway: LocalGateway, new_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connect gets 500 and the next one is tried again; nothing ends."""
    api = new_api()
    await api.deploy()
    await gateway.control_plane_changed(api.api_id)
    reader = gateway._definitions._reader
    real, reader.url = reader.url, "http://127.0.0.1:9"
    clients, reader._clients = reader._clients, {}
    assert await status_of(api.connect()) == 500
    reader.url, reader._clients = real, clients
    assert await status_of(api.connect()) == 101


# --- metrics ---------------------------------------------------------------------------------------------


async def test_metrics(
    start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker, control_plane_url: str
) -> None:
    """The documented metrics arrive in CloudWatch of the local AWS, by ApiId and by ApiId and Stage
    (MG14)."""
    gateway = await start_gateway(metrics_url=control_plane_url, metrics_interval_s=0.1)
    api = await build_chat(new_api(on=gateway), invoker)
    invoker.functions["default"] = lambda event: {"statusCode": 500, "body": "x"}
    async with api.connect() as client:
        for _ in range(3):
            await say(client, action="echo", text="x")
        await say(client, action="other")
    await invoker.wait_for("disconnect")
    await gateway.stop()
    cloudwatch = aws_client("cloudwatch", control_plane_url)

    def total(name: str, statistic: str = "Sum", **dimensions: str) -> float:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/ApiGateway",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=datetime.now(UTC) - timedelta(minutes=5),
            EndTime=datetime.now(UTC) + timedelta(minutes=5),
            Period=3600,
            Statistics=[statistic],
        )
        return float(sum(point[statistic] for point in found["Datapoints"]))

    both = {"ApiId": api.api_id, "Stage": "prod"}
    assert total("ConnectCount", **both) == 1
    assert total("ConnectCount", ApiId=api.api_id) == 1
    assert total("MessageCount", **both) == 8
    assert total("IntegrationError", **both) == 1
    assert total("IntegrationLatency", "SampleCount", **both) == 6
    assert REGION
