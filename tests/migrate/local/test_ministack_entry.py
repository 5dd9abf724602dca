"""What is replaced in MiniStack, and the check that it is still the MiniStack we know. until phase 3"""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ministack.services.lambda_svc as lambda_service
from ministack.core import iam_evaluator

from migrate.local.ministack_entry import code_of_version, execute_at, expected, move_saved_addresses


def test_the_pinned_ministack_has_what_we_replace() -> None:
    assert expected(lambda_service, iam_evaluator) is None


def test_another_ministack_is_recognised() -> None:
    missing = "lambda_svc._execute_function_dispatch(func, config, event, request_id, started)"
    assert expected(SimpleNamespace(), iam_evaluator) == missing
    assert expected(lambda_service, SimpleNamespace()) == "iam_evaluator._validate_session_token"


def test_saved_addresses_move_with_the_port(tmp_path: Path) -> None:
    move_saved_addresses(tmp_path, "1111")
    saved = tmp_path / "sqs.json"
    saved.write_text(json.dumps({"http://localhost:1111/0/q": {"body": "localhost:11112"}}))
    move_saved_addresses(tmp_path, "1111")
    move_saved_addresses(tmp_path, "2222")
    assert json.loads(saved.read_text()) == {"http://localhost:2222/0/q": {"body": "localhost:11112"}}


def test_code_of_a_version_is_found() -> None:
    functions = {"f": {"versions": {"1": {"code_zip": b"one"}}}}
    module: Any = SimpleNamespace(
        serve_function_code=lambda name, account, region: (200, {}, b"latest " + name.encode()),
        _functions=SimpleNamespace(get_scoped=lambda account, region, name: functions.get(name)),
    )
    serve = code_of_version(module)
    assert serve("f", "0", "r")[2] == b"latest f"
    assert serve("f:1", "0", "r")[2] == b"one"
    assert serve("f:2", "0", "r")[0] == 404
    assert serve("g:1", "0", "r")[0] == 404


def test_unreachable_front_door_is_a_failed_execution() -> None:
    module: Any = SimpleNamespace()
    result = execute_at("127.0.0.1:1", module)(None, {"FunctionName": "f"}, {}, "", 0.0)
    assert result["error"] and result["body"]["errorType"] == "Runtime.Unreachable"


def test_a_new_one_waits_until_the_one_before_has_saved_its_state(tmp_path: Path) -> None:
    """MG2: after a kill -9 of the parent the old process still saves; starting beside it would lose what it holds."""
    code = (
        "import sys, time; from pathlib import Path; from migrate.local.ministack_entry import only_one;"
        "lock = only_one(Path(sys.argv[1])); print('mine', flush=True); time.sleep(float(sys.argv[2]))"
    )
    began = time.monotonic()
    argv = [sys.executable, "-c", code, str(tmp_path / "lock")]
    first = subprocess.Popen([*argv, "1.0"], stdout=subprocess.PIPE)
    assert first.stdout is not None
    with first:
        assert first.stdout.readline() == b"mine\n"
        second = subprocess.run([*argv, "0"], stdout=subprocess.PIPE, check=True, timeout=30)
        assert second.stdout == b"mine\n"
        assert first.wait() == 0
    assert time.monotonic() - began > 1.0
