"""`sse-service serve | check-config | default-env | create-tables | token`.

Data on stdout, messages on stderr. Exit codes: 0 done, 1 unexpected, 2 wrong usage or configuration.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec, TypeVar

import typer

from sse_service.errors import SettingsError, SseServiceError
from sse_service.settings import Secret, Settings, default_env, unknown_variables

__all__ = ["app", "main"]

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    help="Server-Sent Events with durable resume, chat and publishing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an error of ours into its message, its hint and its exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            for problem in error.problems:
                _say(f"error: {problem}")
            _say(f"hint: {error.hint}")
            raise typer.Exit(error.exit_code) from None
        except SseServiceError as error:
            _say(f"error: {error}")
            if error.hint:
                _say(f"hint: {error.hint}")
            raise typer.Exit(error.exit_code) from None

    return run


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


@app.command()
@reports_errors
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [SSE_HOST or 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one [SSE_PORT or 8080]")
    ] = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C. Without settings: in memory, on the loopback interface.

    Example: SSE_LOG=dynamodb SSE_JWT_SECRET=... sse-service serve --host 0.0.0.0 --port 8080
    """
    from sse_service.devkey import with_key
    from sse_service.logs import configure
    from sse_service.preflight import startup_problems

    settings = Settings.from_env(os.environ)
    if host is not None:
        settings = settings.replace(host=host)
    if port is not None:
        settings = settings.replace(port=port)
    if problems := list(startup_problems(settings)):
        raise SettingsError(problems)
    settings = with_key(settings, os.environ)
    configure(settings.log_level)
    for warning in settings.warnings():
        logging.getLogger("sse_service").warning("%s", warning)
    _raise_file_limit()
    raise typer.Exit(_run(settings))


def _run(settings: Settings) -> int:
    from sse_service.app import create_app, make_backends
    from sse_service.server import listen, make_server

    async def run() -> int:
        sock = listen(settings.host, settings.port)
        try:
            backends = make_backends(settings, time.time)
            try:
                # Before the server: what is wrong here deserves a sentence, not the traceback of a lifespan.
                await backends.log.start()
                service = create_app(settings, backends)
                if (virtual := service.state.services.virtual) is not None:
                    await virtual.start()
                server = make_server(service, settings)
                await server.serve(sockets=[sock])
            finally:
                # The lifespan has done it, unless the start was refused.
                await backends.log.close()
        finally:
            sock.close()
        return 1 if server.was_forced else 0

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on every platform
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _raise_file_limit() -> None:
    """Each stream is an open file; the soft limit is often 1024."""
    try:
        import resource
    except ImportError:  # not on every platform
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@app.command("check-config")
@reports_errors
def check_config(
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as one JSON object")] = False,
) -> None:
    """Check all settings in the environment, unknown SSE_* variables included, and print what they come to.

    Example: sse-service check-config --json
    """
    from sse_service.preflight import startup_problems

    settings, problems = Settings.read(os.environ)
    problems += startup_problems(settings)
    problems += [f"{name}: no such setting{_nearest(name)}" for name in unknown_variables(os.environ)]
    if problems:
        raise SettingsError(problems)
    for warning in settings.warnings():
        _say(f"warning: {warning}")
    values: dict[str, object] = {}
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        shown = ("(set)" if value else "(not set)") if isinstance(value, Secret) else value
        values[item.metadata["variable"]] = shown
    effective = settings.effective()
    if as_json:
        sys.stdout.write(json.dumps({**values, "effective": effective}, indent=2) + "\n")
        return
    for name, shown in values.items():
        text = ",".join(shown) if isinstance(shown, tuple) else shown
        sys.stdout.write(f"{name}={text}\n")
    sys.stdout.write("\n# What profile and settings come to\n")
    for name, shown in effective.items():
        sys.stdout.write(f"# {name}: {shown}\n")


def _nearest(name: str) -> str:
    known = [item.metadata["variable"] for item in dataclasses.fields(Settings)]
    found = difflib.get_close_matches(name, known, n=1)
    return f"; is {found[0]} meant?" if found else ""


@app.command("default-env")
def print_default_env() -> None:
    """Print every variable with its default and meaning.

    Example: sse-service default-env > service.env
    """
    sys.stdout.write(default_env())


@app.command("create-tables")
@reports_errors
def create_tables() -> None:
    """Make the DynamoDB tables of the service where they are missing; safe to repeat.

    Example: SSE_TABLE_PREFIX=chat sse-service create-tables
    """
    from sse_service.adapters.dynamodb import Dynamo, table_specs

    settings = Settings.from_env(os.environ)

    async def create() -> list[str]:
        dynamo = Dynamo(settings)
        await dynamo.connect()
        try:
            return await dynamo.create_tables()
        finally:
            await dynamo.close()

    made = asyncio.run(create())
    for spec in table_specs(settings):
        _say(f"{spec.name}: {'made' if spec.name in made else 'exists'}")


@app.command()
@reports_errors
def token(
    user: Annotated[str, typer.Option(help="User id (`sub`)")],
    tenant: Annotated[str, typer.Option(help="Tenant id (`tenant_id`)")] = "demo",
    scope: Annotated[str, typer.Option(help="Scopes, separated by spaces")] = "",
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires")] = 3600,
) -> None:
    """Print a token for trying the service out, signed with SSE_JWT_SECRET or the local development key.

    Example: curl -N -H "Authorization: Bearer $(sse-service token --user ann)" localhost:8080/api/chat/stream
    """
    import jwt

    from sse_service.devkey import with_key
    from sse_service.tokens import HS256

    settings = with_key(Settings.from_env(os.environ), os.environ)
    if not settings.jwt_secret:
        raise SettingsError(["SSE_JWT_SECRET is not set: tokens come from the issuer whose keys are at SSE_JWKS_URL"])
    now = int(time.time())
    claims: dict[str, object] = {"sub": user, "tenant_id": tenant, "iat": now, "exp": now + ttl}
    if scope:
        claims["scope"] = scope
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    sys.stdout.write(jwt.encode(claims, settings.jwt_secret, algorithm=HS256) + "\n")


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
