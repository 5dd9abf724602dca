import { Construct } from "constructs";
import * as apigw from "aws-cdk-lib/aws-apigatewayv2";

export class WebSocket extends Construct {
  constructor(scope: Construct, id: string, props: { path: string }) {
    super(scope, id);
    new apigw.CfnApi(this, "Api", { name: "chat", protocolType: "WEBSOCKET", routeSelectionExpression: "$request.body.action" });
    new apigw.HttpApi(this, "Http");
  }
}
