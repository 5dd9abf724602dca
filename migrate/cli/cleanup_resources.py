"""`migrate cleanup resources plan | apply | restore`. until phase 3 (MG12)"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import state_table, write_whole
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.checkpoints import Checkpoints
from migrate.control.flags import moved_percents
from migrate.control.journal import Journal, actor
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.errors import RefusedError, UsageError
from migrate.resources.model import KINDS, Plan, Step, job_of, lock_name, plan_from
from migrate.resources.names import PLAN_FILE
from migrate.times import utc_text
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["resources"]

resources = typer.Typer(
    help="The old stack's resources: plan what goes, apply exactly that plan, restore what can be.",
    no_args_is_help=True,
)
# Older plans are refused even when nothing seems to have changed.
MAX_AGE_S = 24 * 3600.0
PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", help=f"The plan's file. [default: {PLAN_FILE} beside migrate.toml]", show_default=False),
]


@resources.command()
@reports_errors
def plan(
    config: ConfigOption = None, plan_file: PlanOption = None, json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:  # fmt: skip
    """Look at everything, write what would go, in which order, what stands in the way, and what stays. Changes nothing.

    Example: migrate cleanup resources plan
    """
    from migrate.phases.names import plan_key

    settings = resolve_config(config, state_dir)
    table = state_table(settings)
    with err.status("reading the stack"):
        made = _make(settings, table)
    path = plan_file or settings.path.parent / PLAN_FILE
    value = {**made.as_json(), "digest": made.digest}
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n", 0o600)
    with Journal(table).record("cleanup resources plan", {"plan": str(path), "digest": made.digest}):
        table.put(
            {
                "pk": plan_key(settings),
                "sk": datetime.fromtimestamp(made.made_at, UTC).isoformat(timespec="microseconds"),
                "digest": made.digest,
                "path": str(path),
                "made_at": made.made_at,
                "covers": [step.name for step in made.steps],
            }
        )
    if json_:
        print_json(value)
        return
    _show(made, path)


@resources.command()
@reports_errors
def apply(
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without it nothing is changed.")] = False,
    point_of_no_return: Annotated[
        str, typer.Option("--point-of-no-return", help="Id of the API: also do what can never be taken back.")
    ] = "",
    config: ConfigOption = None,
    plan_file: PlanOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Do exactly what the plan says: everything is looked at again, and a plan that is not true any more is refused.

    Ends before the API itself is deleted, unless its id is given with --point-of-no-return. Can be stopped and run
    again, here or on another machine. Exit code 5: refused.

    Example: migrate cleanup resources apply --execute --point-of-no-return a1b2c3
    """
    from migrate.resources.apply import apply_plan, done_of
    from migrate.tables.export import export_of

    settings = resolve_config(config, state_dir)
    path = plan_file or settings.path.parent / PLAN_FILE
    made = _read(path)
    if point_of_no_return and point_of_no_return != made.api_id:
        raise UsageError(
            f"--point-of-no-return {point_of_no_return} is not the API of this plan", f"its API is {made.api_id}"
        )
    table = state_table(settings)
    checkpoints = Checkpoints(table)
    kept = checkpoints.all(job_of(made.digest))
    done = done_of(kept)
    with err.status("looking at the stack again"):
        _check_true(settings, table, made, done, begun=bool(kept))
    left = [step for step in made.steps if step.id not in done]
    if not execute:
        for step in left:
            out.print(f"would {_does(step)}")
        err.print("nothing was changed; --execute does it")
        return
    arguments = {"plan": str(path), "digest": made.digest, "point_of_no_return": point_of_no_return}
    with (
        Journal(table).record("cleanup resources apply", arguments) as entry,
        Locks(table).hold(lock_name(made.api_id), actor()) as lease,
    ):
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}"
        export = export_of(settings.records, job_of(made.digest), run, lambda: settings.client("s3"))
        try:
            rest = apply_plan(settings, made, export, checkpoints, lease, _told, final=bool(point_of_no_return))
        finally:
            export.close()
        entry.note(left=[step.id for step in rest], export=job_of(made.digest))
    if rest:
        err.print(f"{len(rest)} steps are left, from {rest[0].id} on: what follows can never be taken back")
        err.print(f"hint: go on with --point-of-no-return {made.api_id}")
    else:
        err.print(f"all of the plan is done; what was deleted is in the export {job_of(made.digest)}")


