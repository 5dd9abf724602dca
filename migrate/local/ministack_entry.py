"""MiniStack's process: `python -m migrate.local.ministack_entry`, started by ministack.py only. until phase 3

It serves MiniStack's application as MiniStack's own entry point does, with seven differences:

- It binds MINISTACK_BIND_PORT while GATEWAY_PORT, which MiniStack prints into every address it hands out (QueueUrl,
  Code.Location, pre-signed addresses), is the port of our front door.
- Wherever MiniStack itself runs a function (event source mappings, S3 and SNS notifications, EventBridge, HTTP APIs,
  function URLs, Cognito triggers, CloudFormation custom resources), it asks the front door's Invoke API, that is our
  Lambda execution, instead of its own runtime, which ignores `Runtime` and leaks the host's environment.
- Workers have a session token, as on AWS; MiniStack refuses it in pre-signed S3 addresses of its root keys.
- The code of a published version can be fetched (`/_ministack/lambda-code/…/NAME:VERSION`); MiniStack serves only
  the latest.
- CloudFormation knows what templates of WebSocket APIs have (ministack_templates.py).
- Deleting a stage's access log or route settings leaves the stage (ministack_stages.py).
- It lists the queues that have a queue for their dead letters (ministack_queues.py).

MiniStack is pinned exactly (pyproject.toml). Every name of it that is replaced here is checked first, so that
another version fails at start with a message and not later in somebody's test.
"""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import importlib
import inspect
import json
import os
import re
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from migrate.local import ministack_queues, ministack_stages, ministack_templates

__all__ = ["main"]

SECRET = "local"  # noqa: S105 - a name for everybody on this machine, nothing is protected by it
"""Secret key and session token of workers, and of everybody who uses the local AWS with pre-signed addresses."""

INVOKE_MARGIN_S = 60.0
"""How much longer than the function's own Timeout we wait for the front door (it enforces the Timeout)."""


PREDECESSOR_S = 30.0
"""How long the MiniStack before this one may take to end; more than its parent gave it."""


class _LambdaModule(Protocol):
    """The names of `ministack.services.lambda_svc` that this module uses or replaces."""

    _functions: Any
    _execute_function_dispatch: Any
    serve_function_code: Any
    _throttle_response: Any


def expected(module: object, iam: object) -> str | None:
    """What of MiniStack is not as in the pinned version, or None."""
    if not callable(getattr(iam, "_validate_session_token", None)):
        return "iam_evaluator._validate_session_token"
    wanted = {
        "_execute_function_dispatch": ["func", "config", "event", "request_id", "started"],
        "serve_function_code": ["func_name", "account_id", "region"],
        "_throttle_response": ["reason_code", "msg", "retry_after"],
    }
    for name, parameters in wanted.items():
        function = getattr(module, name, None)
        if function is None or list(inspect.signature(function).parameters) != parameters:
            return f"lambda_svc.{name}({', '.join(parameters)})"
    return None if hasattr(getattr(module, "_functions", None), "get_scoped") else "lambda_svc._functions.get_scoped"


def execute_at(front_door: str, module: _LambdaModule) -> Any:
    """MiniStack's executor, replaced by a call of Invoke at the front door (`127.0.0.1:PORT`).

    Returns a function with the arguments of `_execute_function_dispatch` and its result:
    {"body": value, "error": bool, "function_error": "Unhandled", "log": ""}.
    """

    def execute(_func: object, config: dict[str, Any], event: object, _request_id: str, _started: float) -> Any:
        arn = str(config.get("FunctionArn") or config.get("FunctionName"))
        account, region = (arn.split(":")[4], arn.split(":")[3]) if arn.count(":") >= 6 else ("local", "us-east-1")
        credential = f"{account}/20260101/{region}/lambda/aws4_request"
        connection = http.client.HTTPConnection(front_door, timeout=float(config.get("Timeout") or 3) + INVOKE_MARGIN_S)
        try:
            connection.request(
                "POST",
                f"/2015-03-31/functions/{arn}/invocations",
                json.dumps(event, ensure_ascii=False).encode(),
                {
                    "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=local",
                    "Content-Type": "application/json",
                },
            )
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            return failure("Runtime.Unreachable", f"the local Lambda execution did not answer: {error}")
        finally:
            connection.close()
        if response.status == 429:
            detail = json.loads(body)
            return module._throttle_response(detail.get("Reason", ""), detail.get("message", ""))
        if response.status != 200:
            return failure("Runtime.InvokeFailed", f"Invoke answered {response.status}: {body[:500]!r}")
        function_error = response.getheader("X-Amz-Function-Error")
        try:
            value = json.loads(body) if body else None
        except ValueError:
            return {"body": body.decode("utf-8", "replace"), "raw_payload": True}
        if function_error:
            return {"body": value, "error": True, "function_error": function_error, "log": ""}
        return {"body": value}

    return execute


