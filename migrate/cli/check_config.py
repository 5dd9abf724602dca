"""`migrate check-config`: a `migrate.toml` held against the live stack. until phase 3 (MG1)"""

from __future__ import annotations

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.config import ConfigOption, resolve_config
from migrate.errors import ExitCode
from migrate.up.state import DEFAULT_STATE_DIR
from migrate.words import counted

__all__ = ["check_config"]


@reports_errors
def check_config(
    config: ConfigOption = None, json_: JsonOption = False, state_dir: StateDirOption = DEFAULT_STATE_DIR
) -> None:
    """Compare migrate.toml with what is deployed. Exit code 3 when something is wrong.

    Example: migrate check-config --json
    """
    from migrate.init.aws import read_aws, read_table
    from migrate.init.check import Finding, findings
    from migrate.tables.gateway import Gateway, Verdict

    settings = resolve_config(config, state_dir)
    problems: list[str] = []
    with err.status("reading the stack"):
        facts = read_aws(settings.client, settings.api.id, settings.region, settings.api.endpoint_url)
        dynamodb = settings.client("dynamodb")
        named = {table.name: read_table(dynamodb, table.name, problems) for table in settings.tables}
        found = findings(settings.settings, facts, named)
        # An id that nobody has: the gateway that knows this stage answers 410.
        answer = Gateway([settings.client("apigatewaymanagementapi")]).ask("AAAAAAAAAAAAAAA=")
    if answer.verdict is not Verdict.GONE:
        said = answer.reason or answer.verdict.value
        found.append(
            Finding(
                "api.management_url",
                f"@connections answers {said} about a connection that is gone, and should answer 410",
                "check the address, the stage, and execute-api:ManageConnections of these credentials",
            )
        )
    wrong = [one for one in found if one.wrong]
    if json_:
        print_json(
            {
                "file": str(settings.path),
                "ok": not wrong,
                "findings": [
                    {"key": one.key, "found": one.found, "do": one.do, "level": "wrong" if one.wrong else "note"}
                    for one in found
                ],
                "not_read": [*facts.problems, *problems],
            }
        )
    else:
        for one in found:
            out.print(f"{'wrong' if one.wrong else 'note '}  {one.key}: {one.found}\n       to do: {one.do}")
        for problem in dict.fromkeys([*facts.problems, *problems]):
            err.print(f"not read: {problem}")
        out.print(f"{settings.path}: {len(wrong)} wrong, {counted(len(found) - len(wrong), 'note')}")
    if wrong:
        raise typer.Exit(int(ExitCode.FAILED))
