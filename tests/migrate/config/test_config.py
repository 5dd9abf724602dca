"""`migrate.toml`: what is read is what was written, and each mistake is named by its place. until phase 3"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.config import Config, load_config, resolve_config
from migrate.config.model import (
    Api,
    Collect,
    Deliver,
    EventSource,
    Feature,
    Function,
    Ignore,
    Normalise,
    Project,
    Replay,
    Settings,
    Table,
)
from migrate.config.parse import as_values, settings_from
from migrate.config.templates import MissingFieldError, field_of, render, render_path
from migrate.config.write import to_toml
from migrate.errors import UsageError

SETTINGS = Settings(
    project=Project(name="chat"),
    api=Api(id="a1b2c3", stage="prod", region="eu-west-1", hosts=("ws.example.com",)),
    tables=(Table(name="Connections", role="connections", key="connectionId", ttl="ttl"),),
    functions=(
        Function(
            name="oracle",
            role="answer",
            event_sources=(EventSource(type="sqs", name="jobs", batch_size=5, filters=('{"body": {"a": ["é"]}}',)),),
        ),
    ),
    features=(
        Feature(
            name="chat",
            types=("sendMessage",),
            frames=("message",),
            id="messageId",
            ignore=(Ignore(path="timestamp", reason="clocks differ", expires="2027-03-01"),),
            normalise=(Normalise(path="email", as_="lower"),),
            replay=Replay(path="/api/chat/send", body={"message": "{message}", "a b": ["{x?}", 1, True]}),
            deliver=(Deliver(frame="message", topic="room:{roomId}"),),
            collect=(Collect(topic="room:*", frame={"a": "{b}"}),),
        ),
    ),
)


def _values(**changes: Any) -> dict[str, Any]:
    return {"schema": 1, **as_values(SETTINGS), **changes}


def test_what_is_written_is_read_again() -> None:
    assert settings_from(tomllib.loads(to_toml(SETTINGS, heading="What\nand why")), "x") == SETTINGS


@given(st.text(), st.floats(0, 100), st.text())
def test_every_text_and_number_survives_the_file(text: str, percent: float, other: str) -> None:
    values = _values(shadow={"sample_percent": percent}, sse={"url": text})
    values["features"][0]["replay"]["body"] = {other: text}
    settings = settings_from(values, "x")
    assert settings_from(tomllib.loads(to_toml(settings)), "x") == settings


def _fed(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"functions": [{"name": "f", "event_sources": list(sources)}]}


JOBS = {"type": "sqs", "name": "jobs"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": "1"}, "schema = 1"),
        ({"gates": {"min_sample": 3}}, "no key gates.min_sample"),
        ({"gates": {"max_loss": 2}}, "gates.max_loss is 2.0, and must be at most 1"),
        ({"gates": {"min_samples": True}}, "gates.min_samples is True"),
        ({"gates": {"max_loss": float("nan")}}, "gates.max_loss is nan"),
        ({"api": {"id": "x"}}, "api.stage is missing"),
        ({"api": "x"}, "api is 'x', and must be a table"),
        ({"tables": {}}, "tables is {}, and must be a list"),
        ({"tables": [{"name": "t", "role": "conections"}]}, "tables[0].role is 'conections'"),
        ({"features": [{"name": "a"}, {"name": "a"}]}, "features has 'a' twice"),
        (_fed({"type": "queue", "name": "q"}), "functions[0].event_sources[0].type is 'queue', and must be one of sqs"),
        (_fed({"type": "sqs"}), "functions[0].event_sources[0].name is missing"),
        (_fed({"type": "sqs", "name": " "}), "functions[0].event_sources[0].name is ' '"),
        (_fed({"type": "sqs", "name": "q", "filters": ["[1]"]}), "filters[0] is '[1]', and must be a JSON object"),
        (_fed(JOBS, JOBS), "functions[0].event_sources has sqs jobs twice"),
        ({"features": [{"name": "a", "replay": {"body": 1, "path": "/"}}]}, "features[0].replay.body is 1"),
    ],
)
def test_a_mistake_is_named_by_its_place(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as error:
        settings_from(_values(**changes), "migrate.toml")
    assert says in error.value.message


def test_a_template_fills_in_and_keeps_types() -> None:
    frame = {"text": "é", "n": 3, "deep": {"list": [{"id": None}]}}
    context = {"user": "u/1"}
    template = {
        "a": "{n}",
        "b": "n={n} {{x}}",
        "c": ["{deep.list.0}", "{gone?}"],
        "d": "{$user}",
        "e": ["{n|x}", "{gone|x y}", "{gone|$user}"],
    }
    rendered = {"a": 3, "b": "n=3 {x}", "c": [{"id": None}, None], "d": "u/1", "e": [3, "x y", "u/1"]}
    assert render(template, frame, context) == rendered
    assert render_path("/chat/{text}/{$user}", frame, context) == "/chat/%C3%A9/u%2F1"
    assert field_of(frame, "deep.list.1", "none") == "none"
    with pytest.raises(MissingFieldError, match="gone"):
        render("{gone}", frame, context)
    with pytest.raises(UsageError, match="nobody"):
        render("{$nobody}", frame, context)


def _write(folder: Path, text: str) -> Path:
    path = folder / "migrate.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_addresses_come_from_the_file_and_the_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(_write(tmp_path, to_toml(SETTINGS)))
    assert config.management_url == "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/prod"
    assert config.records == tmp_path / "records"
    assert config.feature("chat").id == "messageId"
    with pytest.raises(UsageError, match="SSE_JWT_SECRET is not set"):
        config.token("u")
    key = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("SSE_JWT_SECRET", key)
    assert jwt.decode(config.token("u"), key, algorithms=["HS256"])["tenant_id"] == "default"
    assert key not in repr(config)
    with pytest.raises(UsageError, match="has no feature 'chatt'"):
        config.feature("chatt")


def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no migrate\.toml here"):
        resolve_config(None, tmp_path / "state")
    with pytest.raises(UsageError, match=r"there is no other\.toml"):
        resolve_config("other.toml", tmp_path / "state")
    with pytest.raises(UsageError, match=r"no application 'nosuch'") as none:
        resolve_config("nosuch", tmp_path / "state")
    assert "`migrate up` has made none in" in (none.value.hint or "")
    (tmp_path / "state" / "config").mkdir(parents=True)
    for name in ("rooms", "direct"):
        (tmp_path / "state" / "config" / f"{name}.toml").touch()
    with pytest.raises(UsageError) as some:
        resolve_config("nosuch", tmp_path / "state")
    assert (some.value.hint or "").endswith(": direct, rooms")
    _write(tmp_path, "schema = ")
    with pytest.raises(UsageError, match="is no TOML"):
        resolve_config(None, tmp_path / "state")


@pytest.mark.parametrize(("endpoint", "proxies"), [("http://127.0.0.1:4566", set()), ("", {"http", "https"})])
def test_nothing_on_this_machine_goes_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, proxies: set[str]
) -> None:
    """A command for the stacks of `migrate up` behind a company's proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:3128")
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    settings = replace(SETTINGS, api=replace(SETTINGS.api, endpoint_url=endpoint))
    config = Config(settings, Path("migrate.toml"), _local=keys)
    found = config.client("dynamodb")._endpoint.http_session._proxy_config._proxies
    assert set(found or {}) & {"http", "https"} == proxies
