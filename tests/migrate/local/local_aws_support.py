"""A `python -m migrate.local` for tests, started as a user starts it. until phase 3"""

import contextlib
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config

REGION = "ap-northeast-1"
ROLE = "arn:aws:iam::000000000000:role/test"


def zipped(files: dict[str, str]) -> bytes:
    """A deployment package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of the condition; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            assert value
            return value
        time.sleep(0.05)


def gone(pids: list[int]) -> bool:
    """Whether none of the processes runs any more."""
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            continue
    return True


@dataclass
class RunningLocalAws:
    """A `python -m migrate.local` and clients of it."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    state_dir: Path
    clients: list[Any]

    def client(self, service: str, **options: Any) -> Any:
        config = Config(retries={"total_max_attempts": 1}, **options)
        client = boto3.client(
            service,
            endpoint_url=self.ready["aws_endpoint_url"],
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=config,
        )
        self.clients.append(client)
        return client

    def create(self, name: str, code: dict[str, str] | str, **options: Any) -> None:
        """Define a function; `code` alone is the text of app.py, whose handler is `app.handler`."""
        files = {"app.py": code} if isinstance(code, str) else code
        defaults = {"Runtime": f"python3.{sys.version_info.minor}", "Handler": "app.handler", "Timeout": 10}
        self.client("lambda").create_function(
            FunctionName=name, Role=ROLE, Code={"ZipFile": zipped(files)}, **(defaults | options)
        )

    def invoke(self, name: str, event: Any = None, **options: Any) -> tuple[Any, str | None]:
        """What the function answered, and X-Amz-Function-Error."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), **options)
        body = answer["Payload"].read()
        return json.loads(body) if body else None, answer.get("FunctionError")

    def messages(self, name: str) -> list[str]:
        """What is in the function's log group."""
        logs = self.client("logs")
        try:
            return [event["message"] for event in logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []

    def workers(self) -> list[int]:
        """Processes of Lambda workers."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile (ZombieProcess is one of these)
                if "awslambdaric" in " ".join(child.cmdline()):
                    found.append(child.pid)
        return found

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()


def start_local_aws(state_dir: Path, *options: str) -> RunningLocalAws:
    """Start the process and wait for its one line."""
    errors = state_dir.parent / f"{state_dir.name}.err"
    with errors.open("ab") as error_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "migrate.local", "--state-dir", str(state_dir), *options],
            stdout=subprocess.PIPE,
            stderr=error_file,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, errors.read_text()
    return RunningLocalAws(process, json.loads(line), state_dir, [])


def stop_local_aws(running: RunningLocalAws) -> int:
    running.close()
    running.process.terminate()
    status = running.process.wait(30)
    assert running.process.stdout is not None
    running.process.stdout.close()
    return status
