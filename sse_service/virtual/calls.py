"""Calls integrations and authorizers: functions by an `Invoker`, HTTP over the network, MOCK nowhere.

Every way to fail becomes a CallError whose kind decides what the client hears. Mapping templates go as far as
connections/templates.py does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from sse_service.connections.definition import Integration, IntegrationType
from sse_service.connections.errors import MalformedProxyResponseError, UnsupportedTemplateError
from sse_service.connections.integration import ProxyResponse, parse_proxy_response
from sse_service.connections.jsonpath import parse_json
from sse_service.connections.templates import choose_response, choose_template, render
from sse_service.virtual.errors import CallError, FailureKind
from sse_service.virtual.plan import RoutePlan

__all__ = ["Caller", "Invoked", "Invoker"]

_MAPPED_HEADER = "integration.request.header."


@dataclass(frozen=True, slots=True)
class Invoked:
    """payload: what the function returned (JSON), or its error object when failed."""

    payload: bytes
    failed: bool = False


class Invoker(Protocol):
    """Runs functions: Lambda's, or this process's."""

    async def invoke(self, target: str, payload: bytes, timeout_s: float) -> Invoked:
        """Raises CallError when there was no answer at all."""

    async def start(self) -> None:
        """Raises StartupError."""

    async def close(self) -> None: ...


class Caller:
    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        await self._invoker.start()

    async def close(self) -> None:
        await self._invoker.close()
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def invoke(self, target: str, event: Mapping[str, Any], timeout_s: float) -> Invoked:
        """Raises CallError."""
        return await self._invoker.invoke(target, json.dumps(event, separators=(",", ":")).encode(), timeout_s)

    async def call(self, plan: RoutePlan, event: dict[str, Any]) -> ProxyResponse:
        """Give an event to the route's integration; its answer in proxy form. Raises CallError."""
        integration = plan.integration
        if integration is None or plan.problem:
            raise CallError(FailureKind.CONFIGURATION, plan.problem)
        try:
            if plan.target is not None:
                if integration.type is IntegrationType.AWS_PROXY:
                    return await self._proxy(plan.target, event, plan.timeout_s)
                return await self._custom(plan.target, integration, event, plan.timeout_s)
            if integration.type is IntegrationType.MOCK:
                return _mock(integration, event)
            return await self._http_call(integration, plan.uri, event, plan.timeout_s)
        except UnsupportedTemplateError as error:
            raise CallError(FailureKind.CONFIGURATION, str(error)) from error

    async def _proxy(self, target: str, event: dict[str, Any], timeout_s: float) -> ProxyResponse:
        result = await self.invoke(target, event, timeout_s)
        if result.failed:
            raise CallError(FailureKind.EXECUTION, "the function failed")
        try:
            return parse_proxy_response(result.payload)
        except MalformedProxyResponseError as error:
            raise CallError(FailureKind.MALFORMED, str(error)) from error

    async def _custom(
        self, target: str, integration: Integration, event: dict[str, Any], timeout_s: float
    ) -> ProxyResponse:
        """A Lambda custom integration: the request body, mapped or as it is, is the function's event."""
        payload = _mapped_request(integration, event) or "{}"
        try:
            parse_json(payload)
        except ValueError as error:
            raise CallError(FailureKind.CONFIGURATION, "the mapped request is no JSON") from error
        result = await self._invoker.invoke(target, payload.encode(), timeout_s)
        message = ""
        if result.failed:
            message = _error_message(result.payload)
            chosen = choose_response(integration.responses, message)
            if chosen is None or not chosen.key.startswith("/"):
                raise CallError(FailureKind.EXECUTION, "the function failed")
        return _mapped_response(integration, result.payload.decode(errors="replace"), message, event, 200)

    async def _http_call(
        self, integration: Integration, uri: str, event: dict[str, Any], timeout_s: float
    ) -> ProxyResponse:
        if not uri.startswith(("http://", "https://")):
            raise CallError(FailureKind.CONFIGURATION, "an AWS service that is not Lambda")
        proxy = integration.type is IntegrationType.HTTP_PROXY
        body = event.get("body") or "" if proxy else _mapped_request(integration, event)
        if self._http is None:
            self._http = aiohttp.ClientSession()
        headers = {"Content-Type": "application/json", **_mapped_headers(integration.parameters, event)}
        method = "POST" if integration.method == "ANY" else integration.method
        try:
            async with self._http.request(
                method, uri, data=body.encode(), headers=headers, timeout=aiohttp.ClientTimeout(timeout_s)
            ) as answer:
                text = await answer.text(errors="replace")
                status, answered = answer.status, dict(answer.headers)
        except TimeoutError as error:
            raise CallError(FailureKind.TIMEOUT, f"no answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, asyncio.IncompleteReadError) as error:
            raise CallError(FailureKind.EXECUTION, type(error).__name__) from error
        if proxy:
            return ProxyResponse(status, text, answered)
        return _mapped_response(integration, text, str(status), event, status)


def _mapped_request(integration: Integration, event: Mapping[str, Any]) -> str:
    body = event.get("body") or ""
    template = choose_template(integration.templates, integration.template_selection, body)
    return body if template is None else _render(template, body, event)


def _mapped_response(
    integration: Integration, payload: str, outcome: str, event: Mapping[str, Any], status: int
) -> ProxyResponse:
    chosen = choose_response(integration.responses, outcome)
    if chosen is None:
        return ProxyResponse(status, payload)
    template = choose_template(chosen.templates, chosen.template_selection, payload)
    return ProxyResponse(status, payload if template is None else _render(template, payload, event))


def _mock(integration: Integration, event: Mapping[str, Any]) -> ProxyResponse:
    """A mock answers with the status its request template names: {"statusCode": 200}.

    Source: "Mock integrations" (how-to-mock-integration.html).
    """
    template = choose_template(integration.templates, integration.template_selection, event.get("body") or "")
    try:
        status = parse_json(_render(template or "", event.get("body") or "", event))["statusCode"]
    except (ValueError, TypeError, KeyError) as error:
        raise CallError(FailureKind.CONFIGURATION, "the request template names no statusCode") from error
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise CallError(FailureKind.CONFIGURATION, "statusCode is no HTTP status code")
    chosen = choose_response(integration.responses, str(status))
    answer = choose_template(chosen.templates, chosen.template_selection, "") if chosen else None
    return ProxyResponse(status, _render(answer or "", event.get("body") or "", event))


def _render(template: str, body: str, event: Mapping[str, Any]) -> str:
    return render(
        template, body=body, context=event["requestContext"], stage_variables=event.get("stageVariables") or {}
    )


def _mapped_headers(parameters: Mapping[str, str], event: Mapping[str, Any]) -> dict[str, str]:
    """Headers from RequestParameters: `'static'`, `context.name`, `stageVariables.name`,
    `route.request.header.name`, `route.request.querystring.name`."""
    headers: dict[str, str] = {}
    for target, source in parameters.items():
        if target.startswith(_MAPPED_HEADER):
            value = _mapped_value(source, event)
            if value is not None:
                headers[target.removeprefix(_MAPPED_HEADER)] = value
    return headers


def _mapped_value(source: str, event: Mapping[str, Any]) -> str | None:
    if len(source) > 1 and source[0] == source[-1] == "'":
        return source[1:-1]
    place, _, name = source.removeprefix("route.").rpartition(".")
    if source.startswith("context."):
        value: Any = event["requestContext"]
        for step in source.split(".")[1:]:
            value = value.get(step) if isinstance(value, dict) else None
        return None if value is None else str(value)
    found = {
        "stageVariables": event.get("stageVariables"),
        "request.header": event.get("headers"),
        "request.querystring": event.get("queryStringParameters"),
    }.get(place)
    return (found or {}).get(name)


def _error_message(payload: bytes) -> str:
    try:
        failure = parse_json(payload.decode())
    except ValueError:
        return ""
    return str(failure.get("errorMessage", "")) if isinstance(failure, dict) else ""
