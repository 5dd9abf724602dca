"""Reads CloudFormation and SAM templates. Pure. until phase 3 (MG1)

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-websocketapi.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from migrate.init.aws_functions import statements
from migrate.init.facts import FunctionFact, Keys, RouteFact, StackFacts, TableFact
from migrate.init.template_sources import Sources
from migrate.scan.tree import Tree

__all__ = ["Template", "is_template", "plain_value", "template_facts"]

_REFERENCE = re.compile(r"\$\{(?:AWS::)?([A-Za-z0-9_.:-]+)\}")
_LOGICAL = re.compile(r"<([A-Za-z0-9]+)(?:\.[A-Za-z.]+)?>")


def is_template(tree: Tree) -> bool:
    """Whether a document is a CloudFormation template."""
    return tree.get("Resources") is not None


def plain_value(tree: Tree | None, defaults: Mapping[str, str]) -> Any:
    """A tree as Python values; what only a deployment knows stands as `<Name>`, as do references to resources."""
    if tree is None:
        return None
    if tree.pairs is not None:
        values = {key.text or "": plain_value(value, defaults) for key, value in tree.pairs}
        if len(values) == 1:
            ((name, inner),) = values.items()
            if name in {"Fn::Sub", "Fn::Join", "Fn::GetAtt", "Fn::If", "Fn::ImportValue"}:
                return _intrinsic(f"!{name[4:]}", inner, defaults)
        return values
    if tree.items is not None:
        inner = [plain_value(item, defaults) for item in tree.items]
        return _intrinsic(tree.tag, inner, defaults) if tree.tag else inner
    return _intrinsic(tree.tag, tree.text or "", defaults)


def _intrinsic(tag: str, value: Any, defaults: Mapping[str, str]) -> Any:
    if tag == "!Ref":
        return defaults.get(str(value), f"<{value}>")
    if tag == "!GetAtt":
        return f"<{'.'.join(map(str, value)) if isinstance(value, list) else value}>"
    if tag == "!Sub":
        text, extra = (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else (value, {})
        known = {**defaults, **{str(k): str(v) for k, v in (extra or {}).items()}}
        return _REFERENCE.sub(lambda found: known.get(found.group(1), f"<{found.group(1)}>"), str(text))
    if tag == "!Join" and isinstance(value, list) and len(value) == 2 and isinstance(value[1], list):
        return str(value[0]).join(str(one) for one in value[1])
    if tag == "!If" and isinstance(value, list) and len(value) == 3:
        return value[1]
    return value


class Template:
    """Resources of a template, by logical name, as plain values."""

    def __init__(self, resources: Tree, defaults: Mapping[str, str]) -> None:
        self.defaults = defaults
        self.resources: dict[str, dict[str, Any]] = {}
        for name, resource in resources.pairs or ():
            properties = plain_value(resource.get("Properties"), defaults)
            self.resources[name.text or ""] = {
                "Type": resource.value("Type"),
                "Properties": properties if isinstance(properties, dict) else {},
            }

    def of_type(self, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(logical name, properties)."""
        for name, resource in self.resources.items():
            if resource["Type"] in types:
                yield name, resource["Properties"]

    def named(self, value: Any) -> str:
        """The logical name of a resource that a value refers to, or empty."""
        for name in _LOGICAL.findall(str(value)):
            if name in self.resources:
                return str(name)
        return ""

    def table_facts(self) -> list[TableFact]:
        """Tables; one with a name made at deployment has its logical name."""
        found = []
        for logical, table in self.of_type("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"):
            types = {
                str(one.get("AttributeName")): str(one.get("AttributeType"))
                for one in _maps(table, "AttributeDefinitions")
            }
            name = str(table.get("TableName") or logical)
            ttl = table.get("TimeToLiveSpecification") or {}
            found.append(
                TableFact(
                    name=name.replace("<", "").replace(">", ""),
                    keys=_keys(table, types),
                    indexes={
                        str(one.get("IndexName")): _keys(one, types)
                        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
                        for one in _maps(table, kind)
                    },
                    ttl=str(ttl.get("AttributeName", "")) if str(ttl.get("Enabled", "")).lower() == "true" else "",
                    certain="TableName" in table and "<" not in name,
                )
            )
        for logical, table in self.of_type("AWS::Serverless::SimpleTable"):
            key = table.get("PrimaryKey") or {}
            found.append(
                TableFact(
                    name=str(table.get("TableName") or logical),
                    keys=((str(key.get("Name", "id")), {"Number": "N", "Binary": "B"}.get(str(key.get("Type")), "S")),),
                    certain="TableName" in table and "<" not in str(table["TableName"]),
                )
            )
        return found

    def function_fact(self, logical: str, properties: dict[str, Any], deployed: str = "") -> FunctionFact:
        """A function; roles and SAM policies are followed inside the template."""
        variables = (properties.get("Environment") or {}).get("Variables") or {}
        role = self.named(properties.get("Role", ""))
        actions = list(self._role_actions(role))
        for policy in _listed(properties.get("Policies")):
            actions += statements(policy) if isinstance(policy, dict) else []
        for owner, policy in self.of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            if role and role in {self.named(one) for one in _listed(policy.get("Roles"))} and owner:
                actions += statements(policy.get("PolicyDocument"))
        name = deployed or str(properties.get("FunctionName") or logical)
        env = {str(key): str(value) for key, value in variables.items()} if isinstance(variables, dict) else {}
        sources = Sources(self.resources, self.named)
        return FunctionFact(
            name=name.replace("<", "").replace(">", ""),
            env=env,
            actions=tuple(actions),
            sources=tuple(sources.of(logical, properties, str(properties.get("FunctionName", "")))),
            stand_ins=sources.stand_ins(env),
        )

    def _role_actions(self, role: str) -> Iterator[tuple[str, str]]:
        properties = self.resources.get(role, {}).get("Properties", {})
        for policy in _maps(properties, "Policies"):
            yield from statements(policy.get("PolicyDocument"))