def failure(error_type: str, message: str) -> dict[str, Any]:
    """A failed execution, as MiniStack shapes it."""
    return {"body": {"errorType": error_type, "errorMessage": message}, "error": True, "function_error": "Unhandled"}


def code_of_version(module: _LambdaModule) -> Any:
    """`serve_function_code` that knows NAME:VERSION as well."""
    latest = module.serve_function_code

    def serve(func_name: str, account_id: str | None = None, region: str | None = None) -> Any:
        name, colon, version = func_name.partition(":")
        if not colon or version == "$LATEST":
            return latest(name, account_id, region)
        function = module._functions.get_scoped(account_id, region, name) if account_id and region else None
        record = (function or {}).get("versions", {}).get(version)
        if record is None:
            return 404, {"Content-Type": "text/plain"}, b"Function not found"
        return 200, {"Content-Type": "application/zip"}, record.get("code_zip") or b""

    return serve


def accepts_session_token(iam: Any, token: str) -> Any:
    """`_validate_session_token` that takes `token` where none is expected."""
    original = iam._validate_session_token

    def validate(wanted: object, supplied: object) -> Any:
        return None if wanted is None and supplied == token else original(wanted, supplied)

    return validate


_ADDRESS_FILES = ("apigateway.json", "lambda.json", "sns.json", "sqs.json")


def move_saved_addresses(state_dir: Path, port: str) -> None:
    """Rewrite `localhost:OLD` in the saved state to today's port; queues are keyed by their whole URL there."""
    marker = state_dir / "advertised-port"
    old = marker.read_text().strip() if marker.exists() else port
    if old != port:
        for name in _ADDRESS_FILES:
            saved = state_dir / name
            if saved.exists():
                saved.write_text(re.sub(rf"\blocalhost:{re.escape(old)}\b", f"localhost:{port}", saved.read_text()))
    state_dir.mkdir(parents=True, exist_ok=True)
    marker.write_text(port)


def only_one(path: Path) -> TextIOWrapper:
    """Wait until the MiniStack before us, if there is one, has saved its state; ours would begin without it.

    One whose parent was killed is told so by SIGTERM, and needs a second or two to end (see children.py). The lock is
    held until the file is closed, at the latest by the end of the process.
    """
    file = path.open("a")
    deadline = time.monotonic() + PREDECESSOR_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.exit(f"another MiniStack still uses {path.parent} after {PREDECESSOR_S:g} s")
            time.sleep(0.05)
        else:
            return file


def main() -> None:
    """Serve until SIGTERM, which saves the state."""
    port = os.environ["GATEWAY_PORT"]
    state_dir = Path(os.environ["STATE_DIR"])
    _lock = only_one(state_dir.parent / "lock")
    move_saved_addresses(state_dir, port)

    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    app = importlib.import_module("ministack.app").app
    module: Any = importlib.import_module("ministack.services.lambda_svc")
    iam: Any = importlib.import_module("ministack.core.iam_evaluator")
    provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
    gateway: Any = importlib.import_module("ministack.services.apigateway")
    dynamodb: Any = importlib.import_module("ministack.services.dynamodb")
    sqs: Any = importlib.import_module("ministack.services.sqs")
    missing = (
        expected(module, iam)
        or ministack_queues.expected(sqs)
        or ministack_templates.expected(provisioners, gateway, dynamodb)
        or ministack_stages.expected(gateway)
    )
    if missing is not None:
        sys.exit(f"this version of MiniStack has no {missing}; the local AWS needs the pinned one (pyproject.toml)")
    module._execute_function_dispatch = execute_at(f"127.0.0.1:{port}", module)
    module.serve_function_code = code_of_version(module)
    ministack_templates.register(provisioners, gateway, module, dynamodb)
    ministack_queues.register(sqs)
    gateway.handle_request = ministack_stages.keeps_stages(gateway)
    iam._validate_session_token = accepts_session_token(iam, SECRET)

    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['MINISTACK_BIND_PORT']}"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ.get("LOG_LEVEL", "INFO")
    config.graceful_timeout = 1.0
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
