"""legacy_ws.cli: commands as a user types them, on a real MiniStack. until phase 3 (CL1-CL5)"""

from __future__ import annotations

import json
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result
from typer.testing import CliRunner

from legacy_ws import aws
from legacy_ws.cli import app
from legacy_ws.errors import ConnectionGoneError, SendFailedError

Run = Callable[..., Result]
COMMANDS = [
    "deploy",
    "destroy",
    "status",
    "ws-create",
    "ws-delete",
    "ws-list",
    "ws-add-route",
    "ws-deploy",
    "ws-get-url",
    "connections-list",
    "connection-send",
    "connection-disconnect",
    "lambda-create",
    "token",
    "lambda-update",
    "lambda-logs",
    "dynamodb-create",
    "dynamodb-scan",
]


@pytest.fixture
def run(ministack: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack)
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()

    def invoke(*arguments: str, **options: Any) -> Result:
        result = runner.invoke(app, list(arguments), **options)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def table(run: Run, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"cli-{request.node.name[-20:].strip('[]_')}"
    assert run("dynamodb-create", name, "connectionId", "--ttl", "ttl").exit_code == 0
    yield name
    boto3.client("dynamodb").delete_table(TableName=name)


@pytest.fixture
def api(run: Run) -> Iterator[str]:
    created = run("ws-create", "cli-chat")
    assert created.exit_code == 0
    yield created.stdout.strip()
    run("ws-delete", created.stdout.strip(), "--yes")


def zip_file(path: Path, body: str = "def handler(event, context): return 1\n") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("index.py", body)
    return path


@pytest.fixture
def function(run: Run, tmp_path: Path) -> Iterator[str]:
    made = run("lambda-create", "cli-fn", str(zip_file(tmp_path / "f.zip")), "index.handler", "python3.13")
    assert made.exit_code == 0, made.stderr
    yield made.stdout.strip()
    boto3.client("lambda").delete_function(FunctionName="cli-fn")


def test_every_command_of_the_document_is_there_with_an_example() -> None:
    """CL1-CL5"""
    runner = CliRunner()
    listing = runner.invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for command in COMMANDS:
        assert command in listing
        assert f"Example: legacy-ws {command}" in runner.invoke(app, [command, "--help"]).output


def test_a_stack_from_deploy_to_destroy(run: Run) -> None:
    """CL1"""
    deployed = run("deploy", "clistack", "--json", "--jwt-secret", "s" * 32)
    assert deployed.exit_code == 0, deployed.stderr
    result = json.loads(deployed.stdout)
    assert list(result)[:9] == [
        "stack",
        "app",
        "api_id",
        "stage",
        "websocket_url",
        "management_url",
        "region",
        "tables",
        "functions",
    ]
    assert result["zip_bytes"] > 10_000
    assert "created   table clistack-Connections" in deployed.stderr
    assert "Lambda package" in deployed.stderr
    assert "s" * 32 not in deployed.output

    again = run("deploy", "clistack", "--json")
    assert {step["action"] for step in json.loads(again.stdout)["steps"]} == {"unchanged", "done"}

    state = json.loads(run("status", "clistack", "--json").stdout)
    assert state["complete"] is True
    assert state["stages"] == {"prod": result["websocket_url"]}
    assert "clistack" in [one["stack"] for one in json.loads(run("status", "--json").stdout)["stacks"]]
    assert "clistack-sendMessage" in run("status").stdout

    refused = run("destroy", "clistack")
    assert refused.exit_code == 5
    assert "function     clistack-connect" in refused.stderr
    assert "hint: pass --yes" in refused.stderr
    assert json.loads(run("status", "clistack", "--json").stdout)["complete"] is True

    assert run("destroy", "clistack", "--yes").exit_code == 0
    twice = run("destroy", "clistack", "--yes")
    assert twice.exit_code == 0
    assert "nothing to delete" in twice.stderr
    gone = run("status", "clistack")
    assert gone.exit_code == 2
    assert "there is no stack 'clistack'" in gone.stderr


def test_a_secret_that_had_to_be_made_is_shown_once(run: Run) -> None:
    first = run("deploy", "clisecret", "--json")
    assert "LEGACY_WS_JWT_SECRET=" in first.stderr
    assert "JWT_SECRET" not in first.stdout
    assert "LEGACY_WS_JWT_SECRET=" not in run("deploy", "clisecret").stderr
    run("destroy", "clisecret", "--yes")


def test_an_api_by_hand(run: Run, api: str, function: str) -> None:
    """CL2"""
    assert api in [one["api_id"] for one in json.loads(run("ws-list", "--json").stdout)]
    assert api in run("ws-list").stdout
    for _ in range(2):
        assert run("ws-add-route", api, "sendmessage", function).exit_code == 0
    no_stage = run("ws-get-url", api, "prod")
    assert no_stage.exit_code == 2
    assert f"legacy-ws ws-deploy {api} prod" in no_stage.stderr
    for _ in range(2):
        deployed = run("ws-deploy", api, "prod")
        assert deployed.exit_code == 0
    url = run("ws-get-url", api, "prod").stdout.strip()
    assert url == deployed.stdout.strip()
    assert url.endswith("/prod")
    assert json.loads(run("ws-get-url", api, "prod", "--json").stdout)["websocket_url"] == url
    gateway = boto3.client("apigatewayv2")
    assert len(gateway.get_integrations(ApiId=api)["Items"]) == 1
    assert run("ws-delete", api).exit_code == 5


def test_adding_a_function_does_not_open_a_guarded_route(run: Run, api: str, function: str) -> None:
    gateway = boto3.client("apigatewayv2")
    authorizer = gateway.create_authorizer(
        ApiId=api, Name="jwt", AuthorizerType="REQUEST", AuthorizerUri="arn:x", IdentitySource=[]
    )["AuthorizerId"]
    gateway.create_route(ApiId=api, RouteKey="$connect", AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    assert run("ws-add-route", api, "$connect", function).exit_code == 0
    (route,) = gateway.get_routes(ApiId=api)["Items"]
    assert (route["AuthorizationType"], route["AuthorizerId"]) == ("CUSTOM", authorizer)


def test_functions_by_hand(run: Run, function: str, tmp_path: Path) -> None:
    """CL4"""
    client = boto3.client("lambda")
    before = client.get_function_configuration(FunctionName="cli-fn")["CodeSha256"]
    changed = zip_file(tmp_path / "g.zip", "def handler(event, context): return 2\n")
    assert run("lambda-update", "cli-fn", str(changed)).exit_code == 0
    assert client.get_function_configuration(FunctionName="cli-fn")["CodeSha256"] != before
    again = run("lambda-create", "cli-fn", str(changed), "index.handler", "python3.13")
    assert again.exit_code == 2
    assert "hint: legacy-ws lambda-update cli-fn" in again.stderr


def test_logs_are_read_in_order_whole_and_without_tokens(run: Run, function: str) -> None:
    """CL4"""
    logs = boto3.client("logs")
    group, now = "/aws/lambda/cli-fn", int(time.time() * 1000)
    assert "wrote nothing" in run("lambda-logs", "cli-fn").stderr
    logs.create_log_group(logGroupName=group)
    for stream, texts in {"one": ["1 first", "3 token=abc123"], "two": ["2 [second]"]}.items():
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        logs.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": now - 5000 + int(text[0]) * 1000, "message": text} for text in texts],
        )
    shown = run("lambda-logs", "cli-fn", "5")
    assert [line.split(" ", 1)[1] for line in shown.stdout.splitlines()] == [
        "1 first",
        "2 [second]",
        "3 token=[redacted]",
    ]
    assert json.loads(run("lambda-logs", "cli-fn", "--json").stdout)[0]["message"] == "1 first"
    logs.delete_log_group(logGroupName=group)


def test_tables_are_made_and_read_whole(run: Run, table: str) -> None:
    """CL5, CL3"""
    client = boto3.client("dynamodb")
    for number in range(15):
        client.put_item(
            TableName=table,
            Item={
                "connectionId": {"S": f"c{number}"},
                "connectedAt": {"N": "1718691200"},
                "pad": {"S": "x" * 100_000},
                "tags": {"SS": ["a"]},
                "userName": {"S": "\x1b]0;gotcha\x07[bold]"},
            },
        )
    rows = json.loads(run("dynamodb-scan", table, "--json").stdout)
    assert len(rows) == 15
    assert rows[0]["connectedAt"] == 1718691200
    assert "15 items" in run("dynamodb-scan", table).stderr
    listed = run("connections-list", table)
    assert "15 connections" in listed.stderr
    assert "2024-06-18 06:13:20Z" in listed.stdout
    assert "\x1b" not in listed.stdout + run("dynamodb-scan", table).stdout  # a client chose that name
    assert "[bold]" in listed.stdout
    assert len(json.loads(run("connections-list", table, "--json").stdout)) == 15
    assert run("dynamodb-create", table, "connectionId").exit_code == 2


class Management:
    """`@connections` that remembers, or fails."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.calls: list[tuple[str, ...]] = []

    def post(self, connection_id: str, data: bytes) -> None:
        self.calls.append(("post", connection_id, data.decode()))
        if self.error:
            raise self.error

    def disconnect(self, connection_id: str) -> None:
        self.calls.append(("disconnect", connection_id))
        if self.error:
            raise self.error


@pytest.fixture
def management(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Management, list[str]]]:
    def replace(error: Exception | None = None) -> tuple[Management, list[str]]:
        fake, urls = Management(error), []

        def make(_: aws.AwsSession, url: str) -> Management:
            urls.append(url)
            return fake

        monkeypatch.setattr(aws.AwsSession, "management", make)
        return fake, urls

    return replace


@pytest.mark.parametrize("connection", ["L0SM9cOFvHcCIhw=", "-jabc=", "--help-me=", "-h="])
def test_a_frame_and_a_disconnect_whatever_the_id_looks_like(run: Run, management: Any, connection: str) -> None:
    """CL3; ids are base64 and may begin with a hyphen."""
    fake, urls = management()
    url = ("--management-url", "https://example.org/prod")
    assert run("connection-send", *url, "api", "prod", connection, '{"message":"Hello"}').exit_code == 0
    assert run("connection-disconnect", *url, "api", "prod", connection).exit_code == 0
    assert fake.calls == [("post", connection, '{"message":"Hello"}'), ("disconnect", connection)]
    assert urls == [url[1], url[1]]


def test_the_management_address_is_found(run: Run, management: Any, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, urls = management()
    missing = run("connection-send", api, "prod", "c", "x")
    assert missing.exit_code == 2
    assert "has no stage 'prod'" in missing.stderr
    run("ws-deploy", api, "prod")
    assert run("connection-send", api, "prod", "c", "x").exit_code == 0
    assert "there is no API with the id 'nope'" in run("connection-send", "nope", "prod", "c", "x").stderr
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert run("connection-send", "abc", "prod", "c", "x").exit_code == 0
    assert urls[0].startswith("http://")
    assert urls[0].endswith("/prod")
    assert urls[1] == "https://abc.execute-api.ap-northeast-1.amazonaws.com/prod"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionGoneError("c"), "connection c is gone"),
        (SendFailedError("c", "ForbiddenException", retryable=False), "--management-url names another address"),
        (SendFailedError("c", "BadRequestException", retryable=False), "is that a connection's id?"),
    ],
)
def test_a_connection_that_cannot_be_reached_is_one_line_and_a_hint(
    run: Run, management: Any, error: Exception, words: str
) -> None:
    management(error)
    failed = run("connection-send", "api", "prod", "c", "x", "--management-url", "https://example.org/prod")
    assert failed.exit_code == 2
    assert words in failed.stderr
    assert "hint: " in failed.stderr
    assert failed.stdout == ""


def test_a_message_beyond_128_kb_is_not_even_sent(run: Run, management: Any) -> None:
    fake, _ = management()
    failed = run("connection-send", "a", "prod", "c", "x" * 131_073, "--management-url", "https://example.org/p")
    assert failed.exit_code == 2
    assert "128 KB" in failed.stderr
    assert fake.calls == []
    sent = run("connection-send", "a", "prod", "c", "x" * 131_072, "--management-url", "https://example.org/p")
    assert sent.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["connections-list", "nope"], "there is no table 'nope'"),
        (["dynamodb-scan", "nope"], "there is no table 'nope'"),
        (["ws-delete", "nope", "--yes"], "there is no API 'nope'"),
        (["ws-get-url", "nope", "prod"], "there is no API 'nope'"),
        (["ws-add-route", "nope", "r", "not-an-arn"], "is no ARN"),
        (["lambda-logs", "nope"], "there is no function 'nope'"),
        (["lambda-update", "nope", "nowhere.zip"], "cannot read nowhere.zip"),
        (["lambda-create", "nope", __file__, "h", "r"], "is no zip file"),
        (["deploy", "bad name"], "is no stack name"),
        (["deploy", "x", "--app", "nope"], "there is no application 'nope'"),
        (["deploy", "x", "--jwt-secret", "short"], "too short"),
        (["deploy", "x", "--env", "nope"], "NAME=VALUE"),
        (["deploy", "x", "--env", "LEGACY_WS_JWT_SECRET=x"], "every function"),
        (["deploy", "x", "--runtime", "nodejs22.x"], "is not supported"),
        (["status", "--profile", "nope"], "(nope)"),
        (["status", "--region", "a b"], "is no AWS region"),
        (["deploy", "x", "--region", "tokyo"], "is no AWS region"),
        (["deploy", "x", "--stage", "a/b"], "is no name of a stage"),
        (["deploy", "x", "--env", "LEGACY_WS_FANOUT_WORKER=4"], "there is no setting"),
        (["deploy", "x", "--throttle-rate", "0"], "let nobody say anything"),
        (["deploy", "x", "--app", "direct", "--jwt-secret", "s" * 32], "--jwt-secret would change nothing"),
        (["token", "nope", "a"], "there is no stack 'nope'"),
        (["status", "--endpoint-url", "nope"], "is no URL"),
        (["dynamodb-create", "t", "pk", "--sort-key", "s:X"], "is no type of a key"),
    ],
)
def test_mistakes_are_one_line_and_a_hint(run: Run, arguments: list[str], words: str) -> None:
    failed = run(*arguments)
    assert failed.exit_code == 2, failed.output
    assert words in failed.stderr
    assert "hint: " in failed.stderr
    assert failed.stdout == ""


def test_an_endpoint_that_does_not_answer_is_named(run: Run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    failed = run("ws-list", "--endpoint-url", address)
    assert failed.exit_code == 2
    assert f"{address} does not answer" in failed.stderr
    assert "hint: is the local AWS up" in failed.stderr


def test_missing_credentials_are_said_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    failed = run("ws-list")
    assert failed.exit_code == 2
    assert "no usable AWS credentials" in failed.stderr


def test_a_secret_of_the_environment_gives_way_to_an_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """CL1: what is typed counts. The second command has no use for a secret, and says nothing about it."""
    monkeypatch.setenv("LEGACY_WS_JWT_SECRET", "s" * 32)
    deployed = run("deploy", "clijwks", "--jwks-url", "http://127.0.0.1:9/keys", "--json")
    assert deployed.exit_code == 0, deployed.stderr
    assert "LEGACY_WS_JWT_SECRET of the environment is not used" in deployed.stderr
    variables = boto3.client("lambda").get_function_configuration(FunctionName="clijwks-authorizer")["Environment"][
        "Variables"
    ]
    assert variables == {"LEGACY_WS_JWKS_URL": "http://127.0.0.1:9/keys"}
    run("destroy", "clijwks", "--yes")
    other = run("deploy", "clipool", "--app", "direct")
    assert other.exit_code == 0, other.stderr
    run("destroy", "clipool", "--yes")


def test_ctrl_c_says_how_to_go_on_and_status_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """CL1: nobody has to remember which application it was."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("legacy_ws.deploy.api.ensure_route", interrupt)
        stopped = run("deploy", "clistop", "--app", "layers", "--jwt-secret", "s" * 32)
    assert stopped.exit_code == 130
    assert "error: stopped" in stopped.stderr
    assert "hint: run the same command again to continue" in stopped.stderr
    shown = run("status", "clistop").stdout
    assert "clistop (layers)" in shown
    assert "`legacy-ws deploy clistop` completes it, `legacy-ws destroy clistop` removes what there is" in shown
    assert run("deploy", "clistop").exit_code == 0
    assert "complete" in run("status", "clistop").stdout

    with monkeypatch.context() as patch:
        patch.setattr("legacy_ws.deploy.destroy._delete_role", interrupt)
        stopped = run("destroy", "clistop", "--yes")
    assert stopped.exit_code == 130
    assert "run the same command again" in stopped.stderr
    assert "`legacy-ws destroy clistop` removes what there is" in run("status", "clistop").stdout
    assert run("destroy", "clistop", "--yes").exit_code == 0
