"""The tee of a stack as its `migrate.toml` describes it. until phase 3"""

from __future__ import annotations

from dataclasses import dataclass

from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.errors import UsageError
from migrate.tee.consumers import TeeState, consumer_queue
from migrate.tee.function_configuration import TeeSettings, name_of
from migrate.tee.install import (
    InstalledTee,
    RemovedTee,
    functions_of_api,
    install_tee,
    is_installed,
    remove_tee,
)

__all__ = [
    "BRIDGE",
    "TeeView",
    "bridge_job",
    "functions_without_tee",
    "install_for",
    "install_for_bridge",
    "look_at_tee",
    "remove_for",
    "tee_functions",
]

BRIDGE = "bridge"
"""The bridge's name as a reader."""


def bridge_job(api_id: str) -> str:
    """The bridge's lock, and the job of its checkpoints."""
    return f"{BRIDGE}#{api_id}"


@dataclass(frozen=True)
class TeeView:
    """How the tee of a stack stands: its functions, those without it, and who reads."""

    functions: tuple[str, ...]
    missing: tuple[str, ...]
    readers: tuple[str, ...]

    def lacks(self, reader: str) -> str:
        """What keeps records from a reader, in words; empty: nothing."""
        if self.missing:
            names = ", ".join(map(name_of, self.missing))
            on = len(self.functions) - len(self.missing)
            return f"the tee is on {on} of {len(self.functions)} functions; without it: {names}"
        return "" if reader in self.readers else f"the {reader} was taken away from the tee's readers"


def tee_functions(config: Config) -> tuple[str, ...]:
    """The functions that are copied: those behind the API's routes as they are now, and those that answer."""
    routes = functions_of_api(config.client("apigatewayv2"), config.api.id)
    named = {name_of(arn) for arn in routes}
    answering = [one.name for one in config.functions if one.role == "answer" and one.name not in named]
    return (*routes, *answering)


def functions_without_tee(config: Config) -> tuple[str, ...]:
    """Those of them whose handler is not the tee's, or that are not there; asks Lambda about each."""
    lambda_ = config.client("lambda")

    def has_tee(name: str) -> bool:
        try:
            return is_installed(lambda_, name)
        except lambda_.exceptions.ResourceNotFoundException:
            return False

    return tuple(name for name in tee_functions(config) if not has_tee(name))


def install_for(config: Config, table: ControlTable) -> InstalledTee:
    """Put the tee onto the stack's functions; safe to repeat.

    Raises: as `install_tee`; UsageError: the configuration names a function that is not there.
    """
    answering = frozenset(one.name for one in config.functions if one.role == "answer")
    lambda_ = config.client("lambda")
    for name in sorted(answering):
        try:
            lambda_.get_function_configuration(FunctionName=name)
        except lambda_.exceptions.ResourceNotFoundException:
            raise UsageError(
                f"{config.path}: there is no function {name!r}", "correct its name in [[functions]]"
            ) from None
    settings = TeeSettings(answering, config.identity.user or "userId", config.identity.tenant or "tenantId")
    return install_tee(config.client, tee_functions(config), config.api.id, settings, TeeState(table, config.api.id))


def remove_for(config: Config, table: ControlTable) -> RemovedTee:
    """Take it off again. Raises as `remove_tee`."""
    return remove_tee(config.client, tee_functions(config), TeeState(table, config.api.id))


def install_for_bridge(config: Config, table: ControlTable) -> InstalledTee:
    """The same, and the bridge reads it, also one that is running: `migrate shadow stop --all-readers` took it away."""
    installed = install_for(config, table)
    TeeState(table, config.api.id).add(BRIDGE, consumer_queue(config.client("sqs"), config.api.id, BRIDGE))
    return installed


def look_at_tee(config: Config, table: ControlTable) -> TeeView:
    """Asks Lambda about each function."""
    readers = tuple(one.name for one in TeeState(table, config.api.id).consumers())
    return TeeView(tee_functions(config), functions_without_tee(config), readers)
