"""Whose connections may stand in a table: those of other stages, and of other APIs. until phase 3 (MG11)

Asked at one gateway only, a living connection of another one would look gone.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.tee.install import functions_of_api

__all__ = ["gateways_of", "who_else_uses"]


def gateways_of(config: Config) -> tuple[list[str], list[str]]:
    """Addresses of the other @connections APIs that are to be asked as well, and notes."""
    urls, notes = list(config.cleanup.also_ask), []
    try:
        stages = [one["StageName"] for one in config.client("apigatewayv2").get_stages(ApiId=config.api.id)["Items"]]
    except (ClientError, BotoCoreError) as error:
        return urls, [f"the API's other stages are not known ({_said(error)}): their connections are not asked about"]
    base = config.management_url.removesuffix(f"/{config.api.stage}")
    for stage in stages:
        if stage == config.api.stage:
            continue
        if base == config.management_url:
            notes.append(f"the address of stage {stage} is not known: name it in cleanup.also_ask")
        else:
            urls.append(f"{base}/{stage}")
    return list(dict.fromkeys(urls)), notes


def who_else_uses(config: Config, table: str) -> tuple[list[str], list[str]]:
    """Other WebSocket APIs with a function that names the table and whose address is in no setting; and notes."""
    gateway, lambda_ = config.client("apigatewayv2"), config.client("lambda")
    found, token = [], None
    try:
        while True:
            page = gateway.get_apis(**({"NextToken": token} if token else {}))
            for api in page["Items"]:
                if api.get("ProtocolType") != "WEBSOCKET" or api["ApiId"] == config.api.id:
                    continue
                if any(api["ApiId"] in url for url in config.cleanup.also_ask):
                    continue
                for arn in functions_of_api(gateway, api["ApiId"]):
                    variables = _environment(lambda_, arn)
                    if any(value == table or value.endswith(f"table/{table}") for value in variables.values()):
                        found.append(f"{api.get('Name', '')} ({api['ApiId']})")
                        break
            token = page.get("NextToken")
            if not token:
                return found, []
    except (ClientError, BotoCoreError) as error:
        return found, [f"whether other APIs use {table} could not be seen ({_said(error)})"]


def _environment(lambda_: object, arn: str) -> dict[str, str]:
    try:
        read = lambda_.get_function_configuration(FunctionName=arn)  # type: ignore[attr-defined]  # a boto3 client
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return {}
        raise
    return dict(read.get("Environment", {}).get("Variables", {}))


def _said(error: ClientError | BotoCoreError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
