"""Which calls through the front door change what: pure. until phase 3

The service of a call is in the Credential of its signature (header, or query of a pre-signed address); paths are
those of the API references of API Gateway v2 and Lambda.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

__all__ = [
    "Call",
    "Deployment",
    "api_id_of",
    "deployment_of",
    "identify",
    "invoked_function",
    "operation_of",
    "rewrite_endpoints",
]

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_QUERY_CREDENTIAL = re.compile(r"X-Amz-Credential=([^&]+)")
_INVOKE = re.compile(r"^/2015-03-31/functions/([^/]+)/invocations/?$")
_FUNCTION = re.compile(r"^/\d{4}-\d{2}-\d{2}/functions/([^/?]+)")
_APIS = re.compile(r"^/v2/apis(?:/([A-Za-z0-9]+))?(/.*)?$")
_EXECUTE_API = re.compile(rb"(?:wss?|https?)://([a-z0-9]+)\.execute-api\.[A-Za-z0-9.:-]+")
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Call:
    """One request: who calls which service, and where."""

    method: str
    path: str
    """Without the query."""
    service: str
    account: str | None
    region: str | None

    @property
    def mutating(self) -> bool:
        return self.method in _MUTATING

    @property
    def changes_api(self) -> bool:
        """A mutating call of API Gateway v2."""
        return self.service == "apigateway" and self.mutating and self.path.startswith("/v2/")

    @property
    def may_change_anything(self) -> bool:
        """CloudFormation and Cloud Control; also reads, since CloudFormation works in the background.

        Whoever waits for a stack asks for its status: by the time he hears that it is complete, everybody has looked.
        """
        return self.service in ("cloudformation", "cloudcontrolapi")

    @property
    def changes_function(self) -> str | None:
        """The name of the function that a mutating Lambda call is about (empty: any), or None."""
        if self.service != "lambda" or not self.mutating:
            return None
        match = _FUNCTION.match(self.path)
        if match is None:
            return ""
        name = unquote(match[1])
        return name.split(":")[6] if name.startswith("arn:") and name.count(":") >= 6 else name.split(":")[0]

    @property
    def answers_with_endpoints(self) -> bool:
        """API Gateway v2's APIs themselves, whose `apiEndpoint` is rewritten."""
        match = _APIS.match(self.path)
        return self.service == "apigateway" and match is not None and not (match[2] or "").strip("/")


def identify(method: str, path: str, query: str, authorization: str | None) -> Call:
    """What a request is, from its first line and its Authorization header."""
    account, region, service = None, None, ""
    match = _CREDENTIAL.search(authorization or "")
    if match is None and "X-Amz-Credential=" in query:
        found = _QUERY_CREDENTIAL.search(query)
        match = _CREDENTIAL.search(f"Credential={unquote(found[1])}") if found else None
    if match is not None:
        key, region, service = match.groups()
        account = key if re.fullmatch(r"\d{12}", key) else None
    elif _APIS.match(path):
        service = "apigateway"
    return Call(method, path, service, account, region)


def invoked_function(call: Call) -> str | None:
    """The function that an Invoke call names (name or ARN), or None for another call."""
    match = _INVOKE.match(call.path) if call.method == "POST" else None
    return unquote(match[1]) if match else None


def operation_of(call: Call, target: str | None) -> str:
    """The name of the operation: of the X-Amz-Target header (JSON protocols), else method and collection."""
    if target:
        return target.rpartition(".")[2]
    if invoked_function(call) is not None:
        return "Invoke"
    # Names in paths (tables, functions, keys) would make as many counters as there are things.
    collection = next((part for part in call.path.split("/") if part.isalpha()), "")
    return f"{call.method} {collection}".strip()


def api_id_of(call: Call, answer: bytes) -> str | None:
    """The API that a mutating call was about: of its path, or the new one of its answer."""
    match = _APIS.match(call.path)
    if match is not None and match[1]:
        return match[1]
    created = _json(answer)
    return str(created["apiId"]) if isinstance(created, dict) and created.get("apiId") else None


@dataclass(frozen=True)
class Deployment:
    """A deployment that went live on a stage."""

    api_id: str
    stage: str | None
    deployment_id: str


def deployment_of(call: Call, request: bytes, answer: bytes) -> Deployment | None:
    """The deployment that a successful CreateDeployment, CreateStage or UpdateStage brought about, or None."""
    match = _APIS.match(call.path)
    if match is None or not match[1] or not call.changes_api:
        return None
    api_id, rest = match[1], (match[2] or "").strip("/").split("/")
    asked, given = _json(request), _json(answer)
    asked = asked if isinstance(asked, dict) else {}
    given = given if isinstance(given, dict) else {}
    if rest == ["deployments"] and call.method == "POST" and given.get("deploymentId"):
        return Deployment(api_id, asked.get("stageName"), str(given["deploymentId"]))
    if rest[0] == "stages" and call.method in ("POST", "PATCH") and asked.get("deploymentId"):
        stage = unquote(rest[1]) if len(rest) > 1 else asked.get("stageName")
        return Deployment(api_id, stage, str(asked["deploymentId"]))
    return None


def rewrite_endpoints(call: Call, answer: bytes, websocket_base: str) -> bytes:
    """Point the `apiEndpoint` of WebSocket APIs to our gateway: `{websocket_base}/{api_id}`.

    CloudFormation's answers are text to us: every execute-api address in a stack's outputs is rewritten there, except
    those of HTTP (an `https` address of a WebSocket API is its `@connections`, which lives at the gateway as well).
    """
    if call.may_change_anything:
        target = websocket_base.encode()
        return _EXECUTE_API.sub(
            lambda found: target + b"/" + found[1] if found[0].startswith(b"ws") else found[0], answer
        )
    document = _json(answer)
    if not isinstance(document, dict):
        return answer
    apis = [document, *(document.get("items") or document.get("Items") or [])]
    changed = False
    for api in apis:
        if isinstance(api, dict) and api.get("protocolType") == "WEBSOCKET" and api.get("apiId"):
            api["apiEndpoint"] = f"{websocket_base}/{api['apiId']}"
            changed = True
    return json.dumps(document).encode() if changed else answer


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None
