"""The service's own /metrics, as gates and dashboard read them. until phase 3

Behind a load balancer each answer may come from another instance; they are told apart by the start time of their
process. Source: Prometheus documentation, "Exposition formats".
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import httpx

__all__ = ["Counts", "ask", "read_counts"]

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_STATUS = re.compile(r'status="(\d{3})"')
_STARTED, _REQUESTS = "process_start_time_seconds", "sse_http_requests_total"
_STREAMS, _VIRTUAL = "sse_open_streams", "sse_virtual_streams"
_EVENTS, _FRAMES = "sse_deliveries_total", "sse_virtual_messages_total"
_FAILURES = {"sse_virtual_failures_total", "sse_publish_failures_total"}
_READ = {_STARTED, _REQUESTS, _STREAMS, _VIRTUAL, _EVENTS, _FRAMES, *_FAILURES}


@dataclass(frozen=True, slots=True)
class Counts:
    """What an instance says.

    Attributes:
        instance: when its process began, epoch seconds, as it writes it.
        total, failed: requests since then; failed: answers with 5xx, virtual connections refused with 5xx, and handlers
            that gave no usable answer.
        streams: open now, those of virtual connections included.
        virtual: those alone; None: it has none to offer.
        deliveries: events handed to streams, and frames to virtual connections, since it began.
    """

    instance: str
    total: int
    failed: int
    streams: int
    virtual: int | None = None
    deliveries: int = 0


def read_counts(text: str) -> Counts | None:
    """What a page says; None: it is no page of the service's metrics, so nothing is known."""
    instance = ""
    found: defaultdict[str, float] = defaultdict(float)
    failed = frames = 0.0
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] not in _READ:
            continue
        name, labels = match[1], match[2] or ""
        try:
            value = float(match[3])
        except ValueError:
            return None
        if not math.isfinite(value):
            return None
        if name == _STARTED:
            instance = match[3]
        found[name] += value
        if name == _REQUESTS:
            status = _STATUS.search(labels)
            failed += value if status and status[1].startswith("5") else 0
        elif name in _FAILURES:
            failed += value
        elif name == _FRAMES and 'direction="down"' in labels:
            frames += value
    # The one that is there from the beginning, before the first request.
    if _STREAMS not in found:
        return None
    return Counts(
        instance,
        int(found[_REQUESTS]),
        int(failed),
        int(found[_STREAMS] + found[_VIRTUAL]),
        int(found[_VIRTUAL]) if _VIRTUAL in found else None,
        int(found[_EVENTS] + frames),
    )


def ask(url: str, get: Callable[[str], httpx.Response]) -> Counts | str:
    """Ask the service, or one of its instances. Returns what it says; a text: why that is not known.

    Args:
        url: of the service; empty: the configuration has none.
        get: asks; with a time limit.
    """
    if not url:
        return "sse.url is not set"
    try:
        answer = get(f"{url}/metrics")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{url}/metrics does not answer ({type(error).__name__})"
    if answer.status_code != httpx.codes.OK:
        return f"{url}/metrics answered HTTP {answer.status_code}"
    return read_counts(answer.text) or f"{url}/metrics are not the service's"
