"""How fast a sweep is, and why: it gives way, says so, and comes back (MG11). until phase 3"""

from __future__ import annotations

from migrate.tables.pace import Pace


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pace(limit: float, capacity: float = 0.0) -> tuple[Pace, Time]:
    time = Time()
    return Pace(limit, capacity=capacity, clock=time.clock, sleep=time.sleep), time


def spend(
    one: Pace, time: Time, seconds: float, latency_s: float = 0.01, units: float = 0.0, throttled: str = ""
) -> int:
    """Calls for so long; how many there were."""
    end, calls = time.now + seconds, 0
    while time.now < end:
        one.take()
        calls += 1
        one.observe(latency_s, units=units, throttled=throttled)
    return calls


def test_the_limit_holds() -> None:
    one, time = pace(50.0)
    assert 490 <= spend(one, time, 10.0) <= 510
    assert one.reason == "the limit that is set"
    one.set_limit(5.0)
    assert 48 <= spend(one, time, 10.0) <= 52


def test_throttling_halves_it_and_it_comes_back() -> None:
    one, time = pace(100.0)
    spend(one, time, 3.0, throttled="LimitExceededException")
    assert one.rate <= 25.0
    assert "LimitExceededException" in one.reason
    spend(one, time, 30.0)
    assert one.rate == 100.0
    assert one.reason == "the limit that is set"


def test_latency_slows_it() -> None:
    one, time = pace(100.0)
    spend(one, time, 5.0, latency_s=0.01)
    spend(one, time, 5.0, latency_s=0.4)
    assert one.rate < 60.0
    assert one.reason.startswith("latency")


def test_capacity_is_kept() -> None:
    """MG11: with 10 units a second for calls of half a unit, it comes to about 20 calls a second."""
    one, time = pace(1000.0, capacity=10.0)
    spend(one, time, 5.0, units=0.5)
    assert "capacity" in one.reason
    assert 380 <= spend(one, time, 20.0, units=0.5) <= 420


def test_it_never_stops_by_itself() -> None:
    one, time = pace(10.0)
    spend(one, time, 60.0, throttled="x")
    assert one.rate >= 0.5
