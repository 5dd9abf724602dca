"""Mapping templates as far as plain references go, and the choice among them.

Non-proxy integrations (AWS, HTTP, MOCK) change what goes to the back end and what comes back by Velocity
templates. Rendered here: text with `$context.*`, `$stageVariables.*`, `$input.body`, `$input.json('$.path')`,
`$input.path('$.path')`, with or without braces. Directives (`#set`, `#if`, ...) and `$util` raise, so that a
template is never half rendered.

Source: "WebSocket API mapping template reference" (apigateway-websocket-api-mapping-template-reference.html)
and "WebSocket selection expressions" (TemplateSelectionExpression, IntegrationResponseSelectionExpression).
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sse_service.connections.definition import DEFAULT, IntegrationResponse
from sse_service.connections.errors import UnsupportedTemplateError
from sse_service.connections.jsonpath import MISSING, parse_json, parse_path, resolve, stringify
from sse_service.connections.selection import SelectionExpression

_DIRECTIVE = re.compile(r"#(?:set|if|elseif|else|end|foreach|macro|define|break|stop)\b|#\{|##|#\*")
_REFERENCE = re.compile(
    r"\$!?\{?(?:"
    r"context\.(?P<context>[A-Za-z_][\w.]*)"
    r"|stageVariables\.(?P<variable>\w+)|stageVariables\['(?P<quoted>\w+)'\]"
    r"|input\.(?P<body>body)\b"
    r"|input\.(?P<call>json|path)\(\s*(?P<quote>['\"])\$(?P<path>.*?)(?P=quote)\s*\)"
    r"|(?P<other>[A-Za-z_]\w*)"
    r")\}?"
)


def render(template: str, *, body: str, context: Mapping[str, Any], stage_variables: Mapping[str, str]) -> str:
    """Fill the references of a template; `body` is the raw payload, `context` the event's requestContext.

    Raises UnsupportedTemplateError for directives and unknown references.
    """
    directive = _DIRECTIVE.search(template)
    if directive:
        raise UnsupportedTemplateError(directive[0])

    def fill(found: re.Match[str]) -> str:
        if found["context"]:
            return stringify(resolve(dict(context), tuple(found["context"].split("."))))
        if found["variable"] or found["quoted"]:
            return stage_variables.get(found["variable"] or found["quoted"], "")
        if found["body"]:
            return body
        if found["call"]:
            return _input(found["call"], found["path"], body)
        raise UnsupportedTemplateError(f"${found['other']}")

    return _REFERENCE.sub(fill, template)


def _input(call: str, path: str, body: str) -> str:
    steps = parse_path(path)
    if steps is None:
        raise UnsupportedTemplateError(f"$input.{call}('${path}')")
    try:
        value = resolve(parse_json(body), steps)
    except ValueError:
        value = MISSING
    if call == "json":
        return '""' if value is MISSING else json.dumps(value, ensure_ascii=False)
    return stringify(value)


def choose_template(templates: Mapping[str, str], selection: str, body: str) -> str | None:
    """The template a selection expression names, else `$default`, else the only one; None for
    pass-through."""
    if not templates:
        return None
    if selection:
        key = SelectionExpression(selection).evaluate(body)
        if key is not None and key in templates:
            return templates[key]
    if DEFAULT in templates:
        return templates[DEFAULT]
    return next(iter(templates.values())) if len(templates) == 1 else None


def choose_response(responses: Iterable[IntegrationResponse], outcome: str) -> IntegrationResponse | None:
    """The integration response for an outcome: a Lambda's error message or an HTTP status; else
    `$default`."""
    fallback = None
    for response in responses:
        if response.key == DEFAULT:
            fallback = response
        elif outcome and len(response.key) > 1 and response.key[0] == response.key[-1] == "/":
            try:
                if re.fullmatch(response.key[1:-1], outcome):
                    return response
            except re.error:
                continue
    return fallback
