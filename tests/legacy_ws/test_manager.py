"""legacy_ws.manager (WL2): rows of living connections, and frames to them. until phase 3"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from legacy_ws.errors import ConnectionGoneError, SendFailedError
from legacy_ws.manager import BroadcastResult, ConnectionManager, RetryPolicy
from legacy_ws.schema import ConnectionSchema, Item

NOW = 1_718_700_000.0
OLD = NOW - 600

LAYERS = ConnectionSchema(
    key="connection_id",
    ttl="ttl",
    connected_at="connected_at",
    user="user_id",
    tenant="tenant_id",
    last_activity="last_activity",
    metadata="metadata",
    user_index="UserIndex",
    tenant_index="TenantIndex",
    iso_times=True,
)
ROOMS = ConnectionSchema(key="connectionId", ttl="ttl", connected_at="connectedAt", name="userName")


class FakeTable:
    """Rows in memory, two a page."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.rows: dict[str, Item] = {}
        self.pages_read = 0
        self.delete_error: Exception | None = None

    def put(self, item: Mapping[str, object]) -> None:
        self.rows[str(item[self.key])] = dict(item)

    def get(self, key: Mapping[str, object]) -> Item | None:
        return self.rows.get(str(key[self.key]))

    def delete(self, key: Mapping[str, object]) -> None:
        if self.delete_error:
            raise self.delete_error
        self.rows.pop(str(key[self.key]), None)

    def update_existing(
        self, key: Mapping[str, object], values: Mapping[str, object], *, only_if_absent: Sequence[str] = ()
    ) -> bool:
        row = self.get(key)
        if row is None or any(name in row for name in only_if_absent):
            return False
        row.update(values)
        return True

    def pages(self, *, attributes: Sequence[str] | None = None) -> Iterator[list[Item]]:
        return self._paged(list(self.rows.values()))

    def index_pages(self, index: str, equals: Mapping[str, object]) -> Iterator[list[Item]]:
        return self._paged([row for row in self.rows.values() if equals.items() <= row.items()])

    def _paged(self, rows: list[Item]) -> Iterator[list[Item]]:
        for start in range(0, len(rows), 2):
            self.pages_read += 1
            yield rows[start : start + 2]


def make(poster: Any, schema: ConnectionSchema = ROOMS, **options: Any) -> tuple[ConnectionManager, FakeTable]:
    table = FakeTable(schema.key)
    naps: list[float] = []
    manager = ConnectionManager(
        schema,
        table,
        poster,
        ttl_s=9000,
        clock=lambda: NOW,
        sleep=naps.append,
        random=lambda: 1.0,
        log=lambda *_, **__: None,
        **options,
    )
    manager.naps = naps  # type: ignore[attr-defined]
    return manager, table


def plenty() -> float:
    return 20.0


def test_a_saved_row_outlives_the_longest_connection(poster: Any) -> None:
    """RC1; fault 3."""
    manager, table = make(poster)
    manager.save("a", name="alice", user="ignored: rooms' schema here has no user")
    assert table.rows["a"] == {
        "connectionId": "a",
        "connectedAt": int(NOW),
        "ttl": int(NOW) + 9000,
        "userName": "alice",
    }


def test_the_schema_names_everything(poster: Any) -> None:
    manager, table = make(poster, LAYERS)
    manager.save("a", user="u", tenant="t", metadata={"page": "/chat"}, connected_at_s=OLD)
    assert table.rows["a"] == {
        "connection_id": "a",
        "user_id": "u",
        "tenant_id": "t",
        "connected_at": "2024-06-18T08:30:00+00:00",
        "last_activity": "2024-06-18T08:40:00+00:00",
        "metadata": {"page": "/chat"},
        "ttl": int(NOW) + 9000,
    }
    manager.save("b", user="u", tenant="other")
    assert [row["connection_id"] for row in manager.of_user("u")] == ["a", "b"]
    assert [row["connection_id"] for row in manager.of_user("u", "t")] == ["a"]
    assert [[row["connection_id"] for row in page] for page in manager.of_tenant("t")] == [["a"]]
    with pytest.raises(ValueError, match="has no user"):
        make(poster)[0].of_user("u")


def test_an_update_never_makes_a_row_again(poster: Any) -> None:
    """Fault 4: no ghost."""
    manager, table = make(poster, LAYERS)
    assert manager.touch("a") is False
    assert table.rows == {}
    manager.save("a")
    assert manager.touch("a") is True
    manager.remove("a")
    assert manager.touch("a") is False
    assert manager.get("a") is None


def test_a_broadcast_reaches_every_page_once_and_leaves_out_the_excluded(poster: Any) -> None:
    """Fault 5; WL2."""
    manager, table = make(poster)
    for number in range(7):
        manager.save(f"c{number}", connected_at_s=OLD)
    result = manager.broadcast(
        manager.pages(), {"type": "x"}, remaining=plenty, exclude=["c3"], also=["c1", "extra", "c3"]
    )
    assert table.pages_read == 4
    assert sorted(receiver for receiver, _ in poster.posts) == ["c0", "c1", "c2", "c4", "c5", "c6", "extra"]
    assert (result.delivered, result.gone, result.failed) == (7, [], [])


