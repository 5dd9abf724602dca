"""Counters of virtual connections, in the application's registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["VirtualMetrics"]


class VirtualMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.opened = Counter(
            "sse_virtual_connects",
            "Virtual connections asked for, by answer",
            ["status"],
            registry=registry,
        )
        self.closed = Counter(
            "sse_virtual_disconnects", "Virtual connections ended, by close code", ["code"], registry=registry
        )
        self.streams = Gauge("sse_virtual_streams", "Streams of virtual connections open now", registry=registry)
        self.messages = Counter(
            "sse_virtual_messages", "Messages of virtual connections, by direction", ["direction"], registry=registry
        )
        self.failures = Counter(
            "sse_virtual_failures", "Handlers that gave no usable answer, by how", ["kind"], registry=registry
        )
