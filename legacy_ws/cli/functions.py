"""`legacy-ws lambda-create`, `lambda-update` and `lambda-logs` (CL4). until phase 3"""

from __future__ import annotations

import io
import json
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from legacy_ws.aws import AwsSession, error_code
from legacy_ws.cli.options import Endpoint, Json, Profile, Region, open_session
from legacy_ws.cli.output import out, print_json, printable, progress, reports_errors, say
from legacy_ws.deploy.functions import configuration, create_function, ensure_role_policy, wait_active
from legacy_ws.deploy.policies import TRUST
from legacy_ws.errors import UsageError
from legacy_ws.redact import redact_text

__all__ = ["register"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the function.")]
Zip = Annotated[Path, typer.Argument(metavar="ZIP", help="Zip file with the code.")]
_ROLE_PATH = "/ws2sse/functions/"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("lambda-create")(lambda_create)
    app.command("lambda-update")(lambda_update)
    app.command("lambda-logs")(lambda_logs)


@reports_errors
def lambda_create(
    name: Name,
    zip_file: Zip,
    handler: Annotated[str, typer.Argument(metavar="HANDLER", help="Such as index.handler.")],
    runtime: Annotated[str, typer.Argument(metavar="RUNTIME", help="Such as python3.13 or nodejs22.x.")],
    role: Annotated[
        str | None, typer.Option(help="ARN of its role; by default one that may only write its log.")
    ] = None,
    timeout: Annotated[int, typer.Option(help="Seconds.")] = 29,
    memory: Annotated[int, typer.Option(help="Megabytes.")] = 256,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Create a function from a zip and print its ARN.

    Example: legacy-ws lambda-create connect-handler func.zip index.handler nodejs22.x
    """
    code = _zip_bytes(zip_file)
    session = open_session(region, profile, endpoint_url)
    client = session.client("lambda")
    if configuration(client, name) is not None:
        raise UsageError(f"function {name} exists", f"legacy-ws lambda-update {name} {zip_file}")
    created = create_function(
        client,
        code,
        FunctionName=name,
        Role=role or _log_only_role(session, name),
        Handler=handler,
        Runtime=runtime,
        Timeout=timeout,
        MemorySize=memory,
    )
    wait_active(client, name)
    say(f"created function {name} ({len(code) / 1024:.0f} KB)")
    out.print(created["FunctionArn"], markup=False, highlight=False)


@reports_errors
def lambda_update(
    name: Name,
    zip_file: Zip,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Replace a function's code.

    Example: legacy-ws lambda-update connect-handler func.zip
    """
    code = _zip_bytes(zip_file)
    client = open_session(region, profile, endpoint_url).client("lambda")
    if configuration(client, name) is None:
        raise UsageError(f"there is no function {name!r}", "legacy-ws lambda-create NAME ZIP HANDLER RUNTIME")
    wait_active(client, name)
    client.update_function_code(FunctionName=name, ZipFile=code)
    wait_active(client, name)
    say(f"updated function {name} ({len(code) / 1024:.0f} KB)")


@reports_errors
def lambda_logs(
    name: Name,
    minutes: Annotated[int, typer.Argument(metavar="MINUTES", min=1, help="How far back.")] = 10,
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Print what a function wrote in the last minutes, oldest first, tokens redacted.

    Example: legacy-ws lambda-logs rooms-sendMessage 30
    """
    session = open_session(region, profile, endpoint_url)
    events = _log_events(session, name, minutes)
    if json_output:
        print_json(events)
        return
    for event in events:
        out.print(f"{event['time']} {printable(event['message'])}", markup=False, highlight=False)
    if not events:
        say(f"{name} wrote nothing in the last {minutes} minutes")


def _log_events(session: AwsSession, name: str, minutes: int) -> list[dict[str, str]]:
    logs = session.client("logs")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{name}", startTime=int((time.time() - minutes * 60) * 1000)
    )
    found: list[dict[str, Any]] = []
    try:
        with progress(f"reading the log of {name}") as update:
            for page in pages:
                found += page.get("events", [])
                update(f"reading the log of {name}: {len(found)} records")
    except logs.exceptions.ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        if configuration(session.client("lambda"), name) is None:
            raise UsageError(
                f"there is no function {name!r} in {session.region}", "`legacy-ws status` shows the functions"
            ) from None
    found.sort(key=lambda event: int(event["timestamp"]))  # streams are read one after the other
    return [
        {
            "time": datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds"),
            "message": redact_text(str(event["message"]).rstrip("\n")),
        }
        for event in found
    ]


def _zip_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "pass the path of a zip file") from None
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise UsageError(f"{path} is no zip file", f"make one: zip -r {path.stem}.zip .")
    return data


def _log_only_role(session: AwsSession, name: str) -> str:
    """ARN of the function's own role, made when it is missing."""
    iam = session.client("iam")
    role_name = f"{name[:48]}-role"
    try:
        role = iam.get_role(RoleName=role_name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        role = iam.create_role(RoleName=role_name, Path=_ROLE_PATH, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    arn: str = role["Arn"]
    partition, account = arn.split(":")[1], arn.split(":")[4]
    ensure_role_policy(
        iam,
        role_name,
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": f"arn:{partition}:logs:*:{account}:log-group:/aws/lambda/{name}*",
                }
            ],
        },
    )
    return arn
