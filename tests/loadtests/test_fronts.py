"""The service before an application of which `migrate up` has no virtual connections. until phase 3"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadtests.compare.errors import CompareError
from loadtests.compare.fronts import end_left_over, environment_of, front


@pytest.fixture
def up(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "secret").write_text("k" * 40 + "\n", encoding="utf-8")
    stack = {"api_id": "a1", "stage": "no stage", "management_url": "http://127.0.0.1:1/prod"}
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "local", "AWS_REGION": "ap-northeast-1"}
    return {"stacks": {"layers": stack}, "env": env, "jwt": {"secret_file": str(tmp_path / "secret")}}


def test_nothing_of_a_real_account_reaches_it(up: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "SSE_REDIS_URL", "LEGACY_WS_STAGE"):
        monkeypatch.setenv(name, "real")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    made = environment_of("layers", up)
    assert "real" not in made.values()
    assert made["no_proxy"] == made["NO_PROXY"] == "intern.example,127.0.0.1,localhost"
    assert made["AWS_CONFIG_FILE"] == made["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert (made["SSE_VIRTUAL_API_ID"], made["SSE_JWT_SECRET"]) == ("a1", "k" * 40)


def test_one_that_does_not_start_says_why(up: dict[str, Any], tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    with pytest.raises(CompareError, match="did not start: SSE_VIRTUAL_STAGE") as refused, front("layers", up, log):
        pass
    assert str(log) in refused.value.hint and "k" * 40 not in f"{refused.value} {log.read_text()}"


def test_only_the_very_process_is_ended_that_was_noted() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            started = psutil.Process(process.pid).create_time()
            for wrong in ((process.pid, started - 1), (), (process.pid,)):
                end_left_over(wrong)
            assert process.poll() is None
            end_left_over([process.pid, started])
            assert process.wait(30) != 0
            end_left_over([process.pid, started])
        finally:
            process.kill()
