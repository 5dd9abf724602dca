"""The command line: data on stdout, messages on stderr, exit codes."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner, Result

from sse_service.cli import app
from sse_service.settings import Settings


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    import os

    for name in list(os.environ):
        if name.startswith(("SSE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def call(*arguments: str, **environ: str) -> Result:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, list(arguments))

    return call


def test_help_names_every_command(run: Any) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("serve", "check-config", "default-env", "create-tables", "token"):
        assert name in result.stdout
        assert "Example:" in run(name, "--help").stdout or name == "serve"


def test_check_config_prints_what_the_settings_come_to(run: Any) -> None:
    result = run("check-config", "--json", SSE_PORT="9000", SSE_JWT_SECRET="k" * 40)
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert (values["SSE_PORT"], values["SSE_JWT_SECRET"]) == (9000, "(set)")
    assert "SSE_PORT=9000" in run("check-config").stdout


@pytest.mark.parametrize(
    ("environ", "said"),
    [({"SSE_PORT": "x"}, "SSE_PORT='x'"), ({"SSE_PROT": "1"}, "SSE_PROT: no such setting")],
)
def test_check_config_refuses_what_is_wrong(run: Any, environ: dict[str, str], said: str) -> None:
    result = run("check-config", **environ)
    assert result.exit_code == 2
    assert result.stdout == "" and f"error: {said}" in result.stderr and "\nhint: " in result.stderr


def test_default_env_can_be_sourced(run: Any) -> None:
    result = run("default-env")
    assert "SSE_PORT=8080" in result.stdout.splitlines()


def test_token_is_one_that_the_service_accepts(run: Any) -> None:
    key = "k" * 40
    result = run("token", "--user", "ann", "--scope", "a b", SSE_JWT_SECRET=key, SSE_JWT_AUDIENCE="chat")
    claims = jwt.decode(result.stdout.strip(), key, algorithms=["HS256"], audience="chat")
    assert (claims["sub"], claims["tenant_id"], claims["scope"]) == ("ann", "demo", "a b")


def test_without_a_key_others_cannot_reach_it(run: Any) -> None:
    result = run("serve", "--host", "0.0.0.0", "--port", "0")
    assert result.exit_code == 2
    assert "SSE_JWT_SECRET is not set" in result.stderr


def test_create_tables_is_idempotent(run: Any, dynamo_settings: Settings) -> None:
    environ = {
        "AWS_ENDPOINT_URL": dynamo_settings.aws_endpoint_url,
        "SSE_TABLE_PREFIX": dynamo_settings.table_prefix,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    first, again = run("create-tables", **environ), run("create-tables", **environ)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stderr.count(": made") == 4 and again.stderr.count(": exists") == 4


def test_create_tables_without_a_dynamodb_is_a_sentence(run: Any) -> None:
    result = run(
        "create-tables",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
    )
    assert result.exit_code == 2
    assert "DynamoDB is out of reach" in result.stderr and "hint:" in result.stderr
    assert "Traceback" not in result.output
