"""`legacy-ws deploy`, `destroy` and `status` (CL1). until phase 3"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from legacy_ws.cli.options import Endpoint, Json, Profile, Region, Yes, open_session
from legacy_ws.cli.output import confirm, err, out, print_json, print_table, reports_errors, resumable, say
from legacy_ws.cli.settings import NoAccessLog, Pairs, environment
from legacy_ws.deploy.apps import app_named
from legacy_ws.deploy.destroy import destroy as destroy_resources
from legacy_ws.deploy.inventory import Resource, stacks, take
from legacy_ws.deploy.options import DeployOptions, StackSettings
from legacy_ws.deploy.stack import Deployment, names_of
from legacy_ws.deploy.stack import deploy as deploy_stack
from legacy_ws.deploy.status import StackStatus, status_of
from legacy_ws.deploy.steps import Done
from legacy_ws.errors import RefusedError, UsageError

__all__ = ["register"]

Name = Annotated[str, typer.Argument(help="Name of the stack; its resources begin with it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("deploy")(deploy)
    app.command("destroy")(destroy)
    app.command("status")(status)


@reports_errors
def deploy(
    context: typer.Context,
    name: Name,
    app: Annotated[
        str | None,
        typer.Option(help="Application; by default the deployed one, at first the one called NAME, else rooms."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help=f"Name of the stage; by default the deployed one, at first {StackSettings.stage}."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(help=f"python3.11, python3.12 or python3.13; at first {StackSettings.runtime}."),
    ] = None,
    jwt_secret: Annotated[
        str | None,
        typer.Option(
            envvar="LEGACY_WS_JWT_SECRET",
            show_envvar=True,
            help="Key of the tokens (HS256), 32 bytes or more; arguments are visible to others.",
        ),
    ] = None,
    jwks_url: Annotated[
        str | None,
        typer.Option(
            envvar="LEGACY_WS_JWKS_URL", help="Where the keys of the tokens (RS256) are, instead of a JWT secret."
        ),
    ] = None,
    jwt_issuer: Annotated[
        str | None, typer.Option(envvar="LEGACY_WS_JWT_ISSUER", help="Demanded of the tokens' iss; empty: no longer.")
    ] = None,
    jwt_audience: Annotated[
        str | None, typer.Option(envvar="LEGACY_WS_JWT_AUDIENCE", help="Demanded of the tokens' aud; empty: no longer.")
    ] = None,
    user_pool_id: Annotated[
        str | None,
        typer.Option(help="Cognito user pool that exists; it is used and never changed. By default one is made."),
    ] = None,
    user_pool_client_id: Annotated[
        str | None, typer.Option(help="Client of that pool, tokens of others are refused; empty: no longer.")
    ] = None,
    env: Pairs = None,
    throttle_rate: Annotated[
        float | None, typer.Option(help=f"Messages per second of the stage; at first {StackSettings.throttle_rate:g}.")
    ] = None,
    throttle_burst: Annotated[
        int | None, typer.Option(help=f"Messages at once; at first {StackSettings.throttle_burst}.")
    ] = None,
    access_log: NoAccessLog = None,
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Create the whole stack, or bring it up to date; continues where an earlier run stopped.

    What is not told stays as it is deployed.

    Example: legacy-ws deploy rooms --endpoint-url http://127.0.0.1:4566
    """
    ambient = frozenset(one for one in context.params if _is_ambient(context, one))
    # One of them was typed: it counts, and not what happens to stand in the environment.
    if jwks_url is not None and jwt_secret is not None:
        if "jwt_secret" in ambient and "jwks_url" not in ambient:
            jwt_secret = None
            say("LEGACY_WS_JWT_SECRET of the environment is not used: --jwks-url was given")
        elif "jwks_url" in ambient and "jwt_secret" not in ambient:
            jwks_url = None
            say("LEGACY_WS_JWKS_URL of the environment is not used: --jwt-secret was given")
    options = DeployOptions(
        stage=stage,
        runtime=runtime,
        jwt_secret=jwt_secret,
        jwks_url=jwks_url,
        jwt_issuer=jwt_issuer,
        jwt_audience=jwt_audience,
        user_pool_id=user_pool_id,
        user_pool_client_id=user_pool_client_id,
        environment=environment(env or []),
        throttle_rate=throttle_rate,
        throttle_burst=throttle_burst,
        access_log=access_log,
        ambient=ambient,
    )
    session = open_session(region, profile, endpoint_url)
    wanted = None if app is None else app_named(app, name)
    with resumable():
        result = deploy_stack(session, name, wanted, options, report=_report_step, secret_made=_tell_secret, note=say)
    counts = Counter(done.action for done in result.done)
    say(
        f"{name}: {counts['created']} created, {counts['updated']} updated, {counts['unchanged']} unchanged"
        f" in {sum(done.seconds for done in result.done):.1f} s; Lambda package {result.zip_bytes / 1024:.0f} KB"
    )
    if json_output:
        print_json(_as_json(result))
    else:
        _show(result)


