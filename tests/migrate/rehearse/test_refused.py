"""What a function that lets nobody in said last is shown, and no secret with it (MG16). until phase 3"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import boto3
import pytest
from moto import mock_aws

from migrate.config import Config
from migrate.config.model import Api, Function, Project, Settings
from migrate.rehearse.refused import complaint, why_refused

PYTHON = [
    "INIT_START Runtime Version: python:3.12",
    "START RequestId: 1 Version: $LATEST",
    "[ERROR] KeyError: 'SOCKETS'\nTraceback (most recent call last):\n"
    '  File "/var/task/hall.py", line 9, in on_event\n    table = os.environ["SOCKETS"]',
    "END RequestId: 1",
    "REPORT RequestId: 1 Duration: 3 ms Status: error Error Type: KeyError",
]


def test_the_exception_is_found_between_the_platforms_lines() -> None:
    assert complaint(PYTHON) == [
        "[ERROR] KeyError: 'SOCKETS'",
        "Traceback (most recent call last):",
        '  File "/var/task/hall.py", line 9, in on_event',
        '    table = os.environ["SOCKETS"]',
    ]
    # Everybody at the door had the same: it is shown once, and the last one.
    assert complaint([*PYTHON, "[ERROR] ValueError: later"]) == ["[ERROR] ValueError: later"]


def test_a_function_that_is_well_complains_of_nothing() -> None:
    assert complaint(["START RequestId: 1", "welcome ann", "END RequestId: 1"]) == []
    assert complaint([]) == []


def test_a_long_one_keeps_what_it_was_and_where() -> None:
    trace = "\n".join(f"  line {number}" for number in range(40))
    kept = complaint([f"[ERROR] KeyError: 'A'\n{trace}"])
    assert kept[0] == "[ERROR] KeyError: 'A'"
    assert kept[-1] == "  line 39"
    assert len(kept) == 6


@pytest.mark.parametrize("secret", ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln", "hush-hush"])
def test_no_secret_is_shown(secret: str) -> None:
    [line] = complaint([f"[ERROR] ValueError: no entry for {secret}"], ["hush-hush"])
    assert line == "[ERROR] ValueError: no entry for [redacted]"


@mock_aws
def test_only_the_functions_at_the_door_are_asked() -> None:
    """The authorizer and $connect; a function without a log, or with one that is well, is left out."""
    settings = Settings(
        project=Project(name="club"), api=Api(id="abc", stage="live", region="eu-west-1"),
        functions=(
            Function(name="door", role="authorizer"), Function(name="hall", routes=("$connect", "shout")),
            Function(name="quiz", routes=("quiz",)),
        ),
    )  # fmt: skip

    class OfMoto(Config):
        def client(self, service: str, **_: Any) -> Any:
            return boto3.client(
                service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
            )  # fmt: skip

    config = OfMoto(settings, None)  # type: ignore[arg-type]  # it is in no file
    logs = config.client("logs")
    for name in ("hall", "quiz"):
        logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
        logs.create_log_stream(logGroupName=f"/aws/lambda/{name}", logStreamName="one")
        events = [{"timestamp": int(time.time() * 1000) + at, "message": one} for at, one in enumerate(PYTHON)]
        logs.put_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName="one", logEvents=events)
    found = asyncio.run(why_refused(config, within=0))
    assert list(found) == ["hall"]
    assert found["hall"][0] == "[ERROR] KeyError: 'SOCKETS'"
