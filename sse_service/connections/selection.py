"""Selection expressions, and which route a message takes.

Source: API Gateway guide, "Create routes for WebSocket APIs" (websocket-api-develop-routes.html) and
"WebSocket selection expressions" (apigateway-websocket-api-selection-expressions.html):

- a variable is prefixed with `$`; braces mark its boundaries: `${request.body.version}-beta`;
- several variables are allowed, evaluated once; a static value is allowed; `\\$` is a literal dollar sign;
- a path that is not found resolves as ""; results are stringified;
- the route whose key exactly matches the result is taken, else `$default`, else the service returns an error;
- `$default` is also taken if the expression cannot be evaluated against the message, and for non-JSON
  messages.

Only `request.body` exists for a message ("the expression should be of the form
`$request.body.{path_to_body_element}`"); any other variable resolves as "". The predefined keys `$connect`
and `$disconnect` are events of the connection, never of a message, so a body cannot select them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sse_service.connections.definition import CONNECT, DEFAULT, DISCONNECT
from sse_service.connections.jsonpath import MISSING, parse_json, parse_path, resolve, stringify

_TOKEN = re.compile(
    r"\\(?P<escaped>.)"
    r"|\$\{(?P<wrapped>[^}]*)\}"
    r"|\$(?P<bare>[A-Za-z_][\w.\-]*(?:\[[^\]]*\][\w.\-]*)*)"
    r"|(?P<static>[^\\$]+|[\\$])",
    re.DOTALL,
)
_BODY = "request.body"


@dataclass(frozen=True)
class _Variable:
    steps: tuple[str | int, ...] | None
    """The path into the body; None for a variable that resolves as ""."""


class SelectionExpression:
    """A compiled expression; compile once per deployment, evaluate per message."""

    __slots__ = ("_parts", "_single_key", "needs_body", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._parts = _compile(source)
        self.needs_body = any(isinstance(part, _Variable) for part in self._parts)
        # The form nearly every API has, `$request.body.name`, answered without the general walk.
        self._single_key: str | None = None
        if len(self._parts) == 1 and isinstance(self._parts[0], _Variable):
            steps = self._parts[0].steps
            if steps is not None and len(steps) == 1 and isinstance(steps[0], str):
                self._single_key = steps[0]

    def evaluate(self, body: str) -> str | None:
        """The key for a message body; None when the expression cannot be evaluated (the body is no JSON)."""
        if not self.needs_body:
            return "".join(part for part in self._parts if isinstance(part, str))
        try:
            value = parse_json(body)
        except ValueError:
            return None
        if self._single_key is not None:
            found = value.get(self._single_key, "") if isinstance(value, dict) else ""
            return found if isinstance(found, str) else stringify(found)
        return "".join(part if isinstance(part, str) else _lookup(part, value) for part in self._parts)


def _compile(source: str) -> tuple[str | _Variable, ...]:
    parts: list[str | _Variable] = []
    for token in _TOKEN.finditer(source):
        if token["escaped"] is not None:
            parts.append(token["escaped"])
        elif token["static"] is not None:
            parts.append(token["static"])
        else:
            parts.append(_variable(token["wrapped"] if token["wrapped"] is not None else token["bare"]))
    return tuple(parts)


def _variable(name: str) -> _Variable:
    if name == _BODY:
        return _Variable(())
    if name.startswith((f"{_BODY}.", f"{_BODY}[")):
        return _Variable(parse_path(name.removeprefix(_BODY)))
    return _Variable(None)


def _lookup(variable: _Variable, value: Any) -> str:
    return "" if variable.steps is None else stringify(resolve(value, variable.steps) if value is not MISSING else "")


def select_route_key(expression: SelectionExpression, routes: Mapping[str, object], body: str) -> str | None:
    """The key of the route that takes a message, or None when there is none (the client gets an error
    frame)."""
    key = expression.evaluate(body)
    if key is not None and key in routes and key != CONNECT and key != DISCONNECT:
        return key
    return DEFAULT if DEFAULT in routes else None
