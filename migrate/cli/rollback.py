"""`migrate rollback`: everybody of a feature back to WebSocket, at once. until phase 3 (MG9)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.flags import EVERY_TENANT, CutoverFlag, Flags
from migrate.control.journal import Journal
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.cutover.run import lock_name
from migrate.errors import MigrateError, UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["rollback"]


@reports_errors
def rollback(
    feature: Annotated[str, typer.Argument(help="A feature of the configuration.", metavar="FEATURE")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant. [default: all, also those with a flag]")] = None,
    note: Annotated[str, typer.Option(help="Why; kept in the journal and the flag.")] = "",
    config: ConfigOption = None,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Bring everybody of a feature back to WebSocket now: no gate, no lock, no question; a run under way ends.

    Warns when a drain refuses new WebSocket connections: then clients come back after `migrate drain undo --execute`.
    Where everybody is at 0 % and no run is under way, it says so and changes nothing.

    Example: migrate rollback chat
    """
    settings = resolve_config(config, state_dir)
    table = ControlTable.of(settings)
    flags = Flags(table)
    if not flags.of(feature):
        settings.feature(feature)  # a feature that was taken out of the file can still be brought back
    if tenant is not None and (not tenant.strip() or tenant == EVERY_TENANT):
        raise UsageError(f"{tenant!r} is no tenant", "leave --tenant out for all of them")
    there = flags.of(feature)
    is_back = _is_back(there, tenant) and Locks(table).holder(lock_name(feature)) is None
    written: list[CutoverFlag] = []
    if is_back:
        before, warnings = {name: flag.percent for name, flag in there.items()}, _warnings(settings, table)
    else:
        before, written, warnings = _bring_back(settings, table, feature, tenant, note)
    if json_:
        print_json(
            {
                "feature": feature,
                "flags": [{"tenant": flag.tenant, "percent": flag.percent, "epoch": flag.epoch} for flag in written],
                "from_percent": before,
                "warnings": warnings,
            }
        )
    elif is_back:
        who = f" ({tenant})" if tenant else ""
        out.print(f"{feature}{who}: nothing to roll back: everybody is at 0 % already; nothing is changed")
    else:
        for flag in written:
            who = "every tenant" if flag.tenant == EVERY_TENANT else flag.tenant
            out.print(f"{feature} ({who}): {before.get(flag.tenant, before.get(EVERY_TENANT, 0.0)):g} % -> 0 %")
    for one in warnings:
        err.print(f"WARNING: {one}", style="bold red")


def _is_back(flags: Mapping[str, CutoverFlag], tenant: str | None) -> bool:
    """Whether the flags say already what a rollback would make them say.

    Where there is none, the service goes by a default of its own: then there is something to say.
    """
    if tenant is None:
        return EVERY_TENANT in flags and all(flag.percent == 0 for flag in flags.values())
    flag = flags.get(tenant) or flags.get(EVERY_TENANT)
    return flag is not None and flag.percent == 0


def _bring_back(
    settings: Config, table: ControlTable, feature: str, tenant: str | None, note: str
) -> tuple[dict[str, float], list[CutoverFlag], list[str]]:
    """Percentages by tenant before, the flags written, and warnings."""
    flags = Flags(table)
    arguments = {"feature": feature, **({"tenant": tenant} if tenant else {}), **({"note": note} if note else {})}
    with Journal(table).record("rollback", arguments) as entry:
        before = {name: flag.percent for name, flag in flags.of(feature).items()}
        written = flags.back(feature, tenant, note)
        warnings = _warnings(settings, table)
        entry.note(
            from_percent=before,
            epochs={flag.tenant: flag.epoch for flag in written},
            **({"warnings": warnings} if warnings else {}),
        )
    return before, written, warnings


def _warnings(settings: Config, table: ControlTable) -> list[str]:
    """What keeps people from coming back although the flag says so. Never in the way of a rollback that is done."""
    from migrate.drain.state import read_state

    api = settings.api
    try:
        drain = read_state(table, api.id, api.stage)
    except MigrateError:
        return []
    if not drain or not drain.get("refused"):
        return []
    return [
        f"new WebSocket connections are refused on stage {api.stage} (a drain, {drain.get('status')}): clients cannot "
        "come back before `migrate drain undo --execute`; run it now"
    ]