def template_facts(tree: Tree, origin: str, folder: str) -> StackFacts | None:
    """The stack of a template; None when it has no WebSocket API."""
    holder = tree.get("Resources")
    if holder is None:
        return None
    template = Template(holder, defaults_of(tree))
    apis = [
        (name, api)
        for name, api in template.of_type("AWS::ApiGatewayV2::Api", "AWS::Serverless::WebSocketApi")
        if template.resources[name]["Type"].endswith("WebSocketApi") or api.get("ProtocolType") == "WEBSOCKET"
    ]
    if not apis:
        return None
    logical, api = apis[0]
    problems = [f"{origin} has {len(apis)} WebSocket APIs; {logical} was taken"] if len(apis) > 1 else []
    functions = {
        name: template.function_fact(name, properties)
        for name, properties in template.of_type("AWS::Lambda::Function", "AWS::Serverless::Function")
    }
    routes = [*_sam_routes(template, api, functions), *_routes(template, logical, functions)]
    used = {name for route in routes for name in (route.function, route.authorizer)}
    posting = [one for one in functions.values() if one.name in used or _speaks(one, logical)]
    return StackFacts(
        origin=origin,
        name=str(api.get("Name") or folder).replace("<", "").replace(">", ""),
        stages=tuple(_stages(template, logical, api)),
        route_selection=str(api.get("RouteSelectionExpression", "")),
        routes=tuple(routes),
        functions=tuple(posting),
        tables=tuple(template.table_facts()),
        problems=tuple(problems),
    )


def defaults_of(tree: Tree) -> dict[str, str]:
    """Defaults of a template's parameters."""
    return {
        name.text or "": parameter.value("Default")
        for name, parameter in (tree.get("Parameters") or Tree(0, 0)).pairs or ()
        if parameter.get("Default") is not None
    }


def _speaks(function: FunctionFact, api: str) -> bool:
    allowed = any(action.lower().startswith(("execute-api:", "dynamodb:")) for action, _ in function.actions)
    # What feeds it tells that it works for somebody, and the API in its environment for whom.
    return allowed or (bool(function.sources) and any(f"<{api}>" in value for value in function.env.values()))


def _stages(template: Template, logical: str, api: dict[str, Any]) -> Iterator[str]:
    if "StageName" in api:
        yield str(api["StageName"])
    for _, stage in template.of_type("AWS::ApiGatewayV2::Stage"):
        if template.named(stage.get("ApiId")) == logical and "<" not in str(stage.get("StageName", "<")):
            yield str(stage["StageName"])


def _sam_routes(template: Template, api: dict[str, Any], functions: Mapping[str, FunctionFact]) -> Iterator[RouteFact]:
    routes = api.get("Routes")
    for key, route in routes.items() if isinstance(routes, dict) else ():
        name = template.named((route or {}).get("FunctionArn", ""))
        yield RouteFact(
            key=str(key),
            kind="AWS_PROXY",
            function=functions[name].name if name in functions else "",
            two_way="RouteResponseSelectionExpression" in (route or {}),
        )


def _routes(template: Template, logical: str, functions: Mapping[str, FunctionFact]) -> Iterator[RouteFact]:
    answering = {template.named(one.get("RouteId")) for _, one in template.of_type("AWS::ApiGatewayV2::RouteResponse")}

    def behind(uri: Any) -> str:
        name = template.named(uri)
        return functions[name].name if name in functions else ""

    for name, route in template.of_type("AWS::ApiGatewayV2::Route"):
        if template.named(route.get("ApiId")) != logical:
            continue
        integration = template.resources.get(template.named(route.get("Target")), {}).get("Properties", {})
        authorizer = template.resources.get(template.named(route.get("AuthorizerId", "")), {}).get("Properties", {})
        uri = integration.get("IntegrationUri", "")
        yield RouteFact(
            key=str(route.get("RouteKey", "")),
            kind=str(integration.get("IntegrationType", "")),
            function=behind(uri),
            uri="" if behind(uri) else str(uri).partition("?")[0],
            authorizer="AWS_IAM"
            if route.get("AuthorizationType") == "AWS_IAM"
            else behind(authorizer.get("AuthorizerUri")),
            two_way=name in answering or "RouteResponseSelectionExpression" in route,
            binary="ContentHandlingStrategy" in integration,
        )


def _keys(holder: Mapping[str, Any], types: Mapping[str, str]) -> Keys:
    schema = sorted(_maps(holder, "KeySchema"), key=lambda one: one.get("KeyType") != "HASH")
    return tuple((str(one.get("AttributeName")), types.get(str(one.get("AttributeName")), "S")) for one in schema)


def _maps(holder: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [one for one in _listed(holder.get(key)) if isinstance(one, dict)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
