"""Marks, histograms, ratios, the page: what is computed from what was measured."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest

from loadtests.compare.figures import against, ratios
from loadtests.compare.page import render
from loadtests.compare.parts import Sample, calls_between, flat
from loadtests.users.histogram import Histogram
from loadtests.users.marks import Mark, decode, encode
from loadtests.users.target import Target, TargetError


def test_a_mark_survives_and_other_texts_are_none() -> None:
    mark = Mark("r1", "lt-3", 7, 123456789)
    assert decode(encode(mark, 300)) == decode(encode(mark)) == mark
    assert len(encode(mark, 300)) == 300
    for other in ("hello", "", None, 5, "lt1|a|b", "lt1|a|b|x|9|"):
        assert decode(other) is None


def test_percentiles_are_within_a_bucket() -> None:
    values = [random.Random(4).lognormvariate(3, 1) for _ in range(5000)]
    one, two = Histogram(), Histogram()
    for index, value in enumerate(values):
        (one, two)[index % 2].add(value)
    whole = Histogram.merged([one, Histogram(two.to_json())])
    assert whole.count == 5000
    for share in (0.5, 0.95, 0.99):
        true = sorted(values)[int(share * 5000) - 1]
        assert math.isclose(whole.percentile(share), true, rel_tol=0.06)
    shares = [share for _, share in whole.points()]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert Histogram().percentile(0.5) == 0.0


def run(**figures: float) -> dict[str, Any]:
    return {
        "figures": figures,
        "latency": {"delivery": {"150": 3, "160": 1}},
        "cpu_cores": {"sse-service": 0.1},
        "memory_mb": {"sse-service": 130.0},
    }


def result(p50: float, **more: Any) -> dict[str, Any]:
    return {
        "provenance": {
            "time": "2026-11-22T00:00:00Z", "revision": "abc", "python": "3.11", "system": "Linux", "cpu": "<cpu>",
            "cores": 2, "load_before": 0.1, "versions": {"locust": "2.47.0"},
        },
        "emulated": True,
        "plan": {"scenario": "rooms", "users": 4},
        "rounds": {"ws": [run(p50=10.0, loss=0), run(p50=20.0, loss=0)], "sse": [run(p50=p50), run(p50=2 * p50)]},
        **more,
    }  # fmt: skip


def test_ratios_are_of_pairs() -> None:
    """What slows both of a pair does not change their ratio."""
    made = result(5.0)
    assert ratios(made["rounds"]["ws"], made["rounds"]["sse"], "p50") == (0.5, 0.5, 0.5)
    assert ratios(made["rounds"]["ws"], made["rounds"]["sse"], "loss") is None


def test_versions_are_compared_only_with_the_same_plan() -> None:
    rows = against(result(5.0), result(15.0))
    assert ("sse", "p50", 7.5, 22.5, 3.0, True) in rows
    assert ("ws", "p50", 15.0, 15.0, 1.0, False) in rows
    with pytest.raises(ValueError, match="users"):
        against(result(5.0), result(5.0, plan={"scenario": "rooms", "users": 5}))


def test_the_page_needs_nothing_else_and_says_what_it_cannot_tell() -> None:
    page = render(result(5.0))
    assert not re.search(r"""(src|href)=|<script|@import|url\(""", page)
    assert "&lt;cpu&gt;" in page and "<cpu>" not in page
    assert "What this cannot tell" in page and "emulated AWS" in page
    assert page.count("<polyline") == 6
    assert "emulated AWS cannot" not in render(result(5.0, emulated=False))


def test_calls_of_nobody_are_not_a_message_s() -> None:
    usage = {
        "calls": {"dynamodb": {"Query": 130}, "iam": {"POST": 4}},
        "lambda": {"f": {"invocations": 3}, "g": {"invocations": 4}},
        "websocket": {"api": {"message_units": 9}},
    }
    last = Sample(20.0, {}, {}, flat(usage))
    first = Sample(10.0, {}, {}, {"dynamodb Query": 100})
    counted = calls_between(first, last, {"dynamodb Query": 2.0})
    assert counted == {"dynamodb Query": 10.0, "lambda invocations": 7, "websocket message_units": 9}


def test_targets_are_checked() -> None:
    made = Target.parse(["ws.rooms=wss://a/prod", "sse=https://b/", "tenant=acme"])
    assert (made.ws, made.sse, made.tenant) == ({"rooms": "wss://a/prod"}, "https://b", "acme")
    for wrong in ("sse", "ws=wss://a", "ws.other=wss://a", "sse="):
        with pytest.raises(TargetError):
            Target.parse([wrong])
