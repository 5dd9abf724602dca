"""`migrate cutover`, `rollback`, `journal`: gates, steps, the way back, two operators, refusals. until phase 3"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config import load_config
from migrate.config.model import Api, Feature, Gates, Identity, Project, Settings, Sse, Table
from migrate.config.model import Cutover as CutoverSettings
from migrate.config.write import to_toml
from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.cutover.budget import Counts, Share, Window, read_counts
from migrate.cutover.gates import State, budget_gate
from migrate.cutover.run import Cutover
from migrate.cutover.users import connected_users
from migrate.errors import GateClosedError, InconclusiveError, RefusedError
from sse_service.flags import PARTITION, FlagSet

pytestmark = pytest.mark.integration

MIGRATE = str(Path(sys.executable).parent / "migrate")
WAIT_S = 20.0
USERS = [f"user-{n}" for n in range(200)]


class Metrics:
    """A service's /metrics: total and failed are what the test says."""

    def __init__(self) -> None:
        self.total, self.failed = 1000, 0
        self.text: str | None = None
        metrics = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = (
                    f"# HELP x\nprocess_start_time_seconds 1.7e+09\n"
                    f'sse_http_requests_total{{method="GET",status="200"}} {metrics.total - metrics.failed}.0\n'
                    f'sse_http_requests_total{{method="POST",status="503"}} {metrics.failed}.0\n'
                    "sse_open_streams 3.0\nsse_virtual_streams 4.0\n"
                ).encode()
                if metrics.text is not None:
                    body = metrics.text.encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its name there

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        if not self.thread.is_alive():
            return
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@dataclass
class World:
    table: ControlTable
    metrics: Metrics
    path: Path
    dynamodb: Any
    env: dict[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> Flags:
        return Flags(self.table)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.path)])
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        return done.exit_code, done.stdout, done.stderr

    def verdict(self, verdict: str = "pass", *, ago_s: float = 10, expected: int = 5000, **more: Any) -> None:
        now = time.time()
        self.table.put(
            {
                "pk": "verdict#chat",
                "sk": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{time.time_ns() % 10**9:09d}Z",
                "verdict": verdict,
                "run_id": "r1",
                "made_at": now,
                "window": [now - ago_s - 60, now - ago_s],
                "expected": expected,
                "loss_upper": 0.0001,
                "complete": True,
                "reasons": [] if verdict == "pass" else ["1 in 500 is missing"],
                "digest": "d",
                "actor": "tester",
                **more,
            }
        )

    def percents(self) -> dict[str, float]:
        return {tenant: flag.percent for tenant, flag in self.flags.of("chat").items()}

    def actions(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.outcome) for entry in Journal(self.table).entries()][::-1]

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return found

    def config(self, **gates: Any) -> Any:
        settings = Settings(
            project=Project(name="test", state_table=self.table.name),
            api=Api(id="abc123", stage="prod", region="eu-west-1", endpoint_url=self.env["AWS_ENDPOINT_URL"]),
            sse=Sse(url=self.metrics.url, default_tenant="demo"),
            identity=Identity(),
            tables=(
                Table(name="connections", role="connections", key="connectionId", user="userId", tenant="tenantId"),
            ),
            features=(Feature(name="chat"), Feature(name="files")),
            gates=Gates(**gates),
            cutover=CutoverSettings(steps=(1.0, 50.0, 100.0), hold_s=0.2),
        )
        self.path.write_text(to_toml(settings), encoding="utf-8")
        return load_config(self.path)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def world(moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    env = {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "MIGRATE_ACTOR": "tester",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    dynamodb = boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=moto_url)
    table = ControlTable(dynamodb, f"state-{time.time_ns()}")
    table.ensure()
    metrics = Metrics()
    made = World(table, metrics, tmp_path / "migrate.toml", dynamodb, env)
    made.config()
    yield made
    # Also the one that a test has put in its place: a thread that nobody ends keeps the whole run from ending.
    made.metrics.stop()
    metrics.stop()


@pytest.fixture
def connections(world: World) -> Iterator[None]:
    world.dynamodb.create_table(
        TableName="connections",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
    )
    for n, user in enumerate([*USERS, USERS[0]]):  # one of them with two devices
        item = {"connectionId": {"S": f"c{n}"}, "userId": {"S": user}, "tenantId": {"S": "acme" if n % 2 else "demo"}}
        world.dynamodb.put_item(TableName="connections", Item=item)
    yield
    world.dynamodb.delete_table(TableName="connections")


# Gates --------------------------------------------------------------------------------------------------------


def test_nothing_is_done_without_execute(world: World, connections: None) -> None:
    world.verdict()
    code, said, told = world.run("cutover", "chat", "--percent", "50", "--json")
    assert code == 0, told
    plan = json.loads(said)
    [step] = plan["steps"]
    assert plan["executed"] is False
    assert step["connected_users"] == 200
    assert 70 < step["to_sse"] < 130
    assert step["to_sse"] == step["on_sse"]
    assert {gate["state"] for gate in plan["gates"]} == {"open"}
    assert "nothing was done: --execute does it" in told
    assert (world.percents(), world.actions()) == ({}, [])


def test_users_move_and_the_service_decides_as_the_flag_says(world: World) -> None:
    world.verdict()
    assert world.run("cutover", "chat", "--percent", "50", "--execute")[0] == 0
    items = world.dynamodb.query(
        TableName=world.table.name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": PARTITION}},
    )["Items"]
    known, problems = FlagSet("websocket").read(items)
    assert problems == []
    half = {user for user in USERS if known.decide("chat", "demo", user).transport == "sse"}
    assert 70 < len(half) < 130
    assert world.run("cutover", "chat", "--percent", "10", "--execute")[0] == 0
    salt = world.flags.of("chat")["*"].salt
    assert world.run("cutover", "chat", "--percent", "100", "--execute", "--note", "all of it")[0] == 0
    flag = world.flags.of("chat")["*"]
    assert (flag.percent, flag.epoch, flag.state, flag.updated_by, flag.note) == (
        100,
        3,
        "moved",
        "tester",
        "all of it",
    )
    assert flag.salt == salt
    assert world.actions() == [("cutover", "done")] * 3
    last = next(Journal(world.table).entries())
    assert last.arguments == {"feature": "chat", "percent": 100.0, "note": "all of it"}
    assert last.facts["from_percent"] == 10


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda world: None, 4, "nothing was compared"),
        (lambda world: world.verdict("fail"), 3, "1 in 500 is missing"),
        (lambda world: world.verdict("inconclusive"), 4, "inconclusive"),
        (lambda world: world.verdict(ago_s=7200), 4, "old"),
        (lambda world: world.verdict(expected=10), 4, "min_samples"),
        (lambda world: world.verdict(complete=False), 3, "incomplete"),
        (lambda world: world.verdict(tenant="acme"), 4, "nothing was compared"),
    ],
)
def test_a_gate_that_is_not_open_lets_nobody_over(
    world: World, make: Callable[[World], None], code: int, said: str
) -> None:
    make(world)
    got, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert got == code
    assert said in told
    assert "hint:" in told
    assert world.percents() == {}
    assert world.actions() == [("cutover", "refused")]


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda world: None, 4, "nothing was compared"),
        (lambda world: world.verdict("fail"), 3, "1 in 500 is missing"),
    ],
)
def test_the_dry_run_ends_as_the_real_one_would(
    world: World, connections: None, make: Callable[[World], None], code: int, said: str
) -> None:
    """It shows everything first, and sends nobody to --execute, which would be refused."""
    make(world)
    got, shown, told = world.run("cutover", "chat", "--percent", "50", "--json")
    assert got == code
    assert json.loads(shown)["executed"] is False
    assert f"--execute would be refused (exit code {code}): nobody is moved: comparison: " in told
    assert said in told
    assert "--execute does it" not in told
    assert world.run("cutover", "chat", "--steps")[0] == code
    got, _, told = world.run("cutover", "chat", "--percent", "50", "--without-gate", "comparison", "--note", "I know")
    assert (got, "--execute does it" in told) == (0, True)
    # Down needs no gate.
    Flags(world.table).change("chat", "*", 50, None)
    got, _, told = world.run("cutover", "chat", "--percent", "10")
    assert (got, "--execute does it" in told) == (0, True)


