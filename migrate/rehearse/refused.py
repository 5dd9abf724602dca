"""Why people were not let in: what the functions behind the handshake said last. until phase 3

Lambda developer guide, "Sending Lambda function logs to CloudWatch Logs": what a function prints, and the exception it
ended by, is in its log group, between lines of the platform.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.redact import redact
from migrate.routes import CONNECT

__all__ = ["complaint", "why_refused"]

# Functions' logs are sent every 0.2 s.
WAIT_S = 3.0
LINES, LINE_CHARS = 6, 300
_PLATFORM = re.compile(r"^(?:START|END|REPORT|INIT_START|INIT_REPORT|EXTENSION|XRAY|\[local\])\b")
# As Lambda's runtimes write them: `[ERROR] KeyError: 'TABLE'` and a traceback; `ERROR\tInvoke Error\t{...}`.
_COMPLAINT = re.compile(r"\[ERROR\]|Traceback|\bERROR\t|\b[A-Za-z]*(?:Error|Exception)\b|Task timed out")


def complaint(events: Sequence[str], secrets: Sequence[str] = ()) -> list[str]:
    """The last lines of a function's log, if it complains in them; no secret is in them.

    Args:
        events: of its log, in order.
        secrets: what is left out besides what looks like a secret.
    """
    lines = [
        line for event in events for line in event.splitlines() if line.strip() and not _PLATFORM.match(line)
    ]  # fmt: skip
    if not any(_COMPLAINT.search(line) for line in lines):
        return []
    # Whoever stands at the door tries several times: the last attempt begins with the last complaint's head.
    heads = [number for number, line in enumerate(lines) if "[ERROR]" in line or "ERROR\t" in line]
    begin = heads[-1] if heads else 0
    kept = lines[begin:]
    kept = kept if len(kept) <= LINES else [kept[0], *kept[1 - LINES :]]
    found = []
    for line in kept:
        text = line
        for secret in secrets:
            text = text.replace(secret, "[redacted]")
        found.append(redact(text.rstrip())[:LINE_CHARS])
    return found


async def why_refused(config: Config, secrets: Sequence[str] = (), within: float = WAIT_S) -> dict[str, list[str]]:
    """What the authorizer and the function of $connect complained of last, by function; none: they did not."""
    names = {
        one.name: one.log_group or f"/aws/lambda/{one.name}"
        for one in config.functions
        if one.role == "authorizer" or CONNECT in one.routes
    }
    client, deadline = config.client("logs"), time.monotonic() + within
    while True:
        found = {}
        for name, group in names.items():
            lines = complaint(await asyncio.to_thread(_events, client, group), secrets)
            if lines:
                found[name] = lines
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.2)


def _events(client: Any, group: str) -> list[str]:
    """The newest of a log group, oldest first; none where there is no such group, or it cannot be read."""
    try:
        streams = client.describe_log_streams(logGroupName=group)["logStreams"]
        found = [
            (int(event["timestamp"]), number, str(event["message"]))
            for stream in streams
            for number, event in enumerate(
                client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
            )
        ]
    except (ClientError, BotoCoreError):
        return []
    # By time; within one millisecond as they are in their stream.
    return [message for _, _, message in sorted(found, key=lambda one: one[:2])]
