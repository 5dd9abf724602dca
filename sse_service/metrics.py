"""Counters and gauges in Prometheus' text format. One registry per application: tests have their own."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from sse_service.counters import QuickCounter, QuickCounters, QuickHistogram

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Names start with `sse_`; times are seconds; labels have few values, known beforehand.

    Source: Prometheus documentation, "Metric and label naming".
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.open_streams = Gauge("sse_open_streams", "Streams open now", registry=registry)
        self.streams_opened = Counter(
            "sse_streams_opened", "Streams opened, by how they began", ["recovery"], registry=registry
        )
        self.streams_ended = Counter("sse_streams_ended", "Streams ended, by reason", ["reason"], registry=registry)
        self.refused = Counter(
            "sse_streams_refused",
            "EventSource requests told to come back later, by reason",
            ["reason"],
            registry=registry,
        )
        self.evictions = Counter(
            "sse_evictions", "Streams ended because the client was too slow", ["how"], registry=registry
        )
        self.events = QuickCounter("sse_events", "Events appended to the log by this process", registry=registry)
        self.deliveries = QuickCounter("sse_deliveries", "Events handed to streams", registry=registry)
        self.delivery_lag_seconds = QuickHistogram(
            "sse_delivery_lag_seconds",
            "From the making of an event, here or elsewhere, to its hand-over to streams; the oldest of each batch",
            registry=registry,
            buckets=_LATENCY,
        )
        self.replayed = Counter("sse_replayed_events", "Events replayed to resuming streams", registry=registry)
        self.log_reads = Counter("sse_log_reads", "Pages read from the event log", ["why"], registry=registry)
        self.gaps = Counter("sse_gaps", "Gaps noticed in what the broker told, read from the log", registry=registry)
        self.resets = Counter("sse_resets", "Streams told to start anew, by reason", ["reason"], registry=registry)
        self.conflicts = Counter(
            "sse_append_conflicts", "Appends that another writer was first with", registry=registry
        )
        self.publish_failures = Counter("sse_publish_failures", "Appends given up", registry=registry)
        self.publish_seconds = QuickHistogram(
            "sse_publish_seconds",
            "From a publish to its place in the log",
            registry=registry,
            buckets=_LATENCY,
        )
        self.broker_connected = Gauge(
            "sse_broker_connected", "1 while this instance hears of events appended by others", registry=registry
        )
        self.broker_sent = Counter(
            "sse_broker_sent", "Notifications sent, with their events or only the position", ["kind"], registry=registry
        )
        self.broker_received = Counter(
            "sse_broker_received", "Notifications received, by what they carried", ["kind"], registry=registry
        )
        self.broker_dropped = Counter(
            "sse_broker_dropped",
            "Notifications whose events were dropped because the broker was slow or away (the log has them)",
            registry=registry,
        )
        self.broker_reconnects = Counter("sse_broker_reconnects", "Connections made again", registry=registry)
        self.broker_problems = Counter(
            "sse_broker_problems", "What went wrong between instances, by kind", ["kind"], registry=registry
        )
        self.broker_lag_seconds = Histogram(
            "sse_broker_lag_seconds",
            "From the sending of a notification to its arrival here, by the clocks of both",
            registry=registry,
            buckets=_LATENCY,
        )
        self.queue_age_seconds = Gauge(
            "sse_queue_age_seconds",
            "Age of the oldest message of the last poll, by queue",
            ["queue"],
            registry=registry,
        )
        self.ingested = Counter(
            "sse_ingest_messages", "Messages of the ingest queue, by what became of them", ["result"], registry=registry
        )
        self.answers = Counter("sse_answers", "Answers of the responder, by how they ended", ["how"], registry=registry)
        self.jobs = Counter(
            "sse_jobs", "Agent runs and library jobs, by how they ended", ["kind", "how"], registry=registry
        )
        self.requests = QuickCounters(
            "sse_http_requests", "HTTP requests, by status", ["method", "status"], registry=registry
        )
        self.response_seconds = Histogram(
            "sse_http_response_start_seconds",
            "From a request to the head of its answer (a stream is open then), by route",
            ["method", "route"],
            registry=registry,
            buckets=_LATENCY,
        )
        # CPU, memory, open files, start time; pauses of the garbage collector.
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
