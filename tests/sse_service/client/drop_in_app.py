"""Handlers of the API that the drop-in is tried against."""

from __future__ import annotations

import base64
from typing import Any


def authorize(event: dict[str, Any], context: Any) -> dict[str, Any]:
    effect = "Allow" if event["queryStringParameters"]["token"] == "good" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {"principalId": "ann", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


def connect(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"statusCode": 200}


async def default(event: dict[str, Any], context: Any) -> dict[str, Any]:
    me = event["requestContext"]["connectionId"]
    if event["body"] == "kick me":
        await context.connections.delete(me)
    elif event.get("isBase64Encoded"):
        await context.connections.post(me, base64.b64decode(event["body"]))
    else:
        await context.connections.post(me, event["body"])
    return {"statusCode": 200}
