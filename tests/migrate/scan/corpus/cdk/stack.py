from aws_cdk import Stack
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_iam as iam


class ChatStack(Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        self.api = apigw.WebSocketApi(self, "Api", connect_route_options=options)
        self.api.add_route("sendMessage", integration=integration)
        http = apigw.HttpApi(self, "Http")
        http.add_routes(path="/x", integration=integration)
        role.add_to_policy(
            iam.PolicyStatement(actions=["execute-api:ManageConnections"], resources=["*"])
        )