def test_410_removes_that_row_and_no_other(poster: Any) -> None:
    """Fault 6."""
    manager, table = make(poster)
    for name in ("a", "b", "c"):
        manager.save(name, connected_at_s=OLD)
    poster.gone("b")
    result = manager.broadcast(manager.pages(), {"type": "x"}, remaining=plenty)
    assert sorted(table.rows) == ["a", "c"]
    assert (result.delivered, result.gone) == (2, ["b"])
    assert poster.attempts.count("b") == 1  # an old row is believed at once


def test_410_during_a_handshake_is_asked_about_again(poster: Any) -> None:
    """ "Posted before $connect has returned" is a 410 as well: the connection is about to live."""
    manager, table = make(poster)
    manager.save("young", connected_at_s=NOW - 1)
    poster.gone("young", times=2)
    result = manager.broadcast(manager.pages(), {"type": "x"}, remaining=plenty)
    assert result.delivered == 1
    assert "young" in table.rows
    poster.gone("young")
    assert manager.broadcast(manager.pages(), {"type": "x"}, remaining=plenty).gone == ["young"]
    assert table.rows == {}


def test_throttling_is_tried_again_with_growing_pauses(poster: Any) -> None:
    manager, _ = make(poster, retry=RetryPolicy(attempts=5, base_s=0.05, cap_s=0.15))
    poster.refuse("a", "LimitExceededException", retryable=True, times=4)
    manager.send("a", {"type": "x"}, remaining=plenty)
    assert manager.naps == [0.05, 0.1, 0.15, 0.15]  # type: ignore[attr-defined]
    assert len(poster.frames("a")) == 1


def test_pauses_have_full_jitter() -> None:
    policy = RetryPolicy(base_s=0.05, cap_s=1.0)
    assert policy.pause_s(3, lambda: 0.5) == pytest.approx(0.2)
    assert policy.pause_s(50, lambda: 1.0) == 1.0


@pytest.mark.parametrize(("reason", "retryable", "attempts"), [("500", True, 5), ("ForbiddenException", False, 1)])
def test_other_errors_keep_the_row_and_are_reported(poster: Any, reason: str, retryable: bool, attempts: int) -> None:
    """Fault 6: removing on any exception drops living connections."""
    manager, table = make(poster)
    for name in ("a", "b"):
        manager.save(name, connected_at_s=OLD)
    poster.refuse("a", reason, retryable=retryable)
    result = manager.broadcast(manager.pages(), {"type": "x"}, remaining=plenty)
    assert sorted(table.rows) == ["a", "b"]
    assert result.delivered == 1
    assert [(error.connection_id, error.reason) for error in result.failed] == [("a", reason)]
    assert poster.attempts.count("a") == attempts
    with pytest.raises(SendFailedError):
        manager.send("a", {"type": "x"}, remaining=plenty)


def test_a_send_says_that_the_connection_is_gone(poster: Any) -> None:
    manager, table = make(poster)
    manager.save("a")
    poster.gone("a")
    with pytest.raises(ConnectionGoneError):
        manager.send("a", {"type": "x"}, remaining=plenty)
    assert table.rows == {}


def test_a_row_that_cannot_be_removed_does_not_stop_the_others(poster: Any) -> None:
    manager, table = make(poster)
    for name in ("a", "b"):
        manager.save(name, connected_at_s=OLD)
    table.delete_error = OSError("DynamoDB is away")
    poster.gone("a")
    result = manager.broadcast(manager.pages(), {"type": "x"}, remaining=plenty)
    assert (result.delivered, result.gone) == (1, ["a"])


def test_out_of_time_is_reported_and_not_slept_away(poster: Any) -> None:
    manager, _ = make(poster)
    manager.save("a", connected_at_s=OLD)
    poster.refuse("a", "LimitExceededException", retryable=True)
    with pytest.raises(SendFailedError, match="LimitExceeded"):
        manager.send("a", {"type": "x"}, remaining=lambda: 0.01)
    assert manager.naps == []  # type: ignore[attr-defined]
    result = manager.broadcast(manager.pages(), {"type": "x"}, remaining=lambda: 0.0)
    assert [error.reason for error in result.failed] == ["out_of_time"]


def test_a_record_of_a_broadcast_counts_all_failures_and_names_the_first() -> None:
    failed = [SendFailedError(f"c{number}", "LimitExceededException", retryable=True) for number in range(50)]
    record = BroadcastResult(delivered=7, gone=["g"], failed=failed).record
    assert (record["delivered"], record["gone"], record["failedCount"]) == (7, 1, 50)
    assert record["failed"] == [{"connectionId": f"c{n}", "reason": "LimitExceededException"} for n in range(20)]
    assert BroadcastResult(delivered=7).record == {"delivered": 7, "gone": 0, "failed": None, "failedCount": None}


def test_sends_of_a_broadcast_overlap_within_the_limit() -> None:
    class Slow:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.now = self.most = 0

        def post(self, connection_id: str, data: bytes) -> None:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            time.sleep(0.01)
            with self.lock:
                self.now -= 1

    slow = Slow()
    manager, _ = make(slow, workers=3)
    for number in range(12):
        manager.save(f"c{number}", connected_at_s=OLD)
    rows = [row for page in manager.pages() for row in page]
    assert manager.broadcast(iter([rows]), {"type": "x"}, remaining=plenty).delivered == 12
    assert slow.most == 3
