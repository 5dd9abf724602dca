"""`migrate init` and `check-config` on deployed stacks unlike ours (MG1). until phase 3"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config import load_config

from .conftest import IDS, SECRET, Stack, client


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(table: str, *items: dict[str, Any]) -> None:
    for item in items:
        client("dynamodb").put_item(TableName=table, Item=item)


def test_one_table_with_prefixes_and_a_numeric_sort_key(stack: Stack) -> None:
    """MG1: rows by prefix, composite key with a number, user by an index, TTL; another kind of row beside them."""
    stack.table("app", ("pk", "S"), ("sk", "N"), index=("byOwner", "ownerId"))
    client("dynamodb").update_time_to_live(
        TableName="app", TimeToLiveSpecification={"Enabled": True, "AttributeName": "dies"}
    )
    put("app", *({"pk": {"S": f"WS#{one}"}, "sk": {"N": "1"}, "ownerId": {"S": "u"}} for one in IDS))
    put("app", *({"pk": {"S": f"ROOM#{one}"}, "sk": {"N": str(one)}} for one in range(3)))
    run("init", "--yes")
    config = load_config(Path("migrate.toml"))
    (table,) = config.tables
    assert (table.key, table.id_prefix, table.row_prefix, table.sort_key) == ("pk", "WS#", "WS#", "sk")
    assert (table.user, table.user_index, table.ttl, table.role) == ("ownerId", "byOwner", "dies", "connections")
    assert (config.api.id, config.api.stage, config.api.route_selection) == (stack.api, "live", "$request.body.op")
    assert [(one.types, one.type_field) for one in config.features] == [(("send",), "op"), (("status",), "op")]
    # What a rehearsal makes it with again.
    assert (table.key_types, table.indexes) == ({"sk": "N"}, {"byOwner": ["ownerId"]})
    routes = [key for function in config.functions for key in function.routes]
    assert sorted(routes) == ["$connect", "$default", "$disconnect", "send", "status"]
    assert all(one.runtime.startswith("python3") and one.handler == "app.handler" for one in config.functions)


def test_connections_inside_a_map(stack: Stack) -> None:
    """MG1: several connections per item."""
    stack.table("app", ("room", "S"))
    entry = {"M": {"cid": {"S": IDS[0]}, "since": {"N": "1"}}}
    put("app", {"room": {"S": "a"}, "online": {"M": {"alice": entry}}}, {"room": {"S": "b"}, "online": {"M": {}}})
    run("init", "--yes")
    (table,) = load_config(Path("migrate.toml")).tables
    assert (table.role, table.map_attribute, table.map_id, table.key) == ("connections", "online", "cid", "room")


def test_id_in_an_attribute_that_is_no_key(stack: Stack) -> None:
    """MG1: one row per user, the connection inside."""
    stack.table("app", ("userId", "S"))
    put("app", {"userId": {"S": "u"}, "ws": {"S": IDS[0]}, "connectedAt": {"N": "1"}})
    run("init", "--yes")
    (table,) = load_config(Path("migrate.toml")).tables
    assert (table.key, table.user, table.connected_at) == ("ws", "userId", "connectedAt")
    assert table.partition_key == "userId"


def test_no_secret_and_no_value_is_written(stack: Stack) -> None:
    """MG1: environments and sampled items are looked at only."""
    stack.table("app", ("connectionId", "S"))
    put("app", {"connectionId": {"S": IDS[0]}, "userId": {"S": "somebody-private"}})
    done = run("init", "--yes", "--json")
    written = Path("migrate.toml").read_text(encoding="utf-8") + done.output
    assert SECRET not in written
    assert "somebody-private" not in written
    assert IDS[0] not in written
    assert json.loads(done.stdout)["file"] == "migrate.toml"


def test_what_cannot_be_moved_is_named_with_what_to_do(aws: None) -> None:
    """MG1: HTTP, mock and AWS integrations, route responses, $default alone, a selection that is no JSON field."""
    stack = Stack(custom=(), selection="$context.routeKey")
    stack.table("app", ("connectionId", "S"))
    stack.route("out", kind="HTTP_PROXY", uri="https://backend.example/ws?key=abc")
    stack.route("quiet", kind="MOCK")
    route = stack.route("ask", stack.function("their-ask", {}))
    stack.gateway.create_route_response(ApiId=stack.api, RouteId=route, RouteResponseKey="$default")
    done = json.loads(run("init", "--yes", "--json").stdout)
    said = {one["what"]: one["do"] for one in done["not_moved"]}
    for part in ("HTTP_PROXY", "mock", "answers inside the exchange", "$context.routeKey"):
        assert any(part in what for what in said), (part, said)
    assert all(said.values())
    text = Path("migrate.toml").read_text(encoding="utf-8")
    assert "key=abc" not in text
    assert "answered by a mock" in text


def test_only_default_asks_for_the_types(aws: None) -> None:
    """MG1: $default-only routing: the types come from flags."""
    stack = Stack(custom=())
    stack.table("app", ("connectionId", "S"))
    run("init", "--yes", "--set", "features.0.types=chat,typing", "--set", "tables.0.user=member")
    config = load_config(Path("migrate.toml"))
    assert config.features[0].types == ("chat", "typing")
    assert config.tables[0].user == "member"


def test_a_function_that_answers_without_a_route(stack: Stack) -> None:
    """MG1: what posts from elsewhere is found by its environment and its role."""
    stack.table("app", ("connectionId", "S"))
    stack.function("their-notifier", {"ENDPOINT": f"https://{stack.api}.execute-api.eu-west-1.amazonaws.com/live"})
    stack.function("a-stranger", {"OTHER": "x"})
    run("init", "--yes")
    roles = {one.name: one.role for one in load_config(Path("migrate.toml")).functions}
    assert roles["their-notifier"] == "answer"
    assert "a-stranger" not in roles


def test_a_file_is_never_overwritten_by_itself(stack: Stack) -> None:
    """MG1: --force keeps the old one."""
    stack.table("app", ("connectionId", "S"))
    Path("migrate.toml").write_text("mine", encoding="utf-8")
    assert "--force" in run("init", "--yes", code=5).output
    run("init", "--yes", "--force")
    (backup,) = Path().glob("migrate.toml.*.bak")
    assert backup.read_text(encoding="utf-8") == "mine"


def test_without_a_terminal_open_questions_are_listed(stack: Stack) -> None:
    stack.table("app", ("connectionId", "S"))
    done = run("init", code=2)
    assert "--set tables.0.user=" in done.output
    assert not Path("migrate.toml").exists()


@pytest.mark.parametrize(
    "pair", ["tables", "tables.9.user=x", "nothing.there=x", "tables.0.usr=x", "tables.0.role=boss"]
)
def test_a_wrong_set_is_named(stack: Stack, pair: str) -> None:
    stack.table("app", ("connectionId", "S"))
    assert "error: " in run("init", "--yes", "--set", pair, code=2).output


def test_several_apis_are_listed(stack: Stack) -> None:
    other = client("apigatewayv2").create_api(
        Name="two", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )["ApiId"]
    assert other in run("init", "--yes", code=2).output
    assert "could not be read" in run("init", "--yes", "--api-id", "nothere1", code=2).output


def test_a_stack_with_fifty_routes(aws: None) -> None:
    """MG1: every route is found, whatever the number of pages."""
    stack = Stack(custom=tuple(f"op{number:02}" for number in range(47)))
    stack.table("app", ("connectionId", "S"))
    run("init", "--yes")
    assert len(load_config(Path("migrate.toml")).features) == 47


def test_check_config_finds_what_does_not_fit(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG1: each finding names its key and what to do; exit code 3 when something is wrong."""
    from migrate.tables import gateway

    monkeypatch.setattr(gateway.Gateway, "ask", lambda self, one: gateway.Answer(gateway.Verdict.GONE))
    stack.table("app", ("pk", "S"), ("sk", "S"), index=("byOwner", "ownerId"))
    put("app", *({"pk": {"S": f"WS#{one}"}, "sk": {"S": "x"}, "ownerId": {"S": "u"}} for one in IDS))
    run("init", "--yes")
    assert json.loads(run("check-config", "--json").stdout)["ok"] is True
    text = Path("migrate.toml").read_text(encoding="utf-8")
    for old, new, key in (
        ('id_prefix = "WS#"', 'id_prefix = "CONN#"', "tables.0.key"),
        ('sort_key = "sk"', 'sort_key = "range"', "tables.0.sort_key"),
        ('user_index = "byOwner"', 'user_index = "byUser"', "tables.0.user_index"),
        ('name = "app"', 'name = "gone"', "tables.0.name"),
        ('stage = "live"', 'stage = "test"', "api.stage"),
        ('name = "their-send"', 'name = "their-other"', "functions"),
    ):
        assert old in text, old
        Path("migrate.toml").write_text(text.replace(old, new), encoding="utf-8")
        found = json.loads(run("check-config", "--json", code=3).stdout)["findings"]
        wrong = [one for one in found if one["level"] == "wrong"]
        assert any(one["key"].startswith(key) for one in wrong), (key, wrong)
        assert all(one["do"] for one in found)
