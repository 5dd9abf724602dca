"""What MiniStack's CloudFormation does not know of, and templates of WebSocket APIs have. until phase 3

- AWS::ApiGatewayV2::Deployment, RouteResponse and IntegrationResponse (CloudFormation template reference): each goes
  through the same functions as the API call of that name, so that what a template makes is what a program would make.
- Tags of AWS::Lambda::EventSourceMapping, TimeToLiveSpecification of AWS::DynamoDB::Table.
- DefaultRouteSettings and RouteSettings of AWS::ApiGatewayV2::Stage, which it keeps in a form that its API does not
  show, so that a stage would have no throttling.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ["expected", "register"]

_PREFIX = "AWS::ApiGatewayV2::"
_EVENT_SOURCE = "AWS::Lambda::EventSourceMapping"
_TABLE = "AWS::DynamoDB::Table"
_TTL = "TimeToLiveSpecification"
Made = tuple[str, dict[str, object]]


class _Gateway(Protocol):
    """The names of `ministack.services.apigateway` that this module uses."""

    _create_deployment: Any
    _delete_deployment: Any
    _update_stage: Any
    _deployments: Any


def expected(provisioners: object, gateway: object, dynamodb: object) -> str | None:
    """What of MiniStack is not as in the pinned version, or None."""
    if not callable(getattr(provisioners, "_apigw_v2_stage_props", None)):
        return "cloudformation.provisioners._apigw_v2_stage_props"
    if not callable(getattr(dynamodb, "_update_ttl", None)):
        return "dynamodb._update_ttl"
    for name in ("_RESOURCE_HANDLERS", "_REPLACING_PROPERTIES", "_STACK_TAG_PROPERTY"):
        if not isinstance(getattr(provisioners, name, None), dict):
            return f"cloudformation.provisioners.{name}"
    for name, parameters in _CALLS.items():
        function = getattr(gateway, name, None)
        if function is None or list(inspect.signature(function).parameters) != parameters:
            return f"apigateway.{name}({', '.join(parameters)})"
    return None if hasattr(gateway, "_deployments") else "apigateway._deployments"


def register(provisioners: Any, gateway: Any, functions: Any, dynamodb: Any) -> None:
    """Teach MiniStack's CloudFormation."""
    handlers = {
        "Deployment": _deployment(gateway),
        "RouteResponse": _child(gateway, "route", "RouteResponse"),
        "IntegrationResponse": _child(gateway, "integration", "IntegrationResponse"),
    }
    for name, handler in handlers.items():
        provisioners._RESOURCE_HANDLERS.setdefault(_PREFIX + name, handler)
    # "Update requires: Replacement" in the template reference.
    replaced = {
        "Deployment": ("ApiId", "StageName"),
        "RouteResponse": ("ApiId", "RouteId"),
        "IntegrationResponse": ("ApiId", "IntegrationId"),
    }
    for name, properties in replaced.items():
        provisioners._REPLACING_PROPERTIES.setdefault(_PREFIX + name, properties)
    provisioners._STACK_TAG_PROPERTY.setdefault(_EVENT_SOURCE, ("Tags", "list"))
    sources, tables = (provisioners._RESOURCE_HANDLERS[kind] for kind in (_EVENT_SOURCE, _TABLE))
    sources["create"] = _with_tags(sources["create"], functions)
    tables["create"] = _with_ttl(tables["create"], dynamodb)
    tables["update"] = _with_ttl(tables["update"], dynamodb)
    provisioners._apigw_v2_stage_props = _with_route_settings(provisioners._apigw_v2_stage_props)


_CALLS = {
    "_create_deployment": ["api_id", "data"],
    "_delete_deployment": ["api_id", "deployment_id"],
    "_update_stage": ["api_id", "stage_name", "data"],
    "_create_route_response": ["api_id", "route_id", "data"],
    "_update_route_response": ["api_id", "route_id", "rr_id", "data"],
    "_delete_route_response": ["api_id", "route_id", "rr_id"],
    "_create_integration_response": ["api_id", "integration_id", "data"],
    "_update_integration_response": ["api_id", "integration_id", "ir_id", "data"],
    "_delete_integration_response": ["api_id", "integration_id", "ir_id"],
}


