"""legacy_ws.errors: the tree in the docstring is the tree. until phase 3"""

from __future__ import annotations

import pytest

from legacy_ws import errors


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (errors.ClientInputError("bad_request", "No."), 1, "No."),
        (errors.MalformedEventError("body"), 1, "the event has no usable body"),
        (errors.ItemExistsError(None), 1, "an item with this key exists"),
        (errors.ConnectionGoneError("c"), 1, "connection c is gone"),
        (errors.SendFailedError("c", "500", retryable=True), 1, "sending to connection c failed: 500"),
        (errors.ConfigurationError("X", "is missing"), 2, "X is missing"),
        (errors.UsageError("No."), 2, "No."),
        (errors.StepFailedError("table x", "no"), 1, "table x: no"),
        (errors.RefusedError("No."), 5, "No."),
    ],
)
def test_every_error_has_its_message_and_exit_code(error: errors.LegacyWsError, exit_code: int, message: str) -> None:
    assert isinstance(error, errors.LegacyWsError)
    assert str(error) == error.message == message
    assert error.exit_code == exit_code


def test_the_public_list_is_complete() -> None:
    assert sorted(name for name in vars(errors) if name.endswith("Error")) == sorted(errors.__all__)
