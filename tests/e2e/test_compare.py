"""`migrate compare` on the running stacks: it passes when both deliver the same, and names what one lost.
until phase 3 (MG7)
"""

from __future__ import annotations

import json

import pytest
from e2e_support import Stacks

pytestmark = pytest.mark.integration

PROBE = ("compare", "--json", "--users", "3", "--messages", "24", "--rate", "20", "--min-samples", "20")


def test_both_deliver_the_same(stacks: Stacks) -> None:
    """MG7: verdict pass, exit code 0, every message matched for every recipient, latency of both."""
    done = stacks.migrate(*PROBE)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "pass"
    assert report["matched"] >= 24 * 3
    for stack in ("websocket", "sse"):
        counts = report["stacks"][stack]
        assert [counts[fault] for fault in ("missing", "extra", "duplicate", "reordered")] == [0, 0, 0, 0]
        assert 0 < counts["latency_ms"]["p50"] <= counts["latency_ms"]["p99"]


def test_a_dead_bridge_is_a_fail_that_names_the_messages(stacks: Stacks) -> None:
    """MG7: with the bridge down nothing crosses: exit code 3, offenders with id and recipient, what to look at."""
    assert stacks.migrate("bridge", "stop").returncode == 0
    try:
        done = stacks.migrate(*PROBE, "--settle", "3")
    finally:
        assert stacks.migrate("bridge", "start").returncode == 0
    assert done.returncode == 3, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "fail"
    assert report["stacks"]["websocket"]["missing"] > 0
    assert report["stacks"]["sse"]["missing"] > 0
    offender = report["offenders"][0]
    assert offender["message_id"]
    assert offender["recipients"]
    assert "bridge" in json.dumps(report["hints"])
    # What waited arrives now; a fresh comparison passes again.
    again = stacks.migrate(*PROBE)
    assert again.returncode == 0, again.stdout + again.stderr


def test_nothing_running_is_a_usage_error(stacks: Stacks, tmp_path: object) -> None:
    """MG7: exit code 2 and the command that starts the stacks."""
    from e2e_support import MIGRATE, run

    done = run(MIGRATE, "compare", "--state-dir", str(tmp_path))
    assert done.returncode == 2
    assert "migrate up" in done.stderr
    assert "Traceback" not in done.stderr