def _deployment(gateway: _Gateway) -> dict[str, object]:
    def create(_logical_id: str, props: Mapping[str, Any], _stack: str) -> Made:
        api_id = props["ApiId"]
        made = _answer(gateway._create_deployment(api_id, {"description": props.get("Description", "")}), "Deployment")
        deployment_id = str(made["deploymentId"])
        if props.get("StageName"):
            # CreateDeployment with a stage: it serves the deployment from now on.
            _answer(
                gateway._update_stage(api_id, props["StageName"], {"deploymentId": deployment_id}),
                "Deployment, of its stage",
            )
        return deployment_id, {"DeploymentId": deployment_id}

    def update(deployment_id: str, _old: object, props: Mapping[str, Any], _stack: str) -> Made:
        gateway._deployments[props["ApiId"]][deployment_id]["description"] = props.get("Description", "")
        return deployment_id, {"DeploymentId": deployment_id}

    def delete(deployment_id: str, props: Mapping[str, Any]) -> None:
        gateway._delete_deployment(props["ApiId"], deployment_id)

    return {"create": create, "update": update, "delete": delete}


def _with_tags(create: Callable[..., Made], functions: Any) -> Callable[..., Made]:
    def tagged(logical_id: str, props: Mapping[str, Any], stack: str) -> Made:
        uuid, attributes = create(logical_id, props, stack)
        functions._esms[uuid]["Tags"] = {tag["Key"]: tag["Value"] for tag in props.get("Tags", [])}
        return uuid, attributes

    return tagged


def _with_ttl(change: Callable[..., Made], dynamodb: Any) -> Callable[..., Made]:
    """A table's create or update (whose properties are the third argument: the second are the old ones)."""

    def changed(name: str, *arguments: Any, **more: Any) -> Made:
        made = change(name, *arguments, **more)
        properties = [one for one in arguments if isinstance(one, Mapping)]
        before, now = ({}, *properties)[-2:]
        if before.get(_TTL) != now.get(_TTL):
            specification = now.get(_TTL) or {**before[_TTL], "Enabled": False}
            _answer(dynamodb._update_ttl({"TableName": made[0], _TTL: specification}), "Table, of its TTL")
        return made

    return changed


def _with_route_settings(props_of: Callable[..., dict[str, object]]) -> Callable[..., dict[str, object]]:
    def converted(props: Mapping[str, Any]) -> dict[str, object]:
        routes = {key: _camel(one) for key, one in (props.get("RouteSettings") or {}).items()}
        return {
            **props_of(props),
            "defaultRouteSettings": _camel(props.get("DefaultRouteSettings") or {}),
            "routeSettings": routes,
        }

    return converted


def _camel(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name[0].lower() + name[1:]: value for name, value in settings.items()}


def _child(gateway: object, parent: str, kind: str) -> dict[str, object]:
    """RouteResponse of a route, IntegrationResponse of an integration."""
    snake = f"{parent}_response"
    parent_id, own_id = f"{parent.title()}Id", f"{kind[0].lower()}{kind[1:]}Id"

    def call(verb: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(gateway, f"_{verb}_{snake}")
        return function

    def create(_logical_id: str, props: Mapping[str, Any], _stack: str) -> Made:
        made = _answer(call("create")(props["ApiId"], _last(props[parent_id]), _body(props, parent_id)), kind)
        return str(made[own_id]), {f"{kind}Id": str(made[own_id])}

    def update(physical_id: str, _old: object, props: Mapping[str, Any], _stack: str) -> Made:
        _answer(call("update")(props["ApiId"], _last(props[parent_id]), physical_id, _body(props, parent_id)), kind)
        return physical_id, {f"{kind}Id": physical_id}

    def delete(physical_id: str, props: Mapping[str, Any]) -> None:
        call("delete")(props["ApiId"], _last(props[parent_id]), physical_id)

    return {"create": create, "update": update, "delete": delete}


def _body(props: Mapping[str, Any], parent_id: str) -> dict[str, Any]:
    """Properties as the API's own JSON has them; maps of parameters, templates and models keep their keys."""
    return _camel({name: value for name, value in props.items() if name not in ("ApiId", parent_id)})


def _last(reference: str) -> str:
    """MiniStack's `Ref` of a route is `{api}/{route}`; AWS's is the route's id."""
    return reference.rpartition("/")[2]


def _answer(response: tuple[int, object, bytes], kind: str) -> dict[str, Any]:
    status, _, body = response
    if status >= 400:
        raise ValueError(f"{kind} failed: {body.decode(errors='replace')}")
    decoded: dict[str, Any] = json.loads(body)
    return decoded
