"""Refuses new connections by a setting of the stage, and puts it back as it was. until phase 3 (MG10)

The `$connect` route's throttle is set to no requests at all: API Gateway answers handshakes with 429 then, before the
authorizer or any code runs. It is a setting of the stage (UpdateStage), so nothing is deployed: a deployment would
publish whatever else waits in the API, and could not be undone. DeleteRouteSettings takes the setting away again.

Why not otherwise: the status of an integration that is no proxy does not refuse a handshake for sure; the stage's
default throttle would stop frames as well, and cannot be taken away once it was set.

Sources: "Protect your WebSocket APIs in API Gateway" (websocket-api-protect.html: route-level throttling by
UpdateStage); RouteSettings and DeleteRouteSettings (API Gateway V2 API reference); a rate and burst of 0 answer every
WebSocket handshake with 429 (hashicorp/terraform-provider-aws issue 14742; pulumi/pulumi-aws issue 2363).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.errors import MigrateError, RefusedError, UsageError
from migrate.routes import CONNECT

__all__ = ["Refusal", "Snapshot"]

_NONE = {"ThrottlingRateLimit": 0.0, "ThrottlingBurstLimit": 0}
Snapshot = dict[str, Any]
"""`{"had": bool, "connect": settings of $connect before, "default": the stage's default settings}`."""


class Refusal:
    """The stage's setting.

    Args:
        gateway: boto3 client of apigatewayv2.
    """

    def __init__(self, gateway: Any, api_id: str, stage: str) -> None:
        self._gateway, self._api_id, self._stage = gateway, api_id, stage

    def snapshot(self) -> Snapshot:
        """The settings as they are.

        Raises: UsageError: the API has no `$connect` route, whose throttle could be set.
        """
        routes = [route["RouteKey"] for route in self._routes()]
        if CONNECT not in routes:
            raise UsageError(
                f"the API {self._api_id} has no $connect route: new connections cannot be refused by its throttle",
                "add one (a mock will do), deploy it, and try again; or drain without: --no-refuse",
            )
        stage = self._read()
        settings = stage.get("RouteSettings") or {}
        return {
            "had": CONNECT in settings,
            "connect": dict(settings.get(CONNECT) or {}),
            "default": dict(stage.get("DefaultRouteSettings") or {}),
        }

    def refuse(self, before: Snapshot) -> None:
        """No new connections. Does nothing when that is so already."""
        if not self.is_on(before):
            self._update({CONNECT: self._shut(before)})

    def is_on(self, before: Snapshot) -> bool:
        """Whether the setting is the one that `refuse` makes."""
        return (self._read().get("RouteSettings") or {}).get(CONNECT) == self._shut(before)

    def undo(self, before: Snapshot) -> None:
        """The settings as they were.

        Raises: RefusedError: somebody has changed them meanwhile. MigrateError: they are not as they were afterwards.
        """
        now = (self._read().get("RouteSettings") or {}).get(CONNECT)
        if now != (before["connect"] if before["had"] else None):
            if now != self._shut(before):
                raise RefusedError(
                    f"somebody has changed the throttle of $connect on stage {self._stage} meanwhile: {now}",
                    "put it back by hand, as `migrate drain status --json` shows it",
                )
            if before["had"]:
                self._update({CONNECT: before["connect"]})
            else:
                try:
                    self._gateway.delete_route_settings(ApiId=self._api_id, StageName=self._stage, RouteKey=CONNECT)
                except (ClientError, BotoCoreError) as error:
                    raise _said(error) from error
        stage = self._read()
        now = (stage.get("RouteSettings") or {}).get(CONNECT)
        if now != (before["connect"] if before["had"] else None):
            raise MigrateError(f"the settings of stage {self._stage} are not as they were: {now}", "undo it again")

    def _shut(self, before: Snapshot) -> dict[str, Any]:
        # A route's settings replace the stage's as a whole: logging and metrics stay as they are.
        return {**(before["connect"] if before["had"] else before["default"]), **_NONE}

    def _read(self) -> dict[str, Any]:
        try:
            return dict(self._gateway.get_stage(ApiId=self._api_id, StageName=self._stage))
        except (ClientError, BotoCoreError) as error:
            raise _said(error) from error

    def _update(self, changed: Mapping[str, Any]) -> None:
        """All of the routes' settings are given, so that those of the others stay whatever UpdateStage does."""
        settings = {**(self._read().get("RouteSettings") or {}), **changed}
        try:
            self._gateway.update_stage(ApiId=self._api_id, StageName=self._stage, RouteSettings=settings)
        except (ClientError, BotoCoreError) as error:
            raise _said(error) from error

    def _routes(self) -> list[dict[str, Any]]:
        found, token = [], None
        try:
            while True:
                page = self._gateway.get_routes(ApiId=self._api_id, **({"NextToken": token} if token else {}))
                found += page["Items"]
                token = page.get("NextToken")
                if not token:
                    return found
        except (ClientError, BotoCoreError) as error:
            raise _said(error) from error


def _said(error: ClientError | BotoCoreError) -> MigrateError:
    said = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    return MigrateError(f"the stage's settings could not be used: {said}", "check api.id, api.stage and permissions")
