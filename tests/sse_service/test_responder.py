"""The plug-in: loading it, the default one, running it in a thread or on the loop, the limits on work."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sse_service.errors import BusyError, SettingsError, UnavailableError
from sse_service.responder import BadOutputError, check_output, default_responder, load, run
from sse_service.work import INTERRUPTED, Work

from . import chat_responders

HERE = chat_responders.__name__


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    chat_responders.reset()
    yield
    chat_responders.GO_ON.set()


def request(feature: str = "chat", **fields: Any) -> dict[str, Any]:
    return {"feature": feature, "id": "m1", "user_id": "ann", "tenant_id": "demo", "input": fields}


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


@pytest.mark.parametrize("text", ["hi", "two  spaces", " leading", "trailing ", "", "a\nb c", "안녕 하세요"])
def test_the_default_answer_comes_word_by_word_and_joins_to_the_text(text: str) -> None:
    chunks = [item["text"] for item in default_responder(request(chat_id="c", message=text))]
    assert "".join(chunks) == f"You said: {text}"
    assert all(chunks)
    assert chunks[0] == "You " and chunks[1].startswith("said:")


def test_the_default_work_is_the_contracts() -> None:
    run_of = list(default_responder(request("agent_run", agent_id="a7", input={"b": 1, "a": "x"})))
    assert run_of == [
        {"progress": 25, "step": "plan"},
        {"progress": 50, "step": "search"},
        {"progress": 75, "step": "write"},
        {"progress": 100, "step": "check"},
        {"result": {"summary": "a7: 18 characters of input"}},
    ]
    job = list(default_responder(request("library_processing", library_id="l", documents=["x", "y", "z"])))
    assert job == [
        {"progress": 33, "document": "x"},
        {"progress": 66, "document": "y"},
        {"progress": 100, "document": "z"},
        {"result": {"processed": 3}},
    ]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nowhere", "must be module:function"),
        (":f", "must be module:function"),
        ("no.such.module:f", "cannot be imported"),
        (f"{HERE}:missing", "has no missing"),
        (f"{HERE}:NOT_A_FUNCTION", "is not a function"),
        (f"{HERE}:coroutine", "async generator"),
        (f"{HERE}:no_argument", "one argument"),
    ],
)
def test_a_responder_that_is_none_is_said_at_the_start(spec: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        load(spec)
    assert "SSE_RESPONDER" in str(caught.value)


def test_check_config_looks_at_the_responder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line and a hint, no traceback; a module beside the caller is found."""
    from typer.testing import CliRunner

    from sse_service.cli import app

    (tmp_path / "my_responder_of_tests.py").write_text("def answer(request):\n    yield {'text': 'x'}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [one for one in sys.path if one != ""])
    for spec, code in (("my_responder_of_tests:answer", 0), ("my_responder_of_tests:other", 2), ("no:thing", 2)):
        monkeypatch.setenv("SSE_RESPONDER", spec)
        result = CliRunner().invoke(app, ["check-config"])
        assert result.exit_code == code, result.output
        if code:
            assert f"SSE_RESPONDER='{spec}'" in result.output and "Traceback" not in result.output


@pytest.mark.parametrize("name", ["a_list", "steered", "unhurried", "makes_async"])
async def test_every_kind_of_function_runs(name: str) -> None:
    chat_responders.GO_ON.set()
    respond = load(f"{HERE}:{name}")
    items = [item async for item in run(respond, request(message="x"))]
    texts = "".join(check_output("chat", item).text for item in items)
    assert texts == ("all at once" if name == "a_list" else "one two")


async def test_a_blocking_responder_does_not_hold_up_the_loop_and_stops_between_items() -> None:
    items = run(load(f"{HERE}:steered"), request(message="wait"))
    async with contextlib.aclosing(items):
        assert await anext(items) == {"text": "one "}
        assert threading.current_thread() is threading.main_thread()
        assert await anext(items) == {"text": "."}
    await until(chat_responders.CLOSED.is_set, "the generator is closed in its thread")


async def test_an_async_responder_is_closed_at_once() -> None:
    items = run(load(f"{HERE}:unhurried"), request(message="x"))
    async with contextlib.aclosing(items):
        assert await anext(items) == {"text": "one "}
    assert chat_responders.CLOSED.is_set()


@pytest.mark.parametrize("word", ["fail first", "fail later", "stop iteration"])
async def test_what_a_responder_raises_arrives(word: str) -> None:
    with pytest.raises(Exception, match=r"secret|StopIteration"):
        async for _ in run(load(f"{HERE}:steered"), request(message=word)):
            pass


@pytest.mark.parametrize(
    ("feature", "item"),
    [
        ("chat", {"words": "x"}),
        ("chat", {"text": 5}),
        ("chat", "text"),
        ("agent_run", {"progress": 101, "step": "x"}),
        ("agent_run", {"progress": -1}),
        ("agent_run", {"progress": True}),
        ("agent_run", {"step": "x"}),
        ("library_processing", {"progress": 5, "document": 7}),
    ],
)
def test_outputs_that_are_none(feature: Any, item: object) -> None:
    with pytest.raises(BadOutputError):
        check_output(feature, item)


async def test_places_are_limited_per_user_and_per_node() -> None:
    work = Work("answers", 1, 2)
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    for user in ("ann", "bob"):
        work.enter("t", user)
        work.start(wait(), ("t", user))
    for user, scope in (("ann", "node"), ("eve", "node")):
        with pytest.raises(BusyError) as caught:
            work.enter("t", user)
        assert caught.value.extra["scope"] == scope and caught.value.retry_after_s
    go.set()
    await until(lambda: work.running == 0, "places are given back")
    work.enter("t", "ann")
    with pytest.raises(BusyError, match="per user"):
        work.enter("t", "ann")


async def test_a_task_cancelled_before_its_first_step_gives_its_place_back() -> None:
    work = Work("answers", 1, 1)
    work.enter("t", "ann")

    async def never() -> None:
        raise AssertionError

    work.start(never(), ("t", "ann")).cancel()
    await until(lambda: work.running == 0, "the place is free")


async def test_drain_lets_work_finish_then_interrupts_it() -> None:
    work = Work("jobs", 5, 5)
    said = []

    async def finishes() -> None:
        await asyncio.sleep(0.01)
        said.append("finished")

    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            said.append(str(error))
            raise

    work.start(finishes())
    work.start(goes_on())
    assert await work.drain(0.2) == 1
    assert said == ["finished", INTERRUPTED]
    with pytest.raises(UnavailableError):
        work.enter("t", "ann")