def test_before_there_is_a_shared_state_the_dry_run_says_what_is_lacking(world: World) -> None:
    """The first --execute makes the table, and is then refused all the same."""
    text = world.path.read_text(encoding="utf-8")
    world.path.write_text(text.replace(f'"{world.table.name}"', '"not-yet"'), encoding="utf-8")
    got, _, told = world.run("cutover", "chat", "--percent", "50")
    assert got == 4, told
    assert "there is no table not-yet" in told
    assert "nothing was compared" in told


def test_what_opens_the_gate_is_named_in_its_order(world: World) -> None:
    """Without records `migrate compare` only probes, which opens nothing: first comes what records."""
    told = world.run("cutover", "chat", "--percent", "1", "--execute")[2]
    assert "hint: `migrate shadow start`" in told
    run = world.path.parent / world.config().settings.project.records / "run-1"
    (run / "deliveries").mkdir(parents=True)
    told = world.run("cutover", "chat", "--percent", "1", "--execute")[2]
    assert "hint: run `migrate compare`" in told
    assert "shadow" not in told


def test_errors_of_the_service_and_vetoes_of_hooks_shut_as_well(world: World, tmp_path: Path) -> None:
    world.verdict()
    world.metrics.failed = 50
    code, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert (code, "50 of 1000 requests failed" in told) == (3, True)
    world.metrics.failed = 0
    veto = tmp_path / "veto.py"
    veto.write_text(
        "import os, sys\nprint(os.environ['MIGRATE_FEATURE'], os.environ['MIGRATE_PERCENT'])\nsys.exit('not today')\n"
    )
    world.config(hooks=(f"{sys.executable} {veto}",))
    code, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert (code, "not today" in told) == (3, True)
    world.config(hooks=("/no/such/hook",))
    assert world.run("cutover", "chat", "--percent", "1", "--execute")[0] == 3
    world.config(hooks=(f"{sys.executable} -c pass",))
    assert world.run("cutover", "chat", "--percent", "1", "--execute")[0] == 0
    world.metrics.stop()
    code, _, told = world.run("cutover", "chat", "--percent", "10", "--execute")
    assert (code, "does not answer" in told) == (3, True)
    # Fewer is a way back, and needs no gate.
    assert world.run("cutover", "chat", "--percent", "0.5", "--execute")[0] == 0
    assert world.percents() == {"*": 0.5}
    world.metrics = Metrics()


