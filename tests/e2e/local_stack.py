"""A local AWS of a test's own, with stacks deployed by the command line. until phase 3"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from e2e_support import LEGACY_WS, run


@dataclass
class LocalStack:
    """A running `python -m migrate.local`.

    Args:
        ready: the line of JSON that it printed.
        process: itself.
    """

    ready: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """What points boto3 and our commands to it."""
        nowhere = os.devnull
        return {
            "AWS_ENDPOINT_URL": self.ready["aws_endpoint_url"],
            "AWS_DEFAULT_REGION": self.ready["region"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        }

    def legacy_ws(self, *arguments: str, ok: bool = True) -> str:
        """What `legacy-ws` prints; fails the test when it fails, unless `ok` is False."""
        done = run(LEGACY_WS, *arguments, env=self.env)
        assert done.returncode == 0 or not ok, done.stderr
        return done.stdout if ok else done.stderr

    def deploy(self, stack: str, *options: str) -> dict[str, Any]:
        """What `legacy-ws deploy --json` says."""
        deployed: dict[str, Any] = json.loads(self.legacy_ws("deploy", stack, "--json", *options))
        return deployed

    def token(self, stack: str, user: str, *options: str) -> str:
        return self.legacy_ws("token", stack, user, *options).strip()

    def client(self, service: str, **options: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=options.pop("endpoint_url", self.ready["aws_endpoint_url"]),
            region_name=self.ready["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            **options,
        )


@contextlib.contextmanager
def local_stack(folder: Path, *options: str) -> Iterator[LocalStack]:
    """Start one on free ports, with its state in `folder`; ended with the block."""
    with (
        (folder / "local-aws.err").open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "migrate.local", "--state-dir", str(folder / "aws"), *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "local-aws.err").read_text(encoding="utf-8")
            yield LocalStack(json.loads(line), process)
        finally:
            process.terminate()
            process.wait(30)
