"""A sweep as operators run it: shares, two at once, refusals, pace from elsewhere (MG11). until phase 3"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config import Config
from migrate.config.model import Api, Cleanup, Project, Settings, Table
from migrate.config.write import to_toml
from migrate.control.locks import Locks
from migrate.errors import RefusedError
from migrate.sweep import job as job_module
from migrate.sweep.job import Sweep, status_of
from migrate.tables.gateway import Answer, Verdict

from .conftest import REGION, Bench, Gateway, connection

Make = Callable[..., Bench]
ALIVE = connection("alive")


class Stack:
    """A table with a living connection and ghosts, and the settings that describe it."""

    def __init__(self, table: Bench, gateway: Gateway, folder: Path) -> None:
        self.bench, self.gateway, self.folder = table, gateway, folder
        settings = Settings(
            project=Project(name="chat", state_table="state"),
            api=Api(id="a1", stage="prod", region=REGION, management_url="http://127.0.0.1:9/prod"),
            tables=(table.table,),
            cleanup=Cleanup(get_connection_per_s=1e6, delete_per_s=1e6, settle_s=0.0, segments=4),
        )
        self.config = Config(settings, folder / "migrate.toml")
        self.config.path.write_text(to_toml(settings), encoding="utf-8")
        table.put({"id": {"S": ALIVE}}, *({"id": {"S": connection(one)}} for one in range(40)))
        gateway.living = {ALIVE}

    def sweep(self, **options: Any) -> Sweep:
        return Sweep(self.config, self.config.tables[0], self.bench.control, **options)

    def ids(self) -> set[str]:
        return {item["id"]["S"] for item in self.bench.items().values()}


@pytest.fixture
def stack(bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    gateway = Gateway()
    monkeypatch.setattr(job_module, "Gateway", lambda _: gateway)
    return Stack(bench(key="id"), gateway, tmp_path)


def test_machines_share_it(stack: Stack) -> None:
    """MG11: --segment i/n: the sweep is finished when the last share is."""
    first = stack.sweep(part=1, parts=3).execute()
    assert not first.finished
    assert stack.sweep(part=2, parts=3).execute().job == first.job
    assert stack.sweep(part=3, parts=3).execute().finished
    assert stack.ids() == {ALIVE}
    status = status_of(stack.bench.control, "Connections")
    assert (status["status"], status["done"], status["counts"]["deleted"]) == ("done", 4, 40)
    # The next one is another sweep.
    assert stack.sweep().execute().job != first.job


def test_two_operators_at_once(stack: Stack) -> None:
    """MG11: the second is refused with the first one's name."""
    with Locks(stack.bench.control).hold("sweep-Connections-2", "ann@machine"), pytest.raises(RefusedError) as refused:
        stack.sweep().execute()
    assert "ann@machine" in refused.value.message
    assert len(stack.ids()) == 41


def test_a_gateway_that_does_not_know_the_stage(stack: Stack) -> None:
    """MG11: 403 about everything would keep everything; 200 about everything is no gateway. Both are refused."""
    nobody = "AAAAAAAAAAAAAAA="
    stack.gateway.unknown = {nobody: "ForbiddenException"}
    with pytest.raises(RefusedError, match="ForbiddenException"):
        stack.sweep().execute()
    stack.gateway.unknown = {}
    stack.gateway.living.add(nobody)
    with pytest.raises(RefusedError, match="should say 410"):
        stack.sweep().execute()


def test_a_table_of_two_apis_is_refused(stack: Stack) -> None:
    """MG11: the other API's connections would look gone; once its address is named, they are asked about there."""
    other = _other_api("Connections")
    with pytest.raises(RefusedError, match="used by other WebSocket APIs: other"):
        stack.sweep().execute()
    assert len(stack.ids()) == 41
    # Asked as well, it is no danger any more.
    cleanup = replace(stack.config.cleanup, also_ask=(f"https://{other}.execute-api.example/prod",))
    stack.config = replace(stack.config, settings=replace(stack.config.settings, cleanup=cleanup))
    assert stack.sweep().execute().finished
    boto3.client("apigatewayv2", REGION).delete_api(ApiId=other)


