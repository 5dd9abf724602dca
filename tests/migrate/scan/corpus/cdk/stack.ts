import * as cdk from "aws-cdk-lib";
import { WebSocketApi, WebSocketStage } from "aws-cdk-lib/aws-apigatewayv2";
import { WebSocketLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";

export class ChatStack extends cdk.Stack {
  constructor(scope: cdk.App, id: string) {
    super(scope, id);
    const api = new WebSocketApi(this, "Api", {
      connectRouteOptions: { integration: new WebSocketLambdaIntegration("C", connectFn) },
    });
    api.addRoute("sendMessage", { integration: new WebSocketLambdaIntegration("S", sendFn) });
    new WebSocketStage(this, "Prod", { webSocketApi: api, stageName: "prod", autoDeploy: true });
    api.grantManageConnections(sendFn);
  }
}
