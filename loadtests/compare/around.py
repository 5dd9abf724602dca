"""What must be so while both stacks of one `migrate up` are measured: the simulated people quiet, the bridge held,
functions pointed to the side that is measured. All of it over the network, the command line and the state directory.

What is to be put back stands in a file of the state directory: a comparison that was killed is put right by the next.
The people chat again as soon as the lock they look at is free, which is when this process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loadtests.compare.errors import CompareError, InUseError
from loadtests.compare.fronts import Front, end_left_over, front

__all__ = ["FUNCTIONS", "VARIABLE", "Around"]

VARIABLE = "LEGACY_WS_MANAGEMENT_URL"
FUNCTIONS = {
    "rooms": ("sendMessage", "getHistory", "default"),
    "direct": ("sendMessage", "getHistory", "read", "default"),
    "layers": ("default", "chat", "ping", "answer"),
}
"""Of each application, those that post to connections."""
# Of the function's configuration, by `migrate.tee.install`.
TEE_HANDLER = "ws2sse_tee.handler"
# Two connections to close, two streams to end.
QUIET_TIMEOUT_S = 20.0


class Around:
    """Of the stacks of one state directory; `held` and `front` for the whole comparison, `pointed` for the drop-in's
    runs.

    Args:
        up: what `migrate up` says of itself (up.json).
    """

    def __init__(self, state_dir: Path, up: Mapping[str, Any]) -> None:
        self._state_dir = state_dir
        self._up = up
        self._file = state_dir / "load-compare.json"
        self._client: Any = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The bridge would copy each message of one stack to the other one; simulated people would speak to the users
        of the load, and these to them.

        Raises: InUseError: another comparison runs. CompareError: the bridge cannot be stopped or started, or the
            people go on.
        """
        # What is entered last is left first: nobody speaks before the bridge is up again.
        with (self._state_dir / "load-compare.lock").open("w") as lock, contextlib.ExitStack() as people:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InUseError(
                    f"another comparison runs against the stacks of {self._state_dir}", "wait for its end"
                ) from None
            people.enter_context(self._people_quiet())
            self._put_back()
            status = json.loads(self._migrate("bridge", "status", "--json"))
            self._note(bridge=status.get("state") not in ("held", None))
            try:
                if self._noted().get("bridge"):
                    self._migrate("bridge", "stop")
                yield
            finally:
                self._put_back()

    def tee_is_installed(self) -> bool | None:
        """In the function of rooms that sends messages; None: it cannot be seen."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            name = self._up["stacks"]["rooms"]["functions"]["sendMessage"]
            return bool(self._lambda().get_function_configuration(FunctionName=name)["Handler"] == TEE_HANDLER)
        except (BotoCoreError, ClientError, KeyError):
            return None

    @contextlib.contextmanager
    def _people_quiet(self) -> Iterator[None]:
        with (self._state_dir / "people.hold").open("a") as hold:
            fcntl.flock(hold, fcntl.LOCK_SH)
            deadline = time.monotonic() + QUIET_TIMEOUT_S
            while self._people() == "chatting":
                if time.monotonic() > deadline:
                    raise CompareError(
                        f"the simulated people still chat after {QUIET_TIMEOUT_S:g} s", "`migrate up --no-traffic`"
                    )
                time.sleep(0.05)
            yield

    def _people(self) -> str:
        """chatting, held, nobody: `migrate.up.people`."""
        try:
            up = json.loads((self._state_dir / "up.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "nobody"
        return str(up.get("people", "nobody"))

    @contextlib.contextmanager
    def front(self, app: str) -> Iterator[Front]:
        """Virtual connections before an application: for rooms those of `migrate up`, for others a service that ends
        with the block. Raises CompareError."""
        if app == "rooms":
            yield Front(f"{self._up['sse_url']}/{self._up['stacks']['rooms']['stage']}")
            return
        log = self._state_dir / "logs" / f"sse-service-load-{app}.log"
        try:
            with front(app, self._up, log) as made:
                self._note(fronts={**self._noted().get("fronts", {}), app: made.mark})
                yield made
        finally:
            self._note(fronts={name: mark for name, mark in self._noted().get("fronts", {}).items() if name != app})

    @contextlib.contextmanager
    def pointed(self, app: str, url: str) -> Iterator[None]:
        """The functions of an application post to `url` (virtual connections) instead of API Gateway."""
        functions = self._up["stacks"][app]["functions"]
        before = {name: self._variables(name).get(VARIABLE) for name in (functions[kind] for kind in FUNCTIONS[app])}
        self._note(functions={**self._noted().get("functions", {}), **before})
        try:
            for name in before:
                self._point(name, url)
            yield
        finally:
            self._point_back(before)

    def _put_back(self) -> None:
        """Everything that is noted."""
        noted = self._noted()
        self._point_back(noted.get("functions") or {})
        for mark in (noted.get("fronts") or {}).values():
            end_left_over(mark)
        if noted.get("bridge"):
            self._migrate("bridge", "start")
        self._file.unlink(missing_ok=True)

    def _point_back(self, functions: Mapping[str, str | None]) -> None:
        for name, url in functions.items():
            self._point(name, url)
        left = {name: url for name, url in self._noted().get("functions", {}).items() if name not in functions}
        if functions:
            self._note(functions=left)

    def _point(self, name: str, url: str | None) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            variables = {key: value for key, value in self._variables(name).items() if key != VARIABLE}
            if url is not None:
                variables[VARIABLE] = url
            self._lambda().update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        except (BotoCoreError, ClientError) as error:
            raise CompareError(
                f"{name} cannot be pointed to {url or 'API Gateway'}: {error}", "`migrate status`"
            ) from None

    def _variables(self, name: str) -> dict[str, str]:
        found = self._lambda().get_function_configuration(FunctionName=name)
        return dict(found.get("Environment", {}).get("Variables", {}))

    def _lambda(self) -> Any:
        if self._client is None:
            import boto3

            env = self._up["env"]
            self._client = boto3.client(
                "lambda",
                endpoint_url=self._up["aws_endpoint_url"],
                region_name=env["AWS_REGION"],
                aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            )
        return self._client

    def _noted(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _note(self, **more: Any) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({**self._noted(), **more}), encoding="utf-8")
        part.replace(self._file)

    def _migrate(self, *arguments: str) -> str:
        # In a session of its own: the Ctrl-C that ends the comparison does not end what puts things back.
        done = subprocess.run(
            [sys.executable, "-m", "migrate", *arguments, "--state-dir", str(self._state_dir)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            start_new_session=True,
        )
        if done.returncode:
            what = " ".join(arguments[:2])
            said = done.stderr.strip().splitlines()
            raise CompareError(
                f"`migrate {what}`: {said[0].removeprefix('error: ') if said else 'failed'}",
                f"`migrate status`; the next comparison puts back what is left, as does `migrate {arguments[0]} start`",
            )
        return done.stdout
