"""`migrate observe`: dashboard and alarms for the service. until phase 3 (MG14)"""

from __future__ import annotations

import json
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from migrate.aws import is_missing
from migrate.cli.options import StateDirOption
from migrate.cli.output import err, out, reports_errors
from migrate.cli.shared import SIGNATURE, state_table
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.journal import Journal
from migrate.errors import MigrateError, UsageError
from migrate.up.state import DEFAULT_STATE_DIR
from migrate.words import counted

__all__ = ["observe"]


@reports_errors
def observe(
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without it nothing is changed.")] = False,
    topic: Annotated[str, typer.Option(help="ARN of the SNS topic that alarms go to.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take dashboard and alarms away again.")] = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """A CloudWatch dashboard with both stacks on it, and alarms for the service, from the configuration.

    What the configuration does not name is left out and said; exit code 2 where that leaves no alarm at all. The old
    stack's alarms go with its resources: `migrate cleanup resources plan` lists them.

    Example: migrate observe --topic arn:aws:sns:eu-west-1:123456789012:on-call --execute
    """
    from migrate.observe.definitions import ALARMS, alarms, dashboard, left_out
    from migrate.phases.names import alarm_prefix, dashboard_name

    settings = resolve_config(config, state_dir)
    name, prefix = dashboard_name(settings), alarm_prefix(settings)
    wanted = alarms(settings.settings, prefix, topic)
    # Removed are also those of a configuration that named more.
    names = [prefix + one for one in ALARMS] if remove else [alarm["AlarmName"] for alarm in wanted]
    missing = [] if remove else left_out(settings.settings)
    for one in missing:
        err.print(f"left out: {one}")
    verb = "remove" if remove else "write"
    if not execute:
        out.print(f"would {verb} dashboard {name}")
        known = {alarm["AlarmName"]: f": {alarm['AlarmDescription']}" for alarm in wanted}
        for one in names:
            out.print(f"would {verb} alarm {one}{known.get(one, '')}")
        err.print("nothing was changed; --execute does it")
        _demand_one(settings, names)
        return
    control = state_table(settings)
    client = settings.client("cloudwatch")
    arguments = {
        "dashboard": name,
        "alarms": names,
        "topic": topic,
        "remove": remove,
    }
    with Journal(control).record("observe", arguments) as entry:
        try:
            if remove:
                # By their names: what begins alike may be another project's.
                there = client.describe_alarms(AlarmNames=names)["MetricAlarms"]
                if there:
                    client.delete_alarms(AlarmNames=[alarm["AlarmName"] for alarm in there])
                try:
                    client.delete_dashboards(DashboardNames=[name])
                except ClientError as error:
                    if not is_missing(error):
                        raise
            else:
                body = json.dumps(dashboard(settings.settings, settings.region))
                client.put_dashboard(DashboardName=name, DashboardBody=body)
                for alarm in wanted:
                    client.put_metric_alarm(**alarm)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise MigrateError(
                f"{error.operation_name} failed with {code}", "run it again: it may be repeated"
            ) from error
        except BotoCoreError as error:
            raise MigrateError(f"AWS could not be asked: {type(error).__name__}", "run it again") from error
        if remove:
            entry.note(removed_alarms=len(there))
            err.print(f"dashboard {name} and {counted(len(there), 'alarm')}: removed")
            return
        entry.note(written_alarms=len(wanted), left_out=missing)
        err.print(f"dashboard {name} and {len(wanted)} of {len(ALARMS)} alarms: written")
        _demand_one(settings, names)
    if missing:
        err.print(f"hint: name what is empty in {settings.path}, and run it again: it may be repeated")


def _demand_one(settings: Config, names: list[str]) -> None:
    """Raises: UsageError: the configuration names nothing that an alarm could watch."""
    if not names:
        raise UsageError(
            f"no alarm can be made: {settings.path} names neither sse.load_balancer, nor sse.ecs_cluster and "
            "sse.ecs_service, nor sse.table_prefix",
            "name what the service has of these; for another kind of service make alarms on its own metrics, and waive "
            f"the item: migrate phase2 waive alarms {SIGNATURE}",
        )