def test_a_gate_can_be_left_out_by_name_with_a_reason(world: World) -> None:
    assert world.run("cutover", "chat", "--percent", "1", "--execute", "--without-gate", "comparison")[0] == 2
    wrong = ("--without-gate", "nonsense", "--note", "x")
    assert world.run("cutover", "chat", "--percent", "1", "--execute", *wrong)[0] == 2
    why = ("--without-gate", "comparison", "--note", "a pilot of two people")
    assert world.run("cutover", "chat", "--percent", "1", "--execute", *why)[0] == 0
    assert next(Journal(world.table).entries()).arguments["without_gates"] == ["comparison"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("cutover", "chat", "--percent", "150", "--execute"), 2),
        (("cutover", "chat", "--percent", "-1", "--execute"), 2),
        (("cutover", "chat", "--percent", "nan", "--execute"), 2),
        (("cutover", "nope", "--percent", "1", "--execute"), 2),
        (("cutover", "chat", "--execute"), 2),
        (("cutover", "chat", "--percent", "1", "--steps"), 2),
        (("cutover", "chat", "--percent", "1", "--tenant", "*"), 2),
        (("rollback", "nope"), 2),
        (("journal", "--since", "yesterday"), 2),
    ],
)
def test_what_makes_no_sense_changes_nothing(world: World, arguments: tuple[str, ...], code: int) -> None:
    world.verdict()
    got, _, told = world.run(*arguments)
    assert got == code, told
    assert told.strip()
    assert world.flags.all() == []


