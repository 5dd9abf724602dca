"""What must be so while both stacks of one `migrate up` are measured: the bridge held, functions pointed to the side
that is measured. All of it over the network and the command line, and put back."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["bridge_held", "functions_point_to"]

VARIABLE = "LEGACY_WS_MANAGEMENT_URL"


@contextlib.contextmanager
def bridge_held(state_dir: Path) -> Iterator[bool]:
    """The bridge would copy each message of one stack to the other one. Yields whether it was running."""
    status = json.loads(_migrate("bridge", "status", "--json", "--state-dir", str(state_dir)) or "{}")
    running = status.get("state") not in ("held", None)
    if running:
        _migrate("bridge", "stop", "--state-dir", str(state_dir))
    try:
        yield running
    finally:
        if running:
            _migrate("bridge", "start", "--state-dir", str(state_dir))


def _migrate(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "migrate", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise RuntimeError(f"`migrate {' '.join(arguments[:2])}`: {done.stderr.strip()[-300:]}")
    return done.stdout


@contextlib.contextmanager
def functions_point_to(up: Mapping[str, Any], url: str) -> Iterator[None]:
    """The functions of rooms post to `url` (virtual connections) instead of API Gateway."""
    import boto3

    env = up["env"]
    client = boto3.client(
        "lambda",
        endpoint_url=up["aws_endpoint_url"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    functions = up["stacks"]["rooms"]["functions"]
    before = {}
    try:
        for kind in ("sendMessage", "getHistory", "default"):
            name = functions[kind]
            found = client.get_function_configuration(FunctionName=name)
            before[name] = variables = found.get("Environment", {}).get("Variables", {})
            client.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, VARIABLE: url}}
            )
        yield
    finally:
        for name, variables in before.items():
            client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
