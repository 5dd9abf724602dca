"""The command line: data on stdout, messages on stderr, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner, Result

from sse_service.cli import app
from sse_service.preflight import tls_problems
from sse_service.settings import Settings


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
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


def test_check_config_reports_all_that_serve_would_refuse_at_once(run: Any) -> None:
    result = run(
        "check-config",
        SSE_HOST="0.0.0.0",
        SSE_DEV_AUTH="1",
        SSE_RESPONDER="no_such_module:reply",
        SSE_CORS_ORIGINS="https://a.example/,https://b.example:8443,c.example",
        SSE_TLS_CERTFILE="/nowhere/cert.pem",
    )
    assert result.exit_code == 2 and "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for said in (
        "SSE_JWT_SECRET is not set: needed to listen on SSE_HOST='0.0.0.0'",
        "SSE_DEV_AUTH=1: ",
        "SSE_RESPONDER='no_such_module:reply': ",
        "SSE_CORS_ORIGINS='https://a.example/': is no origin",
        "SSE_CORS_ORIGINS='c.example': is no origin",
        "SSE_TLS_CERTFILE='/nowhere/cert.pem': No such file",
    ):
        assert [line for line in errors if line.startswith(f"error: {said}")], (said, errors)
    assert "b.example" not in result.stderr


@pytest.mark.parametrize("value", ["yes", "2", "true"])
def test_a_switch_is_0_or_1(run: Any, value: str) -> None:
    assert f"error: SSE_DEV_AUTH='{value}': must be 0 or 1" in run("check-config", SSE_DEV_AUTH=value).stderr


@pytest.mark.parametrize("command", [("check-config",), ("serve", "--port", "0")])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"SSE_TLS_CERTFILE": "missing.pem"}, "SSE_TLS_CERTFILE='missing.pem': No such file or directory"),
        ({"SSE_TLS_CERTFILE": "."}, "SSE_TLS_CERTFILE='.': Is a directory"),
        ({"SSE_TLS_CERTFILE": "text.pem"}, "SSE_TLS_CERTFILE='text.pem': holds no certificate"),
        (
            {"SSE_TLS_CERTFILE": "text.pem", "SSE_TLS_KEYFILE": "missing.pem"},
            "SSE_TLS_KEYFILE='missing.pem': No such file or directory",
        ),
        ({"SSE_TLS_KEYFILE": "text.pem"}, "SSE_TLS_KEYFILE='text.pem': has a meaning only with SSE_TLS_CERTFILE"),
    ],
)
def test_files_of_tls_that_cannot_be_used_are_one_sentence(
    run: Any, tmp_path: Any, monkeypatch: Any, command: tuple[str, ...], files: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pem").write_text("no certificate\n")
    result = run(*command, SSE_JWT_SECRET="k" * 40, **files)
    assert result.exit_code == 2 and "Traceback" not in result.output
    first, hint = result.stderr.splitlines()
    assert first.startswith(f"error: {said}") and hint.startswith("hint: ")


def test_a_certificate_must_have_its_own_readable_key(tmp_path: Path) -> None:
    today = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, keys[0].public_key(), 1, today, today + timedelta(days=1))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "cert.pem").write_bytes(builder.sign(keys[0], hashes.SHA256()).public_bytes(pem))
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"secret")
    (tmp_path / "own.pem").write_bytes(keys[0].private_bytes(pem, pkcs8, plain))
    (tmp_path / "other.pem").write_bytes(keys[1].private_bytes(pem, pkcs8, plain))
    (tmp_path / "locked.pem").write_bytes(keys[0].private_bytes(pem, pkcs8, locked))
    certfile = str(tmp_path / "cert.pem")

    def problems(key: str) -> list[str]:
        path = str(tmp_path / key) if key else ""
        return list(tls_problems(Settings(tls_certfile=certfile, tls_keyfile=path)))

    assert problems("own.pem") == []
    assert "is not that of the certificate" in problems("other.pem")[0]
    assert "an encrypted one" in problems("locked.pem")[0]
    assert problems("")[0].startswith("SSE_TLS_CERTFILE=")


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


async def test_a_start_that_is_refused_says_one_sentence_and_leaves_nothing_open(
    dynamo_settings: Settings, tmp_path: Path
) -> None:
    """A process of its own: aiohttp complains of what was left open when the loop is gone."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SSE_", "AWS_"))},
        "AWS_ENDPOINT_URL": dynamo_settings.aws_endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "SSE_TABLE_PREFIX": "nobody-made-them",
        "SSE_LOG": "dynamodb",
        "SSE_JWT_SECRET": "k" * 40,
        "XDG_STATE_HOME": str(tmp_path),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sse_service", "serve", "--port", "0"),
        env=environ,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    lines = err.decode().splitlines()
    assert process.returncode == 2
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: no such table: nobody-made-them-") and "create-tables" in lines[1]