def test_without_a_table_and_without_a_permission(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.dynamodb.delete_table(TableName=world.table.name)
    for arguments in (("cutover", "status"), ("rollback", "chat"), ("journal",)):
        code, _, told = world.run(*arguments)
        assert (code, "there is no table" in told, "hint:" in told) == (2, True, True), told
    code, said, told = world.run("cutover", "chat", "--percent", "1")
    assert (code, "stands at 0 %" in said, "there is no table" in told) == (4, True, True)


# Steps, watch, return ---------------------------------------------------------------------------------------------


def _cutover(world: World, **more: Any) -> tuple[Cutover, list[str]]:
    said: list[str] = []
    config = load_config(world.path)
    return Cutover(config, world.table, "chat", None, say=said.append, look_s=0.02, **more), said


def test_steps_are_held_and_reach_the_end(world: World) -> None:
    world.verdict()
    run, said = _cutover(world)
    begun = time.monotonic()
    run.steps((1.0, 50.0, 100.0), 0.2)
    assert time.monotonic() - begun >= 0.6
    assert world.percents() == {"*": 100}
    assert [line for line in said if "->" in line] == ["chat: 0 % -> 1 %", "chat: 1 % -> 50 %", "chat: 50 % -> 100 %"]
    assert any("7 streams open" in line for line in said)
    assert world.actions() == [("cutover-steps", "done"), *[("cutover", "done")] * 3]


@pytest.mark.parametrize("what", ["comparison", "errors", "hook", "away"])
def test_a_gate_that_breaks_while_users_are_over_brings_everybody_back(world: World, what: str, tmp_path: Path) -> None:
    world.verdict()
    flag = tmp_path / "broken"
    config = world.config(hooks=(f"test ! -e {flag}",))
    run = Cutover(config, world.table, "chat", None, look_s=0.02)
    Flags(world.table).change("chat", "acme", 70.0, None)
    failed: list[BaseException] = []

    def steps() -> None:
        try:
            run.steps((50.0, 100.0), 600.0)
        except GateClosedError as error:
            failed.append(error)

    running = threading.Thread(target=steps)
    running.start()
    world.until(lambda: world.percents().get("*") == 50)
    broken_at = time.monotonic()
    if what == "comparison":
        world.verdict("fail")
    elif what == "errors":
        world.metrics.total, world.metrics.failed = 1100, 60
    elif what == "hook":
        flag.touch()
    else:
        world.metrics.stop()
    world.until(lambda: world.percents() == {"*": 0, "acme": 0})
    assert time.monotonic() - broken_at < 10  # the promise of the guide
    running.join(WAIT_S)
    assert "everybody is back" in str(failed[0])
    assert world.flags.of("chat")["*"].state == "returned"
    assert ("cutover-return", "done") in world.actions()
    # Again to the end, once it is mended.
    if what == "away":
        world.metrics = Metrics()
        world.config()
    flag.unlink(missing_ok=True)
    world.metrics.failed = 0
    world.verdict()
    again, _ = _cutover(world)
    again.steps((50.0, 100.0), 0.1)
    assert world.percents()["*"] == 100


def test_an_old_comparison_stops_the_next_step_and_brings_nobody_back(world: World) -> None:
    world.verdict()
    run, _ = _cutover(world)
    run.to(1.0)
    world.verdict(ago_s=9000)
    with pytest.raises(InconclusiveError):
        run.steps((1.0, 50.0), 0.05)
    assert world.percents() == {"*": 1}


def test_a_run_that_was_killed_goes_on_with_the_same_command(world: World) -> None:
    world.verdict()
    command = [MIGRATE, "cutover", "chat", "--steps", "--hold", "600", "--execute", "--config", str(world.path)]
    killed = subprocess.Popen(command, env={**os.environ, **world.env}, stderr=subprocess.DEVNULL)
    try:
        world.until(lambda: world.percents() == {"*": 1})
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    run, _ = _cutover(world)
    # Its lock is that of a process which is no more.
    run.steps((1.0, 50.0, 100.0), 0.1)
    assert world.percents() == {"*": 100}
    assert ("cutover", "done") in world.actions()
    assert ("cutover-steps", "started") in world.actions()  # what was cut off is seen as that


def test_of_two_operators_one_is_refused(world: World) -> None:
    world.verdict()
    with Locks(world.table).hold("cutover of chat", "the other one"):
        code, _, told = world.run("cutover", "chat", "--percent", "10", "--execute")
        assert (code, "the other one" in told) == (5, True)
    assert world.percents() == {}
    seen = world.flags.change("chat", "*", 10.0, None)
    world.flags.change("chat", "*", 20.0, seen)
    with pytest.raises(RefusedError, match="was changed to 20 % by tester"):
        world.flags.change("chat", "*", 30.0, seen)
    with pytest.raises(RefusedError):
        world.flags.change("chat", "*", 30.0, None)
    assert world.percents() == {"*": 20}


def test_a_rollback_wins_over_a_run_and_needs_nothing(world: World) -> None:
    world.verdict()
    run, _ = _cutover(world)
    ended: list[str] = []

    def steps() -> None:
        try:
            run.steps((50.0, 100.0), 600.0)
        except RefusedError as error:
            ended.append(error.message)

    running = threading.Thread(target=steps)
    running.start()
    world.until(lambda: world.percents() == {"*": 50})
    world.flags.change("chat", "acme", 80.0, None)
    code, said, _ = world.run("rollback", "chat", "--note", "complaints", "--json")
    assert code == 0
    assert {one["tenant"]: one["percent"] for one in json.loads(said)["flags"]} == {"*": 0, "acme": 0}
    running.join(WAIT_S)
    assert not running.is_alive()
    assert "was changed by tester" in ended[0]
    assert world.percents() == {"*": 0, "acme": 0}
    entry = next(one for one in Journal(world.table).entries() if one.action == "rollback")
    assert entry.facts["from_percent"] == {"*": 50, "acme": 80}
    world.metrics = Metrics()


def test_rollback_in_every_state(world: World) -> None:
    for percent in (None, 1.0, 100.0):
        if percent is not None:
            world.flags.change("chat", "*", percent, world.flags.get("chat"))
        assert world.run("rollback", "chat")[0] == 0
        assert world.run("rollback", "chat")[0] == 0
        assert world.percents() == {"*": 0}
    world.flags.change("chat", "*", 60.0, world.flags.get("chat"))
    assert world.run("rollback", "chat", "--tenant", "acme")[0] == 0
    assert world.percents() == {"*": 60, "acme": 0}
    # The tenant's flag is newer than what its clients have heard: its epoch is higher, whatever its own number was.
    assert world.flags.of("chat")["acme"].epoch > world.flags.of("chat")["*"].epoch


def test_status_and_journal_show_what_was_done(world: World) -> None:
    world.verdict()
    world.run("cutover", "chat", "--percent", "10", "--execute", "--note", "first\nten")
    world.run("cutover", "files", "--percent", "10", "--execute")
    status = json.loads(world.run("cutover", "status", "--json")[1])
    chat, files = status["features"]
    assert (chat["feature"], chat["flags"][0]["percent"], chat["running"]) == ("chat", 10, None)
    assert files["flags"] == []
    text = world.run("cutover", "status")[1]
    assert "10 %" in text
    assert "nothing was compared" in text
    entries = json.loads(world.run("journal", "--json")[1])["entries"]
    assert [(one["action"], one["outcome"]) for one in entries] == [("cutover", "refused"), ("cutover", "done")]
    assert {"actor", "started_at", "ended_at", "arguments", "digest", "facts"} <= entries[0].keys()
    shown = world.run("journal", "--limit", "1", "--since", "1h")[1]
    assert "files" in shown
    assert "chat" not in shown.splitlines()[0]
    assert world.run("journal", "--since", "2099-01-01")[1] == "nothing was done since then\n"


# Figures ------------------------------------------------------------------------------------------------------------


def test_counters_of_several_instances_are_told_apart() -> None:
    window = Window(60)
    assert window.add(0, Counts("a", 1000, 900, 1)) == Share(0, 0, "in the last 0 s")
    assert window.add(1, Counts("b", 10, 9, 1)).total == 0
    share = window.add(2, Counts("a", 1100, 901, 1))
    assert (share.total, share.failed) == (100, 1)
    assert window.add(90, Counts("a", 1200, 901, 1)).total == 0  # what came before has left the window


def test_what_metrics_say() -> None:
    text = (
        "# TYPE sse_http_requests_total counter\nprocess_start_time_seconds 1.79e+09\n"
        'sse_http_requests_total{method="GET",status="200"} 10.0\n'
        'sse_http_requests_total{method="GET",status="500"} 2.0\n'
        'sse_virtual_failures_total{kind="timeout"} 3.0\nsse_virtual_failures_created{kind="timeout"} 1.7e+09\n'
        "sse_publish_failures_total 1.0\nsse_open_streams 5.0\nsse_virtual_streams 6.0\n"
    )
    assert read_counts(text) == Counts("1.79e+09", 12, 6, 11)


@pytest.mark.parametrize(
    ("share", "state"),
    [
        (Share(0, 0, ""), State.OPEN),
        (Share(10, 1, ""), State.OPEN),
        (Share(10, 3, ""), State.SHUT),
        (Share(1000, 2, ""), State.SHUT),
        (Share(10000, 2, ""), State.OPEN),
        ("away", State.SHUT),
    ],
)
def test_the_error_budget(share: Share | str, state: State) -> None:
    assert budget_gate(share, 0.001).state is state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello world\n<html> text</html>\n",
        "up 1\n",
        # An exporter of something else has a start, too.
        "process_start_time_seconds 1.79e+09\nhttp_requests_total 5\n",
        "process_start_time_seconds 1.79e+09\nsse_open_streams NaN\n",
        "process_start_time_seconds x\nsse_open_streams 1\n",
    ],
)
def test_what_is_no_metrics_of_the_service_says_nothing(text: str) -> None:
    """A page of some proxy, answered with 200, was "0 of 0 requests failed", and the gate was open."""
    assert read_counts(text) is None


