"""legacy_ws.log. until phase 3"""

from __future__ import annotations

import json

import pytest

from legacy_ws.log import log


def test_one_json_object_a_line_without_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    log("INFO", "message_sent", requestId="r-1", text="two\nlines", nothing=None, odd={1, 2}.__class__)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    record = json.loads(lines[0])
    assert record["level"] == "INFO"
    assert record["requestId"] == "r-1"
    assert record["text"] == "two\nlines"
    assert "nothing" not in record


def test_tokens_and_lone_surrogates_do_not_get_through(capsys: pytest.CaptureFixture[str]) -> None:
    log("ERROR", "failed", url="wss://h/prod?token=abc123", name="\ud800")
    line = capsys.readouterr().out
    assert "abc123" not in line
    json.loads(line)


def test_long_text_is_cut_so_that_the_record_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    log("ERROR", "failed", errorMessage="x" * 500_000)
    assert len(capsys.readouterr().out) < 20_000
