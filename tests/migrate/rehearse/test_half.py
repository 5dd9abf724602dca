"""Half of the people is half of them, whatever the salts (MG16). until phase 3"""

from __future__ import annotations

import pytest

from migrate.rehearse.half import percent_for
from sse_service.flags import SSE, Flag, transport


@pytest.mark.parametrize("features", [("chat",), ("layers-chat", "agent-run", "library")])
@pytest.mark.parametrize(("people", "count"), [(6, 4), (2, 1), (38, 25)])
def test_exactly_so_many_are_over_of_all_features(features: tuple[str, ...], people: int, count: int) -> None:
    """50 % of eight people was two, one, and by chance none: the service itself decides here."""
    users = {f"mover{number}": f"mover{number}@example.com" for number in range(1, people + 1)}
    for draw in range(50):
        salts = {feature: f"{feature}-{draw}" for feature in features}
        percent, chosen = percent_for(salts, "demo", users, count)
        flags = [Flag(feature, "*", float(f"{percent:.2f}"), 1, salt) for feature, salt in salts.items()]
        over = [name for name, user in users.items() if {transport(one, "demo", user) for one in flags} == {SSE}]
        assert over == chosen
        assert count <= len(over) <= count + 1
        assert 0 < percent <= 100
