import json

import boto3


def handler(event, context):
    connection_id = event["requestContext"]["connectionId"]
    route = event["requestContext"]["routeKey"]
    if route == "$connect":
        return {"statusCode": 200}
    endpoint = f"https://{event['requestContext']['domainName']}/{event['requestContext']['stage']}"
    api = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
    api.post_to_connection(ConnectionId=connection_id, Data=json.dumps({"ok": True}))
    return {"statusCode": 200}
