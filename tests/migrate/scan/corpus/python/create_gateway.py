import boto3

client = boto3.client("apigatewayv2")
PARAMETERS = {"Name": "chat", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"}
api = client.create_api(**PARAMETERS)
client.create_route(ApiId=api["ApiId"], RouteKey="$connect", Target="integrations/x")
http = client.create_api(Name="web", ProtocolType="HTTP")