def test_the_gate_is_shut_where_metrics_say_nothing(world: World) -> None:
    world.verdict()
    world.metrics.text = "<!doctype html>\n<title>please sign in</title>\nhello world\n"
    code, _, stderr = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert (code, world.percents()) == (3, {})
    assert "error-budget" in stderr


def test_a_table_that_is_away_for_a_moment_does_not_end_the_watch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch ended with an error, and nobody was brought back when a gate broke after that."""
    world.verdict()
    world.config()
    run, said = _cutover(world)
    run.to(50.0)
    real, asked = world.dynamodb.query, 0

    def query(**arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked <= 3:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "Query")
        if asked == 4:
            world.verdict("fail")
        return real(**arguments)

    monkeypatch.setattr(world.dynamodb, "query", query)
    with pytest.raises(GateClosedError, match="everybody is back"):
        run.watch()
    assert world.percents() == {"*": 0}
    assert any("ProvisionedThroughputExceededException" in line for line in said)


def test_a_held_step_outlasts_it_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.verdict()
    run, _ = _cutover(world)
    real, asked = world.dynamodb.query, 0

    def query(**arguments: Any) -> Any:
        nonlocal asked
        if run.percent == 1 and asked < 2:
            asked += 1
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        return real(**arguments)

    monkeypatch.setattr(world.dynamodb, "query", query)
    run.steps((1.0, 50.0), 0.3)
    assert (asked, world.percents()) == (2, {"*": 50})


def test_a_rollback_finds_a_flag_that_is_made_at_the_same_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second operator moves one tenant while everybody is brought back."""
    world.flags.change("chat", "*", 50.0, None)
    flags, real = world.flags, Flags._one_back

    def one_back(self: Flags, feature: str, tenant: str, note: str) -> Any:
        if not self.get(feature, "late"):
            world.flags.change(feature, "late", 10.0, None)
        return real(self, feature, tenant, note)

    monkeypatch.setattr(Flags, "_one_back", one_back)
    flags.back("chat")
    assert world.percents() == {"*": 0, "late": 0}


