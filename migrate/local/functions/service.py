"""Runs the functions that are defined in the control plane. until phase 3

What a function is gets read from the control plane with its first invocation and remembered. The front door says
when something changed (`changed`); what changes behind its back (CloudFormation works in the background) is noticed
within a second, since the memory is refreshed beside the invocations.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from migrate.local.functions.code import CodeMismatchError, CodeStore
from migrate.local.functions.configuration import (
    FunctionConfig,
    UnsupportedRuntimeError,
    environment,
    parse_function,
)
from migrate.local.functions.control_plane import ControlPlane, ControlPlaneError
from migrate.local.functions.events import AsyncEvents
from migrate.local.functions.interpreters import Interpreters
from migrate.local.functions.logs import LogShipper
from migrate.local.functions.messages import error_payload
from migrate.local.functions.pool import Limits, Pool
from migrate.local.functions.reference import ACCOUNT, FunctionRef, parse_reference
from migrate.local.functions.runtime_site import build_runtime_site
from migrate.local.functions.worker import Command, Invocation
from migrate.local.ports import FunctionNotFoundError, InvokeResult, InvokeTimeoutError, TooManyRequestsError
from migrate.local.usage import Usage

__all__ = ["LocalFunctions"]

log = logging.getLogger(__name__)

REFRESH_S = 1.0
_BOOTSTRAP = Path(__file__).parent / "node_bootstrap.mjs"


@dataclass(eq=False)
class _Entry:
    """What is known of one function, version or alias."""

    ref: FunctionRef
    config: FunctionConfig
    pool: Pool
    checked_at: float
    refreshing: asyncio.Task[None] | None = None


class _UnavailableError(Exception):
    """The function cannot be run here; `answer` says why, as the function's error."""

    def __init__(self, error_type: str, message: str) -> None:
        self.answer = error_payload(error_type, message)
        super().__init__(message)


