"""legacy_ws.schema. until phase 3"""

from __future__ import annotations

from decimal import Decimal

import pytest

from legacy_ws.schema import ConnectionSchema, epoch_of

LAYERS = ConnectionSchema(key="connection_id", ttl="ttl", connected_at="connected_at", iso_times=True)
ROOMS = ConnectionSchema(key="connectionId", ttl="ttl", connected_at="connectedAt")


def test_times_are_stored_as_the_table_stores_them() -> None:
    assert ROOMS.time_value(1718691200.9) == 1718691200
    assert LAYERS.time_value(1718691200) == "2024-06-18T06:13:20+00:00"


@pytest.mark.parametrize(
    ("value", "epoch_s"),
    [
        (1718691200, 1718691200.0),
        (Decimal("1718691200.5"), 1718691200.5),
        ("2024-06-18T06:13:20+00:00", 1718691200.0),
        ("2024-06-18T06:13:20", 1718691200.0),  # the document writes UTC without saying so
        ("yesterday", None),
        (True, None),
        (None, None),
    ],
)
def test_stored_times_are_read_back(value: object, epoch_s: float | None) -> None:
    assert epoch_of(value) == epoch_s
