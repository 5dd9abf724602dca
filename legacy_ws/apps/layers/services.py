"""Wiring of the layers handlers. until phase 3"""

from __future__ import annotations

from functools import partial

from legacy_ws import aws, services
from legacy_ws.apps.layers.schema import CONNECTIONS
from legacy_ws.errors import ConfigurationError
from legacy_ws.ports import AnswerQueue, JobTaker
from legacy_ws.responder import Responder, load

__all__ = ["answers", "clear", "manager_at", "manager_for", "processing", "responder", "settings"]

settings = services.settings
clear = services.clear
manager_for = partial(services.manager_for, CONNECTIONS)
manager_at = partial(services.manager_at, CONNECTIONS)


def processing() -> JobTaker:
    """The function that runs the responder. Raises: ConfigurationError."""
    name = settings().processing_function
    if name is None:
        raise ConfigurationError("LEGACY_WS_PROCESSING_FUNCTION", "is missing")
    return aws.function(name)


def answers() -> AnswerQueue:
    """The queue between processing and the connections. Raises: ConfigurationError."""
    url = settings().answers_queue_url
    if url is None:
        raise ConfigurationError("LEGACY_WS_ANSWERS_QUEUE_URL", "is missing")
    return aws.fifo_queue(url)


def responder() -> Responder:
    """The application's own logic. Raises: ConfigurationError."""
    return load(settings().responder)
