"""WebSocket data plane and @connections API of the local AWS, until phase 3."""

from migrate.local.gateway.errors import ControlPlaneUnavailableError
from migrate.local.gateway.gateway import LocalGateway
from migrate.local.gateway.settings import GatewaySettings

__all__ = ["ControlPlaneUnavailableError", "GatewaySettings", "LocalGateway"]
