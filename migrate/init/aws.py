"""Reads a stack from AWS: the API, its Lambdas, what their roles and environments lead to. until phase 3 (MG1)

Reading only. API Gateway V2 API reference (GetApi, GetRoutes, GetIntegrations, GetAuthorizers, GetRouteResponses,
GetStages, GetApiMappings); what may not be read is reported, and the rest is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from migrate.errors import MigrateError, UsageError
from migrate.init.aws_functions import FunctionReader, function_name
from migrate.init.facts import FunctionFact, RouteFact, StackFacts, TableFact

__all__ = ["read_aws", "websocket_apis"]

WORKERS = 16
SAMPLES = 25
Client = Callable[[str], Any]


def websocket_apis(apigatewayv2: Any) -> list[dict[str, Any]]:
    """The WebSocket APIs of the region. Raises: UsageError: they may not be listed."""
    try:
        return [one for one in _pages(apigatewayv2.get_apis) if one.get("ProtocolType") == "WEBSOCKET"]
    except (ClientError, BotoCoreError) as error:
        raise UsageError(
            f"the APIs could not be listed: {said(error)}", "check credentials, region, permissions"
        ) from None


def read_aws(client: Client, api_id: str, region: str, endpoint_url: str = "") -> StackFacts:
    """A stack by its API's id.

    Raises: UsageError: there is no such WebSocket API, or it may not be read.
    """
    gateway = client("apigatewayv2")
    try:
        api = gateway.get_api(ApiId=api_id)
    except (ClientError, BotoCoreError) as error:
        raise UsageError(
            f"the API {api_id} could not be read in {region}: {said(error)}", "check --api-id, --region, credentials"
        ) from None
    if api.get("ProtocolType") != "WEBSOCKET":
        raise UsageError(f"the API {api_id} is a {api.get('ProtocolType')} API", "name a WebSocket API")
    problems: list[str] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        stages = tuple(sorted(one["StageName"] for one in _pages(gateway.get_stages, ApiId=api_id)))
        routes = _routes(gateway, api_id, pool)
        reader = FunctionReader(client, problems)
        wanted = {name for route in routes for name in (route.function, route.authorizer) if name}
        functions = [one for one in pool.map(reader.read, sorted(wanted - {"AWS_IAM"})) if one is not None]
        all_tables = _all_tables(client("dynamodb"), problems)
        names = table_names(functions, all_tables)
        others = reader.others(api_id, names, wanted, functions, pool)
        functions += others
        names |= table_names(others, all_tables)
        tables = [one for one in pool.map(lambda name: read_table(client("dynamodb"), name, problems), sorted(names))
                  if one is not None]  # fmt: skip
        alarms = _alarms(client, api_id, {one.name for one in functions}, names, problems)
    ws_url, management_url = _addresses(api.get("ApiEndpoint", ""), endpoint_url)
    return StackFacts(
        origin=f"AWS, API {api_id} in {region}",
        name=api.get("Name", ""),
        api_id=api_id,
        stages=stages,
        region=region,
        endpoint_url=endpoint_url,
        ws_url=ws_url,
        management_url=management_url,
        hosts=_hosts(gateway, api_id, problems),
        route_selection=api.get("RouteSelectionExpression", ""),
        routes=tuple(routes),
        functions=tuple(functions),
        tables=tuple(tables),
        alarms=tuple(alarms),
        problems=tuple(dict.fromkeys(problems)),
    )


def said(error: ClientError | BotoCoreError | MigrateError) -> str:
    """An SDK's error in a few words, without a request's contents."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return type(error).__name__


def table_names(functions: Iterable[FunctionFact], all_tables: set[str] | None) -> set[str]:
    """Tables that environments name or roles allow. Without a list of all tables only ARNs count."""
    found = set()
    for function in functions:
        for value in function.env.values():
            name = value.rpartition("table/")[2].split("/")[0] if ":dynamodb:" in value else value
            if name and all_tables is not None and name in all_tables:
                found.add(name)
        for action, resource in function.actions:
            if action.lower().startswith("dynamodb:") and ":table/" in resource:
                name = resource.partition(":table/")[2].split("/")[0]
                if "*" not in name and (all_tables is None or name in all_tables):
                    found.add(name)
    return found


def read_table(dynamodb: Any, name: str, problems: list[str]) -> TableFact | None:
    """A table: keys, indexes, TTL and a few items. None: it cannot be described."""
    try:
        table = dynamodb.describe_table(TableName=name)["Table"]
    except (ClientError, BotoCoreError) as error:
        problems.append(f"table {name}: {said(error)}")
        return None
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    ttl, samples = "", ()
    try:
        setting = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        ttl = setting.get("AttributeName", "") if setting.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"} else ""
    except (ClientError, BotoCoreError) as error:
        problems.append(f"TTL of table {name}: {said(error)}")
    try:
        samples = tuple(dynamodb.scan(TableName=name, Limit=SAMPLES)["Items"])
    except (ClientError, BotoCoreError) as error:
        problems.append(f"items of table {name}: {said(error)}; its shape is guessed by names alone")
    indexes = [*table.get("GlobalSecondaryIndexes", ()), *table.get("LocalSecondaryIndexes", ())]
    return TableFact(
        name=name,
        keys=_keys(table["KeySchema"], types),
        indexes={index["IndexName"]: _keys(index["KeySchema"], types) for index in indexes},
        ttl=ttl,
        samples=samples,
    )


