"""Delays between attempts. until phase 3"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrate.clients.backoff import Backoff


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_delay_grows_to_its_limit(attempt: int, chance: float) -> None:
    """Half to whole of the exponential, never beyond the limit, whatever the number of failures."""
    delay = Backoff(base_s=1, max_s=30, random=lambda: chance).delay_s(attempt)
    whole = min(30.0, 2.0 ** min(attempt, 60))
    assert whole / 2 <= delay <= whole


@given(st.integers(0, 100), st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_server_is_obeyed_within_reason(attempt: int, asked_s: float, chance: float) -> None:
    """`retry` is never undercut, and a server cannot send a client away for days."""
    delay = Backoff(random=lambda: chance).delay_s(attempt, asked_s)
    assert delay >= min(asked_s, 300.0)
    assert delay <= 450.0
