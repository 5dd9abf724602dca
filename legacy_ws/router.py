"""The router: which function answers a frame. until phase 3

Pure. Two keys exist in the wild (REQUIREMENTS.md, fault 17): API Gateway has already chosen by the API's
route selection expression and says so in `routeKey`; an API that sends everything to `$default` leaves the
choice to a field of the frame (`action`, `type`, ...). The route key wins when a function is registered for
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from legacy_ws.errors import ClientInputError
from legacy_ws.events import WebSocketEvent
from legacy_ws.frames import bad_request

__all__ = ["Call", "Handler", "Router"]


@dataclass(frozen=True)
class Call:
    """One frame of one connection on its way to a handler.

    Args:
        event: where it came from.
        frame: its JSON object.
        remaining: seconds that are left to answer in.
    """

    event: WebSocketEvent
    frame: Mapping[str, object]
    remaining: Callable[[], float]


Handler = Callable[[Call], Mapping[str, object] | None]
"""Answers a call; a frame that it returns is sent to the asking connection."""


class Router:
    """Handlers by key.

    Args:
        field: the frame's field that chooses when the route key does not; None: only the route key chooses.
        known: keys that other Lambda functions of the same API serve; named to a client that asks for an
            unknown one.
    """

    def __init__(self, *, field: str | None = "action", known: tuple[str, ...] = ()) -> None:
        self._field = field
        self._known = known
        self._handlers: dict[str, Handler] = {}
        self._refused: dict[str, tuple[str, str]] = {}

    def refuse(self, keys: Iterable[str], code: str, message: str) -> None:
        """Frames with one of these keys get this error: they are known, but no client may send them."""
        self._refused |= dict.fromkeys(keys, (code, message))

    def route(self, key: str) -> Callable[[Handler], Handler]:
        """Decorator: the function answers frames with this key. Raises: ValueError: the key is taken."""

        def register(handler: Handler) -> Handler:
            if key in self._handlers:
                raise ValueError(f"two handlers for {key!r}")
            self._handlers[key] = handler
            return handler

        return register

    def resolve(self, route_key: str, frame: Mapping[str, object]) -> Handler:
        """The handler of a frame.

        Raises: ClientInputError: bad_request when the field is missing or no text, unknown_action (or
            unknown_type, as the field is called) when nobody serves it.
        """
        handler = self._handlers.get(route_key)
        if handler is not None:
            return handler
        if self._field is None:
            raise self._unknown()
        key = frame.get(self._field)
        if key is None or key == "":
            raise bad_request(f'"{self._field}" is missing.')
        if not isinstance(key, str):
            raise bad_request(f'"{self._field}" is not text.')
        handler = self._handlers.get(key)
        if handler is not None:
            return handler
        if key in self._refused:
            raise ClientInputError(*self._refused[key])
        raise self._unknown()

    def _unknown(self) -> ClientInputError:
        # The client's own text is not repeated: it may be long, and it may hold a secret sent by mistake.
        known = ", ".join(sorted({*self._known, *self._handlers}))
        what = self._field or "action"
        return ClientInputError(f"unknown_{what}", f"No such {what}. Known: {known}." if known else f"No such {what}.")
