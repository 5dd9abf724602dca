"""The page as app.py starts and ends it."""

from __future__ import annotations

import dataclasses
from importlib.resources import files

from fastapi import FastAPI

from sse_service.api.virtual import virtual_router
from sse_service.metrics import Metrics
from sse_service.pages.relay import Relay
from sse_service.pages.routes import page_router
from sse_service.ports import Clock
from sse_service.settings import Secret, Settings
from sse_service.virtual_wiring import Virtual

__all__ = ["PATH", "add_pages"]

PATH = "/chat/connections"


def add_pages(app: FastAPI, settings: Settings, clock: Clock) -> Virtual | None:
    """Add the routes of page and widget. What is returned is started and ended with the application."""
    connections = _make_connections(app, settings, clock)
    app.include_router(page_router(settings, connections.path if connections else ""))
    if connections:
        app.include_router(virtual_router(connections), include_in_schema=False)
    return connections


def _make_connections(app: FastAPI, settings: Settings, clock: Clock) -> Virtual | None:
    """Virtual connections for the drop-in client on the page; None where they could not be relied on.

    They are kept in this process, so they are offered where it is the only one, as far as the settings tell.
    """
    if settings.broker != "memory":
        return None
    own = dataclasses.replace(
        settings,
        virtual_definition=str(files("sse_service") / "pages" / "api.toml"),
        virtual_api_id="",
        virtual_stage="chat",
        virtual_path=PATH,
        virtual_store="memory",
        virtual_ordered=1,
        # Whoever only reads sends nothing for hours.
        virtual_idle_s=settings.virtual_lifetime_s,
        virtual_management_keys=(),
        virtual_management_secrets=Secret(""),
        virtual_management_bind="",
        virtual_management_forward_url="",
    )
    relay = Relay(app)
    # Counted apart: the application's own virtual connections may be in the registry of its metrics.
    made = Virtual(own, Metrics(), clock, functions=relay, quiet=True)
    relay.connections = made.connections
    return made
