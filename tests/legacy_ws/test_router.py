"""legacy_ws.router. until phase 3 (WL3)"""

from __future__ import annotations

import pytest

from legacy_ws.errors import ClientInputError
from legacy_ws.router import Call, Router


def answer(call: Call) -> None:
    """A handler."""


def make(field: str | None = "action") -> Router:
    router = Router(field=field, known=("getHistory",))
    router.route("sendMessage")(answer)
    return router


def test_the_route_key_chooses() -> None:
    assert make().resolve("sendMessage", {"action": "whatever"}) is answer


@pytest.mark.parametrize("field", ["action", "type"])
def test_else_the_field_does(field: str) -> None:
    """Fault 17: two routing keys exist in the wild."""
    assert make(field).resolve("$default", {field: "sendMessage"}) is answer


@pytest.mark.parametrize("frame", [{}, {"action": None}, {"action": ""}, {"action": 5}, {"action": ["sendMessage"]}])
def test_a_missing_or_odd_field_is_a_bad_request(frame: dict[str, object]) -> None:
    with pytest.raises(ClientInputError) as caught:
        make().resolve("$default", frame)
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("field", ["action", None])
def test_an_unknown_action_names_the_known_ones_and_not_itself(field: str | None) -> None:
    with pytest.raises(ClientInputError) as caught:
        make(field).resolve("$default", {"action": "token=abc"})
    assert caught.value.code == "unknown_action"
    assert "getHistory, sendMessage" in caught.value.message
    assert "abc" not in caught.value.message


def test_two_handlers_for_one_key_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two handlers"):
        make().route("sendMessage")(answer)