def _keys(schema: Iterable[Mapping[str, str]], types: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    ordered = sorted(schema, key=lambda one: one["KeyType"] != "HASH")
    return tuple((one["AttributeName"], types.get(one["AttributeName"], "S")) for one in ordered)


def _routes(gateway: Any, api_id: str, pool: ThreadPoolExecutor) -> list[RouteFact]:
    try:
        integrations = {one["IntegrationId"]: one for one in _pages(gateway.get_integrations, ApiId=api_id)}
        routes = sorted(_pages(gateway.get_routes, ApiId=api_id), key=lambda one: one["RouteKey"])
        authorizers = {}
        if any(route.get("AuthorizerId") for route in routes):
            authorizers = {one["AuthorizerId"]: one for one in _pages(gateway.get_authorizers, ApiId=api_id)}
    except (ClientError, BotoCoreError) as error:
        raise UsageError(f"the routes of {api_id} could not be read: {said(error)}", "check the permissions") from None

    def fact(route: dict[str, Any]) -> RouteFact:
        number = (route.get("Target") or "").rpartition("/")[2]
        integration = integrations.get(number, {})
        uri = integration.get("IntegrationUri", "")
        authorizer = authorizers.get(route.get("AuthorizerId") or "", {})
        by = function_name(authorizer.get("AuthorizerUri", "")) if authorizer else ""
        if route.get("AuthorizationType") == "AWS_IAM":
            by = "AWS_IAM"
        return RouteFact(
            key=route["RouteKey"],
            kind=integration.get("IntegrationType", ""),
            function=function_name(uri),
            # A query may hold a key.
            uri="" if function_name(uri) else uri.partition("?")[0],
            authorizer=by,
            two_way=bool(route.get("RouteResponseSelectionExpression")) or _answers(gateway, api_id, route["RouteId"]),
            binary=bool(integration.get("ContentHandlingStrategy")),
        )

    return list(pool.map(fact, routes))


def _answers(gateway: Any, api_id: str, route_id: str) -> bool:
    try:
        return any(True for _ in _pages(gateway.get_route_responses, ApiId=api_id, RouteId=route_id))
    except (ClientError, BotoCoreError):
        return False


def _all_tables(dynamodb: Any, problems: list[str]) -> set[str] | None:
    try:
        return {name for page in dynamodb.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    except (ClientError, BotoCoreError) as error:
        problems.append(f"tables could not be listed ({said(error)}): only those that policies name are found")
        return None


def _alarms(client: Client, api_id: str, functions: set[str], tables: set[str], problems: list[str]) -> list[str]:
    about = {"ApiId": {api_id}, "FunctionName": functions, "TableName": tables}
    found = []
    try:
        for page in client("cloudwatch").get_paginator("describe_alarms").paginate():
            for alarm in page.get("MetricAlarms", ()):
                dimensions = alarm.get("Dimensions", ())
                if any(one["Value"] in about.get(one["Name"], ()) for one in dimensions):
                    found.append(alarm["AlarmName"])
    except (ClientError, BotoCoreError) as error:
        problems.append(f"alarms: {said(error)}")
    return sorted(found)


def _hosts(gateway: Any, api_id: str, problems: list[str]) -> tuple[str, ...]:
    found = []
    try:
        for domain in _pages(gateway.get_domain_names):
            for mapping in _pages(gateway.get_api_mappings, DomainName=domain["DomainName"]):
                if mapping.get("ApiId") == api_id:
                    found.append(domain["DomainName"])
    except (ClientError, BotoCoreError) as error:
        problems.append(f"custom domain names: {said(error)}")
    return tuple(sorted(set(found)))


def _addresses(endpoint: str, endpoint_url: str) -> tuple[str, str]:
    """(ws_url, management_url) with `{stage}`: empty where AWS's own are meant."""
    host = urlsplit(endpoint).hostname or ""
    if not endpoint_url or host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return "", ""
    ws_url = endpoint.rstrip("/") + "/{stage}"
    return ws_url, ws_url.replace("wss://", "https://", 1).replace("ws://", "http://", 1)


def _pages(call: Callable[..., Any], **arguments: str) -> Iterator[dict[str, Any]]:
    token = None
    while True:
        page = call(**arguments, **({"NextToken": token} if token else {}))
        yield from page.get("Items", ())
        token = page.get("NextToken")
        if not token:
            return
