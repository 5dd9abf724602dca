"""`legacy-ws template` and `package`: a stack for those who deploy by CloudFormation. until phase 3"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from legacy_ws.cli.options import Json
from legacy_ws.cli.output import print_json, reports_errors, say
from legacy_ws.cli.settings import NoAccessLog, Pairs, environment
from legacy_ws.deploy.apps import app_named
from legacy_ws.deploy.options import DeployOptions, StackSettings
from legacy_ws.deploy.package import build_zip
from legacy_ws.deploy.template import build_template, to_yaml
from legacy_ws.errors import UsageError

__all__ = ["register"]


class Format(StrEnum):
    """How a template is written."""

    yaml = "yaml"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("template")(template)
    app.command("package")(package)


@reports_errors
def template(
    app: Annotated[str, typer.Argument(metavar="APP", help="rooms, direct or layers.")],
    stack: Annotated[
        str | None, typer.Option(help="What the names of the resources begin with; by default APP.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.yaml,
    stage: Annotated[str, typer.Option(help="Name of the stage.")] = StackSettings.stage,
    runtime: Annotated[str, typer.Option(help="python3.11, python3.12 or python3.13.")] = StackSettings.runtime,
    env: Pairs = None,
    throttle_rate: Annotated[
        float, typer.Option(help="Messages per second of the stage.")
    ] = StackSettings.throttle_rate,
    throttle_burst: Annotated[int, typer.Option(help="Messages at once.")] = StackSettings.throttle_burst,
    access_log: NoAccessLog = True,
) -> None:
    """Print the CloudFormation template of an application: the stack that `legacy-ws deploy` makes.

    Example: legacy-ws template layers --stack my-chat > template.yaml
    """
    options = DeployOptions(
        stage=stage,
        runtime=runtime,
        environment=environment(env or []),
        throttle_rate=throttle_rate,
        throttle_burst=throttle_burst,
        access_log=access_log,
    )
    built = build_template(app_named(app, app), stack or app, options)
    text = to_yaml(built) if output is Format.yaml else json.dumps(built, indent=2) + "\n"
    typer.echo(text, nl=False)


@reports_errors
def package(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the zip is written.")],
    json_output: Json = False,
) -> None:
    """Write the Lambda package of the applications, the same bytes every time; print its size and SHA-256.

    Example: legacy-ws package legacy-ws.zip
    """
    code = build_zip()
    try:
        file.write_bytes(code)
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}", "pass the path of a file in a folder that exists"
        ) from None
    digest = hashlib.sha256(code).hexdigest()
    if json_output:
        print_json({"file": str(file), "bytes": len(code), "sha256": digest})
    else:
        typer.echo(f"{digest}  {file}")
        say(f"wrote {len(code) / 1024:.0f} KB")
        say(f"hint: aws s3 cp {file} s3://BUCKET/legacy-ws-{digest[:12]}.zip (another key for other code)")