@resources.command()
@reports_errors
def restore(
    what: Annotated[
        list[str] | None, typer.Argument(help="Ids such as table:chat-connections; all without any.")
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without it nothing is changed.")] = False,
    export: Annotated[str, typer.Option("--export", help="Name of the export. [default: that of the plan]")] = "",
    config: ConfigOption = None,
    plan_file: PlanOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Make again what a plan deleted, from its export; what is there is left alone.

    Example: migrate cleanup resources restore table:chat-connections --execute
    """
    from migrate.resources.restore import Restored, check_wanted
    from migrate.resources.restore import restore as make_again
    from migrate.tables.export import pages_of

    settings = resolve_config(config, state_dir)
    job = export or job_of(_read(plan_file or settings.path.parent / PLAN_FILE).digest)
    wanted = set(what or ())
    pages = pages_of(settings.records, job, lambda: settings.client("s3"))

    def warned(text: str) -> None:
        err.print(f"note: {text}")

    if not execute:
        seen: dict[str, None] = {}
        for page in pages:
            if page.problem:
                warned(f"{page.source}: {page.problem}")
            seen.update({f"{one['kind']}:{one['name']}": None for one in page.records if one["kind"] != "item"})
        check_wanted(wanted, seen)
        for name in seen:
            if not wanted or name in wanted:
                out.print(f"would make {name}: {KINDS[name.partition(':')[0]][1]}")
        err.print("nothing was changed; --execute does it")
        return
    table = state_table(settings)

    def told(one: Restored) -> None:
        out.print(f"{one.outcome:14} {one.id}" + (f"  ({one.note})" if one.note else ""))

    with (
        Journal(table).record("cleanup resources restore", {"what": sorted(wanted), "export": job}) as entry,
        Locks(table).hold(lock_name(settings.api.id), actor()) as lease,
    ):
        lease.check()
        found = make_again(settings, pages, wanted, told, warned)
        entry.note(**{outcome: [one.id for one in found if one.outcome == outcome] for outcome in ("made", "cannot")})
        # What was made again may be deleted again by the same plan.
        checkpoints = Checkpoints(table)
        for one in found:
            if one.outcome == "made":
                checkpoints.forget(job, one.id)


def _make(settings: Config, table: ControlTable) -> Plan:
    from migrate.phases.collect import config_digest
    from migrate.resources.discover import discover, traffic
    from migrate.resources.planning import make_plan

    now = time.time()
    seen = discover(settings)
    seen.traffic = traffic(settings, settings.cleanup.quiet_hours, now) if seen.api is not None else {}
    moved = moved_percents(table)
    return make_plan(
        settings.settings, seen, region=settings.region, config=config_digest(settings), rows=_rows(settings, seen),
        moved=moved, now=now,
    )  # fmt: skip


def _rows(settings: Config, seen: Any) -> dict[str, int]:
    """Connections that are left, by table; counting ends at a thousand."""
    from migrate.aws import is_missing
    from migrate.resources.discover import asking
    from migrate.tables.rows import Rows

    client, found = settings.client("dynamodb"), {}
    for table in settings.tables:
        if table.role != "connections" or table.name not in seen.tables:
            continue
        rows = Rows(table, [one["AttributeName"] for one in seen.tables[table.name]["KeySchema"]])
        count = 0
        with asking():
            try:
                for page in client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True):
                    count += sum(len(rows.entries(item)) for item in page["Items"])
                    if count > 1000:
                        break
            except ClientError as error:
                # A run that was killed has deleted it: it is still described, and cannot be read any more.
                if not is_missing(error):
                    raise
        found[table.name] = count
    return found


def _check_true(settings: Config, table: ControlTable, made: Plan, done: set[str], *, begun: bool) -> None:
    """Raises: RefusedError: the plan is stale, or something stands in its way."""
    from migrate.phases.collect import config_digest

    if made.config != config_digest(settings):
        raise RefusedError("the configuration has changed since the plan was made", "plan again")
    if not begun and time.time() - made.made_at > MAX_AGE_S:
        raise RefusedError(f"the plan is of {utc_text(made.made_at)}, older than a day", "plan again")
    now = _make(settings, table)
    if now.account != made.account or now.region != made.region:
        raise RefusedError(
            f"the plan is for account {made.account or '?'} in {made.region}, "
            f"and this is {now.account or '?'} in {now.region}",
            "use the credentials that it was made with",
        )
    there = {step.id: step for step in now.steps}
    for step in made.steps:
        if step.id in done:
            continue
        found = there.pop(step.id, None)
        if found is None and begun:
            continue  # the step that was cut off
        if found is None:
            raise RefusedError(f"{step.id} is not there any more, or needs nothing done", "plan again")
        if found.facts != step.facts:
            raise RefusedError(f"{step.id} has changed since the plan was made", "plan again")
        if found.blocked:
            raise RefusedError(f"{step.id} is still used: {'; '.join(found.blocked)}", found.hint or "plan again")
    new = [name for name in there if name not in done]
    if new and not begun:
        raise RefusedError(f"{new[0]} is new since the plan was made", "plan again")


def _read(path: Path) -> Plan:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no plan {path}", "write one with `migrate cleanup resources plan`") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no plan: it is not JSON", "plan again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is no plan", "plan again")
    return plan_from(value, str(path))


def _show(made: Plan, path: Path) -> None:
    for number, step in enumerate(made.steps, 1):
        mark = "!" if step.blocked else " "
        out.print(f"{mark} {number:3}. {_does(step)}")
        out.print(f"        to have again: {KINDS[step.kind][1]}")
        for reason in step.blocked:
            out.print(f"        still used: {reason}")
        if step.blocked and step.hint:
            out.print(f"        to do: {step.hint}")
        if step.is_final:
            out.print("        --- the point of no return ---")
    for one in made.kept:
        out.print(f"  stays: {one.kind} {one.name}: {one.why}")
    out.print(f"\n{path}: {len(made.steps)} steps, {len(made.blocked)} blocked, digest {made.digest[:12]}")


def _does(step: Step) -> str:
    return f"{step.kind} {step.name}: {KINDS[step.kind][0]}"


def _told(step: Step, outcome: str) -> None:
    out.print(f"{outcome:13} {step.id}")
