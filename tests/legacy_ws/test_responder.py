"""legacy_ws.responder: the deterministic one, loading another, and what one may yield. until phase 3"""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from legacy_ws.errors import ConfigurationError, ResponderError
from legacy_ws.responder import Progress, Result, Text, answer, checked, load


def request(feature: str, **given: Any) -> dict[str, Any]:
    return {"feature": feature, "id": "1", "user_id": "u", "tenant_id": "t", "input": given}


@pytest.mark.parametrize("message", ["hello", "こんにちは 世界", "a  b\n c ", " ", "x" * 1000])
def test_the_chunks_of_a_chat_answer_are_its_words_and_join_to_it(message: str) -> None:
    chunks = [output["text"] for output in answer(request("chat", chat_id="c", message=message))]
    assert "".join(chunks) == f"You said: {message}"
    assert chunks[:2] == ["You ", "said: "]
    assert "" not in chunks


def test_an_agent_plans_searches_writes_and_checks() -> None:
    outputs = list(answer(request("agent_run", agent_id="writer", input={"b": 1, "a": "é"})))
    assert outputs == [
        {"progress": 25, "step": "plan"},
        {"progress": 50, "step": "search"},
        {"progress": 75, "step": "write"},
        {"progress": 100, "step": "check"},
        {"result": {"summary": "writer: 23 characters of input"}},
    ]


def test_a_library_is_processed_document_by_document() -> None:
    assert list(answer(request("library_processing", library_id="l", documents=["a", "b", "c"]))) == [
        {"progress": 33, "document": "a"},
        {"progress": 66, "document": "b"},
        {"progress": 100, "document": "c"},
        {"result": {"processed": 3}},
    ]


def test_what_a_responder_may_yield() -> None:
    assert checked("chat", {"text": "x", "more": 1}) == Text("x")
    assert checked("agent_run", {"progress": 0}) == Progress(0)
    assert checked("agent_run", {"progress": 99.5, "step": "write"}) == Progress(99, "write")
    assert checked("library_processing", {"progress": 100, "document": "d", "step": 5}) == Progress(100, "d")
    assert checked("agent_run", {"result": {"a": (1, 2)}, "progress": "?"}) == Result({"a": [1, 2]})
    assert checked("agent_run", {"result": None}) == Result(None)


@pytest.mark.parametrize(
    ("feature", "output"),
    [
        ("chat", "text"),
        ("chat", {"progress": 5}),
        ("chat", {"text": 5}),
        ("chat", {"text": "\ud800"}),
        ("agent_run", {"text": "x"}),
        ("agent_run", {"progress": 101}),
        ("agent_run", {"progress": -1}),
        ("agent_run", {"progress": True}),
        ("agent_run", {"progress": float("nan")}),
        ("agent_run", {"progress": 1, "step": 2}),
        ("agent_run", {"progress": 1, "step": "s" * 2000}),
        ("agent_run", {"result": object()}),
        ("agent_run", {"result": float("inf")}),
        ("agent_run", {"result": "\udfff"}),
    ],
)
def test_anything_else_is_refused_without_being_repeated(feature: Any, output: Any) -> None:
    with pytest.raises(ResponderError) as caught:
        checked(feature, output)
    assert "sss" not in str(caught.value)


def test_a_responder_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_logic")
    module.reply = lambda request: [{"text": request["id"]}]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_logic", module)
    assert load("my_logic:reply")(request("chat")) == [{"text": "1"}]
    assert load(None) is answer


@pytest.mark.parametrize(
    "name",
    ["json", "json:", ":dumps", "json:dumps()", "json dumps", "no_such_module_here:f", "json:no_such", "json:__name__"],
)
def test_a_name_that_leads_nowhere_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(name)
    assert caught.value.name == "LEGACY_WS_RESPONDER"


def test_a_coroutine_is_refused_before_anybody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reply(request: dict[str, Any]) -> None: ...

    module = types.ModuleType("my_logic")
    module.reply = reply  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_logic", module)
    with pytest.raises(ConfigurationError, match="async generator"):
        load("my_logic:reply")
