"""The rules: one id, one kind, one sentence, one advice each. until phase 3 (MG3)"""

from __future__ import annotations

from dataclasses import dataclass

from migrate.scan.model import Kind

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule finds and what to do about it."""

    id: str
    kind: Kind
    title: str
    advice: str


_CLIENT = "`migrate codemod` rewrites it to the drop-in client"
_SERVER = "serve it with sse_service: a stream for what is sent, REST for what is received"
_IAC = "it goes in phase 3, with `migrate cleanup resources`"

RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule("js-websocket", Kind.CLIENT, "browser or Node WebSocket opened", _CLIENT),
        Rule("js-ws-client", Kind.CLIENT, "connection opened with a WebSocket package", _CLIENT),
        Rule("js-socket-library", Kind.CLIENT, "connection of a library built on WebSocket", _CLIENT),
        Rule("js-injected", Kind.CLIENT, "connection opened with a class handed in", "see what is handed in"),
        Rule("js-subclass", Kind.CLIENT, "class derived from WebSocket", "derive it from the drop-in client"),
        Rule("js-server", Kind.SERVER, "WebSocket server", _SERVER),
        Rule("js-lambda-event", Kind.SERVER, "Lambda code that reads a WebSocket event", _SERVER),
        Rule("js-management", Kind.MANAGEMENT, "post to or management of connections", "publish an event instead"),
        Rule("js-gateway", Kind.GATEWAY, "WebSocket API made by code", _IAC),
        Rule("js-route", Kind.ROUTE, "route of a WebSocket API", _IAC),
        Rule(
            "js-reconnect",
            Kind.RECONNECT,
            "reconnect logic of a WebSocket",
            "remove it: the new client resumes by itself",
        ),
        Rule(
            "js-heartbeat",
            Kind.RECONNECT,
            "keep-alive messages on a WebSocket",
            "remove it: the server sends heartbeats",
        ),
        Rule("py-client", Kind.CLIENT, "WebSocket opened", _CLIENT),
        Rule("py-server", Kind.SERVER, "WebSocket server", _SERVER),
        Rule("py-lambda-event", Kind.SERVER, "Lambda code that reads a WebSocket event", _SERVER),
        Rule("py-management", Kind.MANAGEMENT, "post to or management of connections", "publish an event instead"),
        Rule("py-gateway", Kind.GATEWAY, "WebSocket API made by code", _IAC),
        Rule("py-route", Kind.ROUTE, "route of a WebSocket API", _IAC),
        Rule(
            "py-reconnect",
            Kind.RECONNECT,
            "reconnect logic of a WebSocket",
            "remove it: the new client resumes by itself",
        ),
        Rule("cdk-api", Kind.GATEWAY, "CDK: WebSocket API or stage", _IAC),
        Rule("cdk-route", Kind.ROUTE, "CDK: route of a WebSocket API", _IAC),
        Rule("cfn-api", Kind.GATEWAY, "CloudFormation: WebSocket API or a part of it", _IAC),
        Rule("cfn-route", Kind.ROUTE, "CloudFormation: route of a WebSocket API", _IAC),
        Rule("sam-api", Kind.GATEWAY, "SAM: WebSocket API", _IAC),
        Rule("sam-route", Kind.ROUTE, "SAM: route of a WebSocket API", _IAC),
        Rule("serverless-route", Kind.ROUTE, "Serverless Framework: websocket event", _IAC),
        Rule("serverless-api", Kind.GATEWAY, "Serverless Framework: setting of the WebSocket API", _IAC),
        Rule("tf-api", Kind.GATEWAY, "Terraform: WebSocket API or a part of it", _IAC),
        Rule("tf-route", Kind.ROUTE, "Terraform: route of a WebSocket API", _IAC),
        Rule("iam-connections", Kind.PERMISSION, "permission to manage connections", _IAC),
        Rule("npm-dependency", Kind.DEPENDENCY, "npm package for WebSocket", "remove it when its uses are gone"),
        Rule("python-dependency", Kind.DEPENDENCY, "Python package for WebSocket", "remove it when its uses are gone"),
        Rule(
            "url-setting",
            Kind.CLIENT,
            "address of a WebSocket in a settings file",
            "replace it by the service's address",
        ),
    )
}