@reports_errors
def destroy(
    name: Name,
    yes: Yes = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Delete everything that carries the stack's tag, messages and logs included, after showing it.

    Example: legacy-ws destroy rooms --yes
    """
    session = open_session(region, profile, endpoint_url)
    inventory = take(session, names_of(session, name))
    for resource in inventory.foreign:
        say(f"left alone: {resource.kind} {resource.name} is not tagged as part of {name}")
    if not inventory.owned:
        say(f"nothing to delete: nothing is tagged ws2sse:stack={name} in {session.region}")
        return
    if inventory.template:
        raise RefusedError(
            f"stack {name} was made by CloudFormation, which would go on believing in it",
            f"aws cloudformation delete-stack --stack-name {inventory.template}",
        )
    say(f"to be deleted in {session.region}:")
    for resource in inventory.owned:
        say(f"  {resource.kind:12} {resource.name}" + (f" ({resource.id})" if resource.id != resource.name else ""))
    confirm(f"Delete these {len(inventory.owned)} resources and the data in them?", yes=yes)
    with resumable():
        destroy_resources(session, inventory.owned, _report_removed)
    say(f"{name}: {len(inventory.owned)} deleted")


@reports_errors
def status(
    name: Annotated[str | None, typer.Argument(help="Name of the stack; without it, every stack.")] = None,
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Show every part of a stack and its state.

    Example: legacy-ws status rooms --json
    """
    session = open_session(region, profile, endpoint_url)
    names = [name] if name else stacks(session)
    found = [one for stack in names if (one := status_of(session, names_of(session, stack))) is not None]
    if name and not found:
        raise UsageError(
            f"there is no stack {name!r} in {session.region}", "`legacy-ws status` lists the stacks that exist"
        )
    if json_output:
        print_json(asdict(found[0]) if name else {"stacks": [asdict(one) for one in found]})
        return
    if not found:
        say(f"no stack in {session.region}")
    for one in found:
        _show_status(one)


def _is_ambient(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def _tell_secret(secret: str) -> None:
    say("no JWT secret was given: one was made, and is kept in the settings of the authorizer function")
    say(f"hint: sign tokens (HS256) with LEGACY_WS_JWT_SECRET={secret}  (shown this once)")


def _report_step(done: Done, number: int, total: int) -> None:
    style = {"created": "green", "updated": "yellow", "unchanged": "dim", "done": "dim"}[done.action]
    err.print(
        f"[{number:2}/{total}] {done.action:9} {done.kind} {done.name}", style=style, markup=False, highlight=False
    )


def _report_removed(resource: Resource, seconds: float, number: int, total: int) -> None:
    say(f"[{number:2}/{total}] deleted   {resource.kind} {resource.name} ({seconds:.1f} s)")


def _as_json(result: Deployment) -> dict[str, object]:
    document = asdict(result)
    document["steps"] = document.pop("done")
    return document


def _show(result: Deployment) -> None:
    out.print(f"WebSocket    {result.websocket_url}", markup=False, highlight=False)
    out.print(f"@connections {result.management_url}", markup=False, highlight=False)
    for what, names in (("table", result.tables), ("queue", result.queues)):
        for kind, name in names.items():
            out.print(f"{what:12} {name} ({kind})", markup=False, highlight=False)
    if result.user_pool_id:
        client = f" (client {result.user_pool_client_id})" if result.user_pool_client_id else ""
        out.print(f"user pool    {result.user_pool_id}{client}", markup=False, highlight=False)
    user = "ann@example.com" if result.user_pool_id else "ann --tenant demo"
    say(f"hint: connect with a token: {result.websocket_url}?token=$(legacy-ws token {result.stack} {user})")


def _show_status(one: StackStatus) -> None:
    state = "complete" if one.complete else f"incomplete: {_go_on(one)}"
    print_table(
        ("part", "name", "state", ""),
        ((part.kind, part.name, part.state, part.detail) for part in one.parts),
        title=f"{one.stack} ({one.app or 'unknown application'}) in {one.region}: {state}",
    )
    for route, function in one.routes.items():
        out.print(f"route        {route} -> {function}", markup=False, highlight=False)
    for stage, url in one.stages.items():
        out.print(f"stage        {stage}  {url}", markup=False, highlight=False)


def _go_on(one: StackStatus) -> str:
    """What to do about an incomplete stack."""
    if one.template:
        return f"`aws cloudformation describe-stack-events --stack-name {one.template}` says why"
    # The application is read from the stack, unless nothing there tells it.
    more = "" if one.app else " --app APP"
    return f"`legacy-ws deploy {one.stack}{more}` completes it, `legacy-ws destroy {one.stack}` removes what there is"
