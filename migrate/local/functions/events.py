"""Asynchronous invocations: a queue in memory, retries, a dead-letter target. until phase 3

Source: AWS Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation" and
"Capturing records of Lambda asynchronous invocations": two more attempts (after one and two minutes on AWS; here
after one and two seconds, since people wait), throttled events are tried again for up to six hours, then the event
goes to the function's dead-letter queue or its on-failure destination. The queue does not survive a restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from migrate.local.functions.configuration import FunctionConfig
from migrate.local.functions.control_plane import ControlPlane, ControlPlaneError
from migrate.local.functions.messages import iso
from migrate.local.functions.reference import FunctionRef
from migrate.local.ports import FunctionNotFoundError, InvokeResult, TooManyRequestsError

__all__ = ["AsyncEvents"]

log = logging.getLogger(__name__)

MAX_PENDING = 10_000
RETRY_PAUSES_S = (1.0, 2.0)
THROTTLED_PAUSE_S = 1.0
LONGEST_THROTTLED_PAUSE_S = 60.0
MAX_AGE_S = 6 * 3600.0
MAX_RECORD_PAYLOAD_BYTES = 256 * 1024

Run = Callable[[FunctionRef, bytes], Awaitable[tuple[FunctionConfig, str, InvokeResult]]]
"""One attempt: the configuration it ran with, its request id, its result. Raises what invoke raises."""


@dataclass(frozen=True)
class _Policy:
    attempts: int
    max_age_s: float
    on_success: str | None
    on_failure: str | None


class AsyncEvents:
    """Events that nobody waits for."""

    def __init__(self, run: Run, control_plane: ControlPlane) -> None:
        self._run = run
        self._control_plane = control_plane
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, ref: FunctionRef, payload: bytes) -> None:
        """Queue an event. Raises: TooManyRequestsError: 10,000 wait already."""
        if len(self._tasks) >= MAX_PENDING:
            raise TooManyRequestsError(ref.arn, "ConcurrentInvocationLimitExceeded")
        task = asyncio.create_task(self._deliver(ref, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up what is left; the log says how many events that were."""
        if self._tasks:
            log.warning("%d asynchronous invocations were not finished", len(self._tasks))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, ref: FunctionRef, payload: bytes) -> None:
        policy = await self._policy(ref)
        began = time.monotonic()
        attempt, throttled_pause_s = 0, THROTTLED_PAUSE_S
        while True:
            try:
                config, request_id, result = await self._run(ref, payload)
            except FunctionNotFoundError:
                log.warning("%s is gone; an asynchronous event for it was dropped", ref.arn)
                return
            except TooManyRequestsError:
                if time.monotonic() - began + throttled_pause_s > policy.max_age_s:
                    log.warning("%s was throttled until an asynchronous event was too old", ref.arn)
                    return
                await asyncio.sleep(throttled_pause_s)
                throttled_pause_s = min(throttled_pause_s * 2, LONGEST_THROTTLED_PAUSE_S)
                continue
            attempt += 1
            if result.function_error is None:
                if policy.on_success:
                    await self._record(policy.on_success, ref, config, request_id, attempt, payload, result)
                return
            pause_s = RETRY_PAUSES_S[min(attempt, len(RETRY_PAUSES_S)) - 1]
            if attempt >= policy.attempts or time.monotonic() - began + pause_s > policy.max_age_s:
                break
            await asyncio.sleep(pause_s)
        if policy.on_failure:
            await self._record(policy.on_failure, ref, config, request_id, attempt, payload, result)
        elif config.dead_letter_arn:
            # A dead-letter queue gets the event itself, a destination a record about it.
            await self._send(config.dead_letter_arn, payload.decode("utf-8", "replace"), ref)

    async def _policy(self, ref: FunctionRef) -> _Policy:
        try:
            found = await self._control_plane.event_invoke_config(ref)
        except ControlPlaneError as error:
            log.warning("no event invoke configuration of %s: %s", ref.arn, error)
            found = {}
        retries = found.get("MaximumRetryAttempts")
        destinations = found.get("DestinationConfig") or {}
        return _Policy(
            attempts=1 + (2 if retries is None else int(retries)),
            max_age_s=float(found.get("MaximumEventAgeInSeconds") or MAX_AGE_S),
            on_success=(destinations.get("OnSuccess") or {}).get("Destination"),
            on_failure=(destinations.get("OnFailure") or {}).get("Destination"),
        )

    async def _record(
        self,
        target: str,
        ref: FunctionRef,
        config: FunctionConfig,
        request_id: str,
        attempts: int,
        payload: bytes,
        result: InvokeResult,
    ) -> None:
        failed = result.function_error is not None
        context = {"statusCode": 200, "executedVersion": config.version}
        record = {
            "version": "1.0",
            "timestamp": iso(time.time()),
            "requestContext": {
                "requestId": request_id,
                "functionArn": ref.arn if ref.qualifier else f"{ref.arn}:$LATEST",
                "condition": "RetriesExhausted" if failed else "Success",
                "approximateInvokeCount": attempts,
            },
            "requestPayload": _value(payload),
            "responseContext": context | ({"functionError": result.function_error} if failed else {}),
            "responsePayload": _value(result.payload),
        }
        await self._send(target, json.dumps(record, ensure_ascii=False), ref)

    async def _send(self, target: str, message: str, ref: FunctionRef) -> None:
        try:
            if ":lambda:" in target and ":function:" in target:
                _, _, _, region, account, _, name, *qualifier = target.split(":")
                self.add(FunctionRef(account, region, name, *qualifier[:1]), message.encode())
            else:
                await self._control_plane.send(target, message[:MAX_RECORD_PAYLOAD_BYTES])
        except (ControlPlaneError, TooManyRequestsError) as error:
            log.error("an event of %s could not be delivered to %s: %s", ref.arn, target, error)  # noqa: TRY400


def _value(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data.decode("utf-8", "replace")
