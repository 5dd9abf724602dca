"""The applications that `legacy-ws deploy` knows. until phase 3

Pure.
"""

from __future__ import annotations

from legacy_ws.deploy.apps.direct import DIRECT
from legacy_ws.deploy.apps.layers import LAYERS
from legacy_ws.deploy.apps.rooms import ROOMS
from legacy_ws.deploy.spec import AppSpec
from legacy_ws.errors import UsageError

__all__ = ["APPS", "DIRECT", "LAYERS", "ROOMS", "app_named"]

APPS = {app.name: app for app in (ROOMS, DIRECT, LAYERS)}


def app_named(name: str | None, stack: str) -> AppSpec:
    """The application `name`; without a name the one called like the stack, else rooms.

    Raises: UsageError: no such application.
    """
    if name is None:
        return APPS.get(stack, ROOMS)
    app = APPS.get(name)
    if app is None:
        raise UsageError(f"there is no application {name!r}", f"known applications: {', '.join(sorted(APPS))}")
    return app
