"""Counting open streams."""

from __future__ import annotations

import pytest

from sse_service.errors import TooManyStreamsError
from sse_service.limits import OpenStreams


def test_each_limit_refuses_the_one_too_many_and_counts_nothing_then() -> None:
    streams = OpenStreams(per_user=2, per_address=3, per_node=4)
    streams.enter("t", "ann", "a1")
    streams.enter("t", "ann", "a1")
    for _ in range(3):
        with pytest.raises(TooManyStreamsError) as caught:
            streams.enter("t", "ann", "a1")
        assert caught.value.scope == "user"
    streams.enter("other", "ann", "a1")  # the same name in another tenant is somebody else
    with pytest.raises(TooManyStreamsError) as caught:
        streams.enter("t", "bob", "a1")
    assert caught.value.scope == "address"
    streams.enter("t", "bob", "a2")
    with pytest.raises(TooManyStreamsError) as caught:
        streams.enter("t", "eve", "a3")
    assert caught.value.scope == "node"


def test_who_leaves_makes_room_and_is_forgotten() -> None:
    streams = OpenStreams(per_user=1, per_address=1, per_node=1)
    for n in range(100):
        streams.enter("t", f"u{n}", f"a{n}")
        streams.leave("t", f"u{n}", f"a{n}")
    assert streams.total == 0
    assert not streams._users and not streams._addresses
