"""The tee of a stack as its `migrate.toml` describes it. until phase 3"""

from __future__ import annotations

from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.tee.consumers import TeeState
from migrate.tee.install import InstalledTee, RemovedTee, TeeSettings, functions_of_api, install_tee, remove_tee

__all__ = ["install_for", "remove_for", "tee_functions"]


def tee_functions(config: Config) -> tuple[str, ...]:
    """The functions that are copied: those behind the API's routes as they are now, and those that answer."""
    routes = functions_of_api(config.client("apigatewayv2"), config.api.id)
    named = {arn.rsplit(":function:", 1)[-1].partition(":")[0] for arn in routes}
    answering = [one.name for one in config.functions if one.role == "answer" and one.name not in named]
    return (*routes, *answering)


def install_for(config: Config, table: ControlTable) -> InstalledTee:
    """Put the tee onto the stack's functions; safe to repeat. Raises as `install_tee`."""
    answering = frozenset(one.name for one in config.functions if one.role == "answer")
    settings = TeeSettings(answering, config.identity.user, config.identity.tenant or "tenantId")
    return install_tee(config.client, tee_functions(config), config.api.id, settings, TeeState(table, config.api.id))


def remove_for(config: Config, table: ControlTable) -> RemovedTee:
    """Take it off again. Raises as `remove_tee`."""
    return remove_tee(config.client, tee_functions(config), TeeState(table, config.api.id))
