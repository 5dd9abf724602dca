"""The variables that the parts of `migrate up` are started with. Pure. until phase 3"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from migrate.up.aws import without_proxy
from migrate.up.configs import state_table
from migrate.up.state import STACK
from migrate.up.uploads import BUCKET

__all__ = ["base_environment", "service_environment", "shadow_environment", "tables_environment"]

SSE_TABLE_PREFIX = "sse"
SHADOW_TABLE_PREFIX = "shadow"


def base_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without anything of AWS: a real account must not be reached from here."""
    kept = {k: v for k, v in own.items() if not k.startswith(("AWS_", "SSE_", "LEGACY_WS_"))}
    return {
        **kept,
        **without_proxy(kept),
        # Unset files would be looked for in the home directory, where real credentials may lie.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONUNBUFFERED": "1",
    }


def _common(env: Mapping[str, str], secret: str, page_url: str) -> dict[str, str]:
    return {**env, "SSE_LOG": "dynamodb", "SSE_JWT_SECRET": secret, "SSE_CORS_ORIGINS": page_url}


def tables_environment(env: Mapping[str, str], secret: str, page_url: str, tenant: str) -> dict[str, str]:
    """Of the SSE service, as far as its tables are concerned.

    Args:
        env: of the local AWS.
        secret: signs the tokens of both stacks.
        page_url: of the page that shows both stacks, which may ask the service.
        tenant: whose messages the legacy stack keeps.
    """
    return {
        **_common(env, secret, page_url),
        "SSE_TABLE_PREFIX": SSE_TABLE_PREFIX,
        # One history for both stacks: the service reads and writes the legacy stack's messages.
        "SSE_MESSAGES_TABLE": f"{STACK}-ChatMessages",
        "SSE_MESSAGES_PARTITION_KEY": "roomId",
        "SSE_MESSAGES_TENANT": tenant,
    }


def service_environment(tables: Mapping[str, str], stack: Mapping[str, Any], rooms: Sequence[str]) -> dict[str, str]:
    """Of the SSE service as it runs.

    Args:
        tables: see above.
        stack: what `legacy-ws deploy` says of the stack beside it.
        rooms: that the chat page offers.
    """
    # The chat page shows, and switches between, both stacks.
    pages = {
        "SSE_PAGES_WEBSOCKET_URL": str(stack["websocket_url"]),
        "SSE_PAGES_WEBSOCKET_ROOMS": ",".join(rooms),
        "SSE_UPLOADS_BUCKET": BUCKET,
    }
    # `migrate cutover`: its flags, and virtual connections in front of the same functions. Functions sign with
    # the first of these keys; those whose client is still a WebSocket are posted to by the gateway, as ever.
    cutover = {
        "SSE_TRANSPORT_TABLE": state_table(STACK),
        "SSE_TRANSPORT_POLL_S": "2",
        "SSE_VIRTUAL_API_ID": str(stack["api_id"]),
        "SSE_VIRTUAL_STAGE": str(stack.get("stage", "prod")),
        "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID": "000000000000,local,test",
        "SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY": "local,local,test",
        "SSE_VIRTUAL_MANAGEMENT_FORWARD_URL": str(stack["management_url"]),
    }
    return {**tables, **pages, **cutover}


def shadow_environment(name: str, env: Mapping[str, str], secret: str, page_url: str) -> dict[str, str]:
    """Of an application's second instance: it shares no table, and so no event, with the first one, with the
    application, or with what is replayed of another application.
    """
    return {**_common(env, secret, page_url), "SSE_TABLE_PREFIX": f"{SHADOW_TABLE_PREFIX}-{name}", "SSE_PAGES": "0"}
