"""A `migrate.toml` for each application of `migrate up`, as `migrate init` would write it for somebody else's stack.
until phase 3
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from legacy_ws.apps.direct.schema import CONNECTIONS as DIRECT
from legacy_ws.apps.layers.schema import CONNECTIONS as LAYERS
from legacy_ws.apps.rooms.schema import CONNECTIONS as ROOMS
from legacy_ws.deploy.apps import APPS
from legacy_ws.deploy.spec import AppSpec, FunctionSpec
from migrate.bridge.applications import COLLECT, DELIVER
from migrate.config.model import (
    Api,
    Cleanup,
    EventSource,
    Feature,
    Function,
    Identity,
    Ignore,
    Project,
    Replay,
    Settings,
    Shadow,
    Sse,
    Table,
)
from migrate.config.write import to_toml
from migrate.up.state import STACK, StateDir

__all__ = ["records_of", "settings_for", "state_table", "write_configs"]

HEADING = """The application {name} of `migrate up`, which writes this file anew at each start.
Copy it and change it as you like: --config FILE."""

SCHEMAS = {"rooms": ROOMS, "direct": DIRECT, "layers": LAYERS}
EXPIRES = "2027-12-31"
_OWN_TIME = Ignore(path="timestamp", reason="each stack stamps a message with its own clock", expires=EXPIRES)
_OWN_ID = Ignore(path="messageId", reason="each stack makes its own id of a message", expires=EXPIRES)
_KEY = "{$requestId}"

# What a frame means on the SSE side: the same call that a client makes which has moved. Both stacks name a message of
# rooms and direct by an id of their own, so there it is known by its content.
FEATURES: dict[str, tuple[Feature, ...]] = {
    "rooms": (
        Feature(
            name="chat",
            types=("sendMessage",),
            frames=("message",),
            order_by="roomId",
            sent_at="timestamp",
            ignore=(_OWN_ID, _OWN_TIME),
            replay=Replay(
                path="/api/chat/send",
                body={
                    "conversationId": "{roomId|main}",
                    "message": "{message}",
                    # The name of a connection, where the frame has none.
                    "userName": "{$out.userName?}",
                    "idempotencyKey": _KEY,
                },
                room="{roomId|main}",
            ),
        ),
    ),
    "direct": (
        Feature(
            name="direct",
            types=("sendMessage",),
            frames=("message",),
            order_by="roomId",
            sender="senderEmail",
            sent_at="timestamp",
            others_only=("message",),
            ignore=(_OWN_ID, _OWN_TIME),
            replay=Replay(
                path="/api/chat/send",
                body={"with": "{receiverEmail}", "message": "{message}", "idempotencyKey": _KEY},
            ),
        ),
    ),
    "layers": (
        Feature(
            name="layers-chat",
            types=("chat", "chat_message"),
            type_field="type",
            frames=("chat_message", "chat_stream_start", "chat_stream_chunk", "chat_stream_end"),
            order_by="message_id",
            sent_at="timestamp",
            others_only=("chat_message",),
            ignore=(_OWN_TIME,),
            replay=Replay(
                path="/api/chat/message",
                body={
                    "chat_id": "{chat_id}",
                    "message": "{message}",
                    "message_id": "{$out.message_id?}",
                    "idempotencyKey": _KEY,
                },
                room="{chat_id}",
            ),
        ),
        Feature(
            name="agent-run",
            types=("agent_run",),
            type_field="type",
            frames=("agent_run_notification",),
            order_by="run_id",
            replay=Replay(
                path="/api/agent-runs",
                body={"agent_id": "{agent_id}", "input": "{input}", "run_id": "{$out.run_id?}"},
            ),
        ),
        Feature(
            name="library",
            types=("library_process",),
            type_field="type",
            frames=("library_processing_notification",),
            order_by="job_id",
            replay=Replay(
                path="/api/library-jobs",
                body={"library_id": "{library_id}", "documents": "{documents}", "job_id": "{$out.job_id?}"},
            ),
        ),
    ),
}


def state_table(name: str) -> str:
    """The table of the shared state of an application."""
    return f"ws2sse-migration-{name}"


def records_of(name: str, up: Mapping[str, Any]) -> str:
    """Where the shadow's records of an application are: a whole path, so that a copy of the file means the same."""
    # The secret lies in the state directory itself.
    state = StateDir(Path(up["jwt"]["secret_file"]).parent)
    return str(state.records / "shadow" / name)


def settings_for(name: str, stack: Mapping[str, Any], up: Mapping[str, Any]) -> Settings:
    """The settings of an application.

    Args:
        stack: what `legacy-ws deploy --json` said of it.
        up: up.json.
    """
    app = APPS[name]
    return Settings(
        project=Project(name=name, state_table=state_table(name), records=records_of(name, up)),
        api=Api(
            id=stack["api_id"],
            stage=stack.get("stage", "prod"),
            region=up["env"]["AWS_DEFAULT_REGION"],
            endpoint_url=up["aws_endpoint_url"],
            management_url=stack["management_url"],
            ws_url=stack["websocket_url"],
            route_selection=app.route_selection,
        ),
        sse=Sse(url=up["sse_url"], shadow_url=up["shadow_url"][name], default_tenant=up["tenant"]),
        identity=Identity(email="email", user="email", tenant="") if name == "direct" else Identity(),
        tables=_tables(app, stack["tables"]),
        functions=tuple(
            Function(name=stack["functions"][one.name], role=_role(one), event_sources=_event_sources(one, stack))
            for one in app.functions
        ),
        features=tuple(
            replace(feature, deliver=DELIVER[name].get(feature.name, ()), collect=COLLECT[name].get(feature.name, ()))
            for feature in FEATURES[name]
        ),
        shadow=Shadow(),
        # The service holds virtual connections in front of the functions of this one (cut-over), rows and all.
        cleanup=Cleanup(also_ask=(f"{up['sse_url']}/{stack.get('stage', 'prod')}",) if name == STACK else ()),
    )


def write_configs(state: StateDir, up: Mapping[str, Any]) -> None:
    """Write them, each in one step."""
    state.configs.mkdir(exist_ok=True)
    for name, stack in up["stacks"].items():
        text = to_toml(settings_for(name, stack, up), heading=HEADING.format(name=name))
        unfinished = state.configs / f".{name}.toml.{os.getpid()}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(state.configs / f"{name}.toml")


def _tables(app: AppSpec, names: Mapping[str, str]) -> tuple[Table, ...]:
    schema = SCHEMAS[app.name]
    found = []
    for table in app.tables:
        if table.name == "connections":
            found.append(
                Table(
                    name=names[table.name],
                    role="connections",
                    key=schema.key,
                    user=schema.user or "",
                    tenant=schema.tenant or "",
                    ttl=schema.ttl,
                    connected_at=schema.connected_at,
                    user_index=schema.user_index or "",
                    tenant_index=schema.tenant_index or "",
                )
            )
        else:
            sort_key = table.keys[1][0] if len(table.keys) > 1 else ""
            found.append(Table(name=names[table.name], role="messages", key=table.keys[0][0], sort_key=sort_key))
    return tuple(found)


def _event_sources(function: FunctionSpec, stack: Mapping[str, Any]) -> tuple[EventSource, ...]:
    name = stack.get("queues", {}).get(function.consumes)
    return (EventSource(type="sqs", name=name, report_batch_item_failures=True),) if name else ()


def _role(function: FunctionSpec) -> str:
    if function.authorizer:
        return "authorizer"
    if function.routes:
        return "route"
    # Fed by the queue of answers, it posts to connections.
    return "answer" if function.consumes else "other"