@pytest.mark.parametrize("percent", ["nan", "NaN", "inf"])
def test_no_number_is_no_percentage(world: World, percent: str) -> None:
    world.verdict()
    code, _, stderr = world.run("cutover", "chat", "--percent", percent, "--execute")
    assert (code, world.percents(), world.actions()) == (2, {}, [])
    assert "percent" in stderr


def test_an_empty_hook_is_a_closed_gate_and_no_traceback(world: World) -> None:
    world.verdict()
    world.config(hooks=("",))
    code, _, stderr = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert code in {2, 3}, stderr
    assert world.percents() == {}


def test_users_are_counted_where_the_user_is_the_key() -> None:
    """DynamoDB refuses a projection that names an attribute twice: "Two document paths overlap with each other"."""
    asked: list[dict[str, Any]] = []

    class Client:
        def scan(self, **arguments: Any) -> dict[str, Any]:
            asked.append(arguments)
            return {"Items": [{"userId": {"S": "ann"}}]}

    class Stack:
        tables = (Table(name="people", role="connections", key="userId", user="userId", tenant="userId"),)
        sse = Sse(default_tenant="demo")

        def client(self, _: str) -> Client:
            return Client()

    assert list(connected_users(Stack())) == [("ann", "ann")]  # type: ignore[arg-type]  # what it needs of a Config
    names = asked[0]["ExpressionAttributeNames"]
    assert sorted(names.values()) == ["userId"]
    assert set(asked[0]["ProjectionExpression"].split(", ")) == set(names)