class LocalFunctions:
    """Lambda execution; a FunctionInvoker (ports.py).

    Args:
        control_plane_url: MiniStack.
        front_door_url: what functions get as AWS_ENDPOINT_URL.
        state_dir: code, layers and the runtime's packages are kept below it.
        ca_bundle: what functions get as AWS_CA_BUNDLE and NODE_EXTRA_CA_CERTS.
        limits: caps and idle time of workers.
    """

    def __init__(
        self,
        control_plane_url: str,
        front_door_url: str,
        state_dir: Path,
        ca_bundle: Path | None,
        region: str,
        limits: Limits | None = None,
        usage: Usage | None = None,
    ) -> None:
        self._front_door_url = front_door_url
        self._ca_bundle = ca_bundle
        self._region = region
        self._folder = state_dir.resolve() / "functions"
        self._limits = limits or Limits()
        self._usage = usage or Usage()
        self._control_plane = ControlPlane(control_plane_url)
        self._code = CodeStore(self._folder / "code", self._control_plane)
        self._site = self._folder / "runtime-site"
        self._interpreters = Interpreters(self._site, self._folder / "runtime-sites")
        self._shipper = LogShipper(self._control_plane)
        self._events = AsyncEvents(self._attempt, self._control_plane)
        self._entries: dict[FunctionRef, _Entry] = {}
        self._locks: dict[FunctionRef, asyncio.Lock] = {}
        self._refs: dict[str, FunctionRef] = {}
        self._told: dict[FunctionRef, str] = {}
        self._running: Counter[tuple[str, str, str]] = Counter()
        self._changes = 0

    async def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        build_runtime_site(self._site)
        self._code.start()
        await self._control_plane.start()
        self._shipper.start()

    async def stop(self) -> None:
        """End every worker; sends the rest of the logs."""
        await self._events.stop()
        for entry in self._entries.values():
            if entry.refreshing is not None:
                entry.refreshing.cancel()
        await asyncio.gather(*(pool.end() for pool in list(self._limits.pools)))
        await self._shipper.stop()
        await self._control_plane.stop()

    def changed(self, name: str | None) -> None:
        """A function (or, None, any) may have changed in the control plane: look before its next invocation."""
        self._changes += 1
        for ref, entry in self._entries.items():
            if name is None or ref.name == name:
                entry.checked_at = float("-inf")

    async def invoke(
        self, function_arn: str, payload: bytes, *, timeout_s: float, asynchronous: bool = False
    ) -> InvokeResult:
        """See ports.FunctionInvoker."""
        ref = self._refs.get(function_arn)
        if ref is None:
            ref = parse_reference(function_arn, account=ACCOUNT, region=self._region)
            if ref is None:
                raise FunctionNotFoundError(function_arn)
            if len(self._refs) > 10_000:
                self._refs.clear()
            self._refs[function_arn] = ref
        if asynchronous:
            await self.check(ref)
            self._events.add(ref, payload)
            return InvokeResult(b"", None)
        return (await self.run(ref, payload, timeout_s=timeout_s))[1]

    def enqueue(self, ref: FunctionRef, payload: bytes) -> None:
        """Invoke asynchronously. Raises: TooManyRequestsError."""
        self._events.add(ref, payload)

    async def check(self, ref: FunctionRef) -> FunctionConfig | None:
        """The function's configuration, None if it exists but cannot be run here. Raises: FunctionNotFoundError."""
        try:
            return (await self._entry(ref)).config
        except _UnavailableError:
            return None

    async def run(
        self,
        ref: FunctionRef,
        payload: bytes,
        *,
        timeout_s: float | None,
        log_tail: bool = False,
        client_context: str | None = None,
        trace_id: str | None = None,
    ) -> tuple[FunctionConfig | None, InvokeResult]:
        """Invoke synchronously; `timeout_s` None waits as long as the function may take.

        Raises: FunctionNotFoundError, InvokeTimeoutError, TooManyRequestsError.
        """
        try:
            entry = await self._entry(ref)
        except _UnavailableError as error:
            # Who invokes it through a gateway hears no more than 502.
            self._tell(ref, str(error))
            return None, InvokeResult(error.answer, "Unhandled")
        loop = asyncio.get_running_loop()
        invocation = Invocation(ref.arn, payload, loop.create_future(), log_tail, client_context, trace_id)
        return entry.config, await self._run(entry, invocation, timeout_s)

    def _tell(self, ref: FunctionRef, why: str) -> None:
        """Log why a function cannot be run here, once."""
        if self._told.get(ref) != why:
            self._told[ref] = why
            log.warning("%s cannot be run here: %s", ref.name, why)

    async def _attempt(self, ref: FunctionRef, payload: bytes) -> tuple[FunctionConfig, str, InvokeResult]:
        """One attempt of an asynchronous event."""
        try:
            entry = await self._entry(ref)
        except _UnavailableError as error:
            # Nothing to retry for a function that cannot be run here at all.
            log.warning("%s: %s", ref.arn, error)
            raise FunctionNotFoundError(ref.arn) from error
        invocation = Invocation(ref.arn, payload, asyncio.get_running_loop().create_future())
        return entry.config, invocation.request_id, await self._run(entry, invocation, None)

    async def _run(self, entry: _Entry, invocation: Invocation, timeout_s: float | None) -> InvokeResult:
        key = (entry.ref.account, entry.ref.region, entry.ref.name)
        reserved = entry.config.reserved_concurrency
        if reserved is not None and self._running[key] >= reserved:
            raise TooManyRequestsError(entry.ref.arn)
        self._running[key] += 1
        began = time.perf_counter()
        try:
            pool = entry.pool
            pool.submit(invocation)
            try:
                async with asyncio.timeout(timeout_s):
                    return await invocation.result
            except TimeoutError:
                raise InvokeTimeoutError(entry.ref.arn, timeout_s or 0) from None
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # The workers were ended under us.
                return InvokeResult(error_payload("Runtime.Stopped", "the local AWS is shutting down"), "Unhandled")
        finally:
            if not invocation.result.done() or invocation.result.cancelled():
                entry.pool.withdraw(invocation)
            self._usage.invocation(entry.ref.name, time.perf_counter() - began, entry.config.memory_mb)
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]

    # What is known of functions

    async def _entry(self, ref: FunctionRef) -> _Entry:
        entry = self._entries.get(ref)
        now = asyncio.get_running_loop().time()
        if entry is not None:
            age_s = now - entry.checked_at
            if age_s < REFRESH_S:
                return entry
            if age_s != float("inf"):
                if entry.refreshing is None:
                    entry.refreshing = asyncio.create_task(self._refresh_beside(entry))
                return entry
        async with self._locks.setdefault(ref, asyncio.Lock()):
            current = self._entries.get(ref)
            if current is not None and current.checked_at != float("-inf"):
                return current
            return await self._look(ref)

    async def _refresh_beside(self, entry: _Entry) -> None:
        try:
            async with self._locks.setdefault(entry.ref, asyncio.Lock()):
                await self._look(entry.ref)
        except (FunctionNotFoundError, _UnavailableError):
            log.info("%s is gone or can no longer be run", entry.ref.arn)
        finally:
            entry.refreshing = None

    async def _look(self, ref: FunctionRef) -> _Entry:
        """Ask the control plane; keeps the workers unless something that matters to them changed."""
        loop = asyncio.get_running_loop()
        known = self._entries.get(ref)
        asked_at, changes = loop.time(), self._changes
        try:
            config = parse_function(await self._control_plane.function(ref))
        except FunctionNotFoundError:
            self._forget(ref)
            raise
        except ControlPlaneError as error:
            if known is not None:
                known.checked_at = asked_at
                return known
            raise _UnavailableError("Local.ControlPlaneUnavailable", str(error)) from error
        except UnsupportedRuntimeError as error:
            self._forget(ref)
            raise _UnavailableError("Local.UnsupportedRuntime", str(error)) from error
        if changes != self._changes:
            # Something changed while the question was under way: the answer may be the old one.
            asked_at = float("-inf")
        if known is not None and known.config.fingerprint == config.fingerprint:
            known.config, known.checked_at = config, asked_at
            return known
        command = await self._command(ref, config)
        pool = Pool(config, command, self._shipper, self._limits)
        waiting = known.pool.close() if known is not None else ()
        for invocation in waiting:
            pool.submit(invocation)
        if known is not None:
            known.config, known.pool, known.checked_at = config, pool, asked_at
            return known
        entry = self._entries[ref] = _Entry(ref, config, pool, asked_at)
        return entry

    def _forget(self, ref: FunctionRef) -> None:
        entry = self._entries.pop(ref, None)
        if entry is not None:
            answer = error_payload("ResourceNotFoundException", f"Function not found: {ref.arn}")
            for invocation in entry.pool.close():
                invocation.finish(InvokeResult(answer, "Unhandled"))

    async def _command(self, ref: FunctionRef, config: FunctionConfig) -> Command:
        """Fetch code and layers, find the interpreter. Raises: _UnavailableError."""
        try:
            task_root = await self._code.code(ref, config)
            # The last layer of the list is unpacked last on AWS, over the others: it comes first here.
            layers = tuple([await self._code.layer(arn) for arn in reversed(config.layers)])
            interpreter = await self._interpreters.find(config.runtime)
        except (ControlPlaneError, CodeMismatchError, zipfile.BadZipFile, OSError) as error:
            raise _UnavailableError("Local.CodeUnavailable", f"{ref.name}: {error}") from error
        client = ("-S", "-m", "awslambdaric") if config.is_python else (str(_BOOTSTRAP),)
        argv = (interpreter.program, *client, config.handler)
        site = interpreter.site or _BOOTSTRAP.parent

        def worker_environment(runtime_api: str, log_stream: str) -> dict[str, str]:
            base = environment(
                config,
                region=ref.region,
                runtime_api=runtime_api,
                log_stream=log_stream,
                task_root=task_root,
                runtime_dir=site,
                layer_dirs=layers,
                home=self._folder / "no-home",
                endpoint_url=self._front_door_url,
                ca_bundle=self._ca_bundle,
            )
            return base | _search_path(config, base, task_root, layers, site, interpreter.version)

        return Command(argv, task_root, worker_environment, interpreter.warning)


def _search_path(
    config: FunctionConfig,
    base: dict[str, str],
    task_root: Path,
    layers: tuple[Path, ...],
    site: Path,
    version: str,
) -> dict[str, str]:
    """Where modules are looked for: the code, the layers (`/opt` on AWS), what the runtime ships.

    Source: AWS Lambda developer guide, "Packaging your layer content", layer paths for each runtime.
    """
    if config.is_python:
        parts = [str(task_root)]
        for layer in layers:
            parts += [str(layer / "python" / "lib" / f"python{version}" / "site-packages"), str(layer / "python")]
        own = base.get("PYTHONPATH")
        return {"PYTHONPATH": ":".join([*([own] if own else []), *parts, str(site)])}
    parts = []
    for layer in layers:
        parts += [str(layer / "nodejs" / f"node{version}" / "node_modules"), str(layer / "nodejs" / "node_modules")]
    own = base.get("NODE_PATH")
    return {"NODE_PATH": ":".join([*([own] if own else []), *parts])}
