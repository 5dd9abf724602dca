"""`migrate init`: writes `migrate.toml` from what is deployed, or from its files. until phase 3 (MG1)"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError

from migrate.cli.options import JsonOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.config import DEFAULT_FILE
from migrate.errors import RefusedError, UsageError

__all__ = ["init"]


@reports_errors
def init(
    path: Annotated[
        Path | None,
        typer.Argument(help="serverless.yml, a SAM or CloudFormation template, or a directory (Terraform as well)."),
    ] = None,
    api_id: Annotated[str, typer.Option("--api-id", help="Read the deployed API with this id.")] = "",
    region: Annotated[str, typer.Option("--region", help="[default: AWS_REGION]", show_default=False)] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="PLACE=VALUE, e.g. tables.0.user=userId; as often as needed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take every guess.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = DEFAULT_FILE,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file; the old one is kept beside it as .bak.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Describe a WebSocket stack in migrate.toml: from AWS by its API's id, or from its files.

    Example: migrate init --api-id a1b2c3d4e5 --set tables.0.user=userId
    """
    from migrate.init.answers import accept, answer, open_questions, set_values
    from migrate.init.guess import guess

    if output.exists() and not force:
        raise RefusedError(
            f"{output} is there already", "replace it with --force (it is kept), or name another -o FILE"
        )
    draft = guess(_facts(path, api_id, region))
    set_values(draft, set_ or [])
    if yes:
        accept(draft)
    elif sys.stdin.isatty():
        answer(draft, _ask)
    open_ = open_questions(draft)
    if open_ or (draft.questions and not yes and not sys.stdin.isatty()):
        for question in open_ or draft.questions:
            guessed = f" (guess: {question.guess})" if question.guess else ""
            err.print(f"  {question.text}?{guessed}  --set {question.place}=...")
        if open_:
            raise UsageError(f"{len(open_)} things have to be said before the file can be written", "see above")
        raise UsageError(
            f"{len(draft.questions)} questions are open", "answer with --set, or take the guesses with --yes"
        )
    settings = draft.settings()
    backup = _write(output, draft.text(settings, datetime.now(UTC).strftime("%Y-%m-%d")))
    if json_:
        print_json(
            {
                "file": str(output),
                "backup": str(backup) if backup else None,
                "origin": draft.origin,
                "notes": draft.notes,
                "guessed": [
                    {"place": one.place, "guess": one.guess, "why": one.why} for one in draft.questions
                ],
                "not_moved": [{"what": one.what, "do": one.do} for one in draft.limits],
                "not_read": draft.problems,
            }
        )  # fmt: skip
        return
    tables = ", ".join(f"{one.name} ({one.role})" for one in settings.tables) or "no tables"
    out.print(f"wrote {output}: {len(settings.functions)} functions, {len(settings.features)} features, {tables}")
    if backup:
        err.print(f"the file that was there is {backup}")
    for problem in draft.problems:
        err.print(f"not read: {problem}")
    for limit in draft.limits:
        err.print(f"not moved: {limit.what}\n           to do: {limit.do}")
    err.print("hint: read the file, then `migrate check-config`")


def _facts(path: Path | None, api_id: str, region: str) -> Any:
    if path is not None and api_id:
        raise UsageError("a path and --api-id are two sources", "give one of them")
    if path is not None:
        from migrate.init.files import read_files

        return read_files(path)
    from migrate.init.aws import read_aws, websocket_apis

    where = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    if not where:
        raise UsageError("no region: AWS_REGION is not set", "name it with --region")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")

    def client(service: str) -> Any:
        try:
            config = BotoConfig(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=20)
            return boto3.client(service, region_name=where, config=config)
        except (BotoCoreError, ValueError) as error:
            raise UsageError(
                f"no client for {service}: {error}", "check the AWS configuration of this machine"
            ) from None

    if not api_id:
        apis = websocket_apis(client("apigatewayv2"))
        if len(apis) != 1:
            listed = ", ".join(f"{one['ApiId']} ({one['Name']})" for one in apis) or "none"
            raise UsageError(f"{where} has {len(apis)} WebSocket APIs: {listed}", "choose one with --api-id")
        api_id = apis[0]["ApiId"]
    with err.status("reading the stack"):
        return read_aws(client, api_id, where, endpoint)


def _ask(question: Any) -> str:
    if question.why:
        err.print(f"  ({question.why})")
    return str(typer.prompt(question.text, default=question.guess, show_default=bool(question.guess), err=True))


def _write(file: Path, text: str) -> Path | None:
    """Write the file; what was there is kept. Returns the backup."""
    backup = None
    if file.exists():
        backup = file.with_name(f"{file.name}.{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}.bak")
        file.replace(backup)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
    return backup
