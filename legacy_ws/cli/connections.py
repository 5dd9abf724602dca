"""`legacy-ws connections-list`, `connection-send` and `connection-disconnect` (CL3). until phase 3"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from legacy_ws.aws import AwsSession, ManagementApi
from legacy_ws.cli.options import Endpoint, Json, Profile, Region, open_session
from legacy_ws.cli.output import print_json, print_table, reports_errors, say
from legacy_ws.cli.tables import key_names, scan
from legacy_ws.deploy.urls import is_aws, management_url
from legacy_ws.errors import ConnectionGoneError, SendFailedError, UsageError
from legacy_ws.frames import MAX_FRAME_BYTES
from legacy_ws.schema import Item, epoch_of

__all__ = ["register"]

Api = Annotated[str, typer.Argument(metavar="API", help="Id of the API.")]
Stage = Annotated[str, typer.Argument(metavar="STAGE", help="Name of the stage.")]
Connection = Annotated[str, typer.Argument(metavar="CONNECTION", help="Id of the connection.")]
ManagementUrl = Annotated[
    str | None,
    typer.Option(help="Where @connections answers; by default found from the API and the stage."),
]
# Connection ids are base64 and may begin with "-": what is no option of ours is an argument.
_IDS = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
_TIMES = ("connectedAt", "connected_at", "last_activity", "ttl")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("connections-list")(connections_list)
    app.command("connection-send", context_settings=_IDS)(connection_send)
    app.command("connection-disconnect", context_settings=_IDS)(connection_disconnect)


@reports_errors
def connections_list(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Name of the connections table.")],
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """List every row of a connections table. A row is no proof of life: $disconnect is best effort.

    Example: legacy-ws connections-list rooms-Connections
    """
    session = open_session(region, profile, endpoint_url)
    keys = key_names(session, table)
    rows = scan(session, table)
    if json_output:
        print_json(rows)
        return
    columns = [*keys, *sorted({name for row in rows for name in row} - set(keys) - {"ttl"})]
    print_table(columns, ([_shown(row, name) for name in columns] for row in rows))
    say(f"{len(rows)} connections in {table}")


@reports_errors
def connection_send(
    api: Api,
    stage: Stage,
    connection: Connection,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="Text of the frame.")],
    management_url: ManagementUrl = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Send one text frame to a connection.

    Example: legacy-ws connection-send abc123 prod L0SM9cOFvHcCIhw= '{"message":"Hello"}'
    """
    data = message.encode("utf-8", "surrogateescape")
    if len(data) > MAX_FRAME_BYTES:
        raise UsageError(
            f"the message has {len(data)} bytes, API Gateway takes {MAX_FRAME_BYTES} (128 KB)",
            "send less, or in several frames",
        )
    _on_connection(
        open_session(region, profile, endpoint_url),
        api,
        stage,
        management_url,
        lambda management: management.post(connection, data),
    )
    say(f"sent {len(data)} bytes to {connection}")


@reports_errors
def connection_disconnect(
    api: Api,
    stage: Stage,
    connection: Connection,
    management_url: ManagementUrl = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Close a connection from the server's side.

    Example: legacy-ws connection-disconnect abc123 prod L0SM9cOFvHcCIhw=
    """
    _on_connection(
        open_session(region, profile, endpoint_url),
        api,
        stage,
        management_url,
        lambda management: management.disconnect(connection),
    )
    say(f"disconnected {connection}")


def _on_connection(
    session: AwsSession, api: str, stage: str, url: str | None, work: Callable[[ManagementApi], None]
) -> None:
    url = url or _found_url(session, api, stage)
    try:
        work(session.management(url))
    except ConnectionGoneError as error:
        raise UsageError(
            error.message, "its row, if there is one, is a ghost: the next send of the application removes it"
        ) from None
    except SendFailedError as error:
        hint = f"asked at {url}; --management-url names another address"
        if error.reason == "BadRequestException":
            hint = "is that a connection's id? `legacy-ws connections-list TABLE` shows them"
        raise UsageError(error.message, hint) from None


def _found_url(session: AwsSession, api: str, stage: str) -> str:
    """AWS's own form without a call; anywhere else what the control plane says about the API."""
    gateway = session.client("apigatewayv2")
    if is_aws(session.endpoint("apigatewayv2")):
        domain = "amazonaws.com.cn" if session.region.startswith("cn-") else "amazonaws.com"
        return f"https://{api}.execute-api.{session.region}.{domain}/{stage}"
    try:
        found = gateway.get_api(ApiId=api)
    except gateway.exceptions.NotFoundException:
        raise UsageError(
            f"there is no API with the id {api!r}", "`legacy-ws ws-list` shows the ids (API is no stack's name)"
        ) from None
    try:
        gateway.get_stage(ApiId=api, StageName=stage)
    except gateway.exceptions.NotFoundException:
        raise UsageError(f"API {api} has no stage {stage!r}", "`legacy-ws ws-list` shows the stages") from None
    return management_url(found["ApiEndpoint"], stage)


def _shown(row: Item, name: str) -> object:
    value = row.get(name)
    if name in _TIMES and (moment := epoch_of(value)) is not None:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value