def _other_api(table: str) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.py", "")
    role = boto3.client("iam", REGION).create_role(
        RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )["Role"]["Arn"]
    function = boto3.client("lambda", REGION).create_function(
        FunctionName="other", Runtime="python3.12", Role=role, Handler="a.b", Code={"ZipFile": buffer.getvalue()},
        Environment={"Variables": {"T": table}},
    )["FunctionArn"]  # fmt: skip
    gateway = boto3.client("apigatewayv2", REGION)
    api = gateway.create_api(Name="other", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    gateway.create_integration(ApiId=api["ApiId"], IntegrationType="AWS_PROXY", IntegrationUri=uri)
    return str(api["ApiId"])


def test_another_description_does_not_go_on(stack: Stack) -> None:
    """MG11: checkpoints of one shape mean nothing for another."""
    stack.sweep(part=1, parts=2).execute()
    changed = Table(name="Connections", role="connections", key="id", id_prefix="X#")
    other = Sweep(stack.config, changed, stack.bench.control)
    with pytest.raises(RefusedError, match="another description"):
        other.execute()


def test_it_is_stopped_and_changed_from_elsewhere(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG11: what `status` says reaches a running sweep, and its pace with the reason is shown."""
    monkeypatch.setattr(job_module, "_LOOK_S", 0.05)
    seen: dict[str, Any] = {}
    first = threading.Lock()

    def ask(one: str) -> Answer:
        # The sweep's own check comes before; of the questions, which come together, one speaks for all.
        if one != "AAAAAAAAAAAAAAA=" and first.acquire(blocking=False):
            control = stack.bench.control
            control.put({"pk": "sweep#Connections", "sk": "controls", "ask_per_s": 7.0})
            _until(lambda: any("7.0/s" in worker["reasons"]["ask"] for worker in _workers(stack)))
            seen["workers"] = _workers(stack)
            control.put({"pk": "sweep#Connections", "sk": "controls", "stop": True})
        if one != "AAAAAAAAAAAAAAA=":
            _until(sweep._stop.is_set)
        return Answer(Verdict.ALIVE if one == ALIVE else Verdict.GONE)

    stack.gateway.ask = ask  # type: ignore[method-assign]  # a slower one
    sweep = stack.sweep(segments=1)
    report = sweep.execute()
    assert seen["workers"][0]["part"] == "1/1"
    assert report.stopped
    assert not report.finished
    assert status_of(stack.bench.control, "Connections")["status"] == "interrupted"
    monkeypatch.setattr(stack.gateway, "ask", Gateway({ALIVE}).ask)
    assert stack.sweep().execute().finished
    assert stack.ids() == {ALIVE}


def _workers(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = status_of(stack.bench.control, "Connections").get("workers", [])
    return found


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not come to pass")


def test_the_command_line(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG11: dry by default; what is not known ends with exit code 4; restore is dry by default as well."""
    monkeypatch.chdir(stack.folder)

    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["cleanup", "connections", *arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    (dry,) = run()
    assert (dry["counts"]["gone"], dry["counts"]["alive"], dry["execute"]) == (40, 1, False)
    assert len(stack.ids()) == 41
    strange = connection(7)
    stack.gateway.unknown = {strange: "HTTP 500"}
    (swept,) = run("--execute", code=4)
    assert swept["unknown"] == {"HTTP 500": 1}
    assert stack.ids() == {ALIVE, strange}
    assert run("restore")["counts"]["put"] == 39
    assert stack.ids() == {ALIVE, strange}
    assert run("restore", "--execute")["counts"]["put"] == 39
    assert len(stack.ids()) == 41
    assert run("restore", "--execute")["counts"]["same"] == 39


def test_a_sweep_that_deleted_nothing_is_nothing_to_restore(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """`restore` ended with 2, "there is no export"."""
    monkeypatch.chdir(stack.folder)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["cleanup", "connections", *arguments], catch_exceptions=False)
        return done.exit_code, done.output

    stack.gateway.living = stack.ids()
    assert run("--execute")[0] == 0
    code, said = run("restore")
    assert (code, "the sweep deleted nothing, so there is nothing to restore" in said) == (0, True), said
    assert run("restore", "--execute")[0] == 0
    assert "nothing was deleted, so there is nothing to restore" in run("status")[1]
    done = CliRunner().invoke(app, ["cleanup", "connections", "restore", "--json"])
    assert json.loads(done.stdout)["counts"] == {}
    code, said = run("restore", "sweep-of-nobody")
    assert (code, "there is no export" in said) == (2, True)


def test_an_export_that_is_elsewhere_is_not_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed behind the deletion and before the checkpoint, finished on this machine: the counts say that nothing was
    exported."""
    monkeypatch.chdir(stack.folder)
    stack.gateway.living = stack.ids()
    report = stack.sweep().execute()
    note = {"pk": f"export#{report.job}", "sk": "20260101T000000.000000Z-1", "host": "the-other-machine", "at": 1}
    stack.bench.control.put(note)
    done = CliRunner().invoke(app, ["cleanup", "connections", "restore"])
    assert done.exit_code == 2
    assert "the-other-machine" in done.output
    assert "the-other-machine" in CliRunner().invoke(app, ["cleanup", "connections", "status"]).output
    # A part of it here, a part there.
    stack.gateway.living = {ALIVE}
    report = stack.sweep().execute()
    stack.bench.control.put({**note, "pk": f"export#{report.job}"})
    done = CliRunner().invoke(app, ["cleanup", "connections", "restore", "--execute"])
    assert done.exit_code == 0
    assert "the-other-machine exported as well" in done.output


def test_a_wrong_share_is_named(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stack.folder)
    for share in ("3/2", "0/2", "x", "1"):
        done = CliRunner().invoke(app, ["cleanup", "connections", "--segment", share])
        assert done.exit_code == 2
        assert share in done.output
